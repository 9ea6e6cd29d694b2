"""The fitted parts of a failure model."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import xgboost as xgb

from models.failure.calibration import Calibrator
from models.failure.remaining import RemainingTime


@dataclass(frozen=True, kw_only=True)
class FailureParts:
    """All fitted parts; equal parts give equal predictions.

    Attributes:
        names: features, in the order of the columns.
        horizons_s: ascending.
        base: probability of a failure within each horizon from the rate of incidents; the prediction without boosters.
        boosters: of each horizon, their mean margin counts; empty if there were too few incidents.
        calibrators: one per horizon.
        remaining: hours to a failure that comes within the longest horizon; null if not learned.
        types: classifier of the type of the next failure; null if there are too few moments or types.
        type_names: its classes.
        alert_horizon_s: horizon whose probability is compared with `alert_threshold`, and whose reasons are shown.
        alert_threshold: probability at which an alarm begins, in [0, 1].
        trust: weight of the learned probability against the rate, in (0, 1]; below 1 with few failures.
        failures: number of failures in the training window.
        notes: what a reader must know, such as how few failures there were.
        reliability: horizon -> rows of (mean predicted, observed share, count) on held-out moments.
    """

    names: tuple[str, ...]
    horizons_s: tuple[int, ...]
    base: tuple[float, ...]
    alert_horizon_s: int
    boosters: tuple[tuple[xgb.Booster, ...], ...] = ()
    calibrators: tuple[Calibrator, ...] = ()
    remaining: RemainingTime | None = None
    types: xgb.Booster | None = None
    type_names: tuple[str, ...] = ()
    alert_threshold: float = 1.0
    trust: float = 1.0
    failures: int = 0
    notes: tuple[str, ...] = ()
    reliability: Mapping[int, tuple[tuple[float, float, float], ...]] = field(default_factory=dict)
