"""Predicts failures of services: a calibrated probability by horizon, a time, a likely type, and reasons."""

from models.failure.bundle import FailureBundle
from models.failure.fit import FitPlan, FitReport, fit_failure
from models.failure.labels import FAILURE_HORIZONS_S, incident_frame, label

__all__ = [
    "FAILURE_HORIZONS_S",
    "FailureBundle",
    "FitPlan",
    "FitReport",
    "fit_failure",
    "incident_frame",
    "label",
]
