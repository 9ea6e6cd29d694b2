"""What was learned of one series, and what it thinks of values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from core.domain import Band, DetectorResult, FilterResult, Series
from models.baseline.baselines import Baselines
from models.detect.calibration import Calibration, score_of
from models.detect.detectors.ewma import Ewma
from models.detect.detectors.isolation_forest import FittedIsolationForest, IsolationForest
from models.detect.detectors.mad import Mad
from models.detect.detectors.stream import EVIDENCE, FittedStream, Stream
from models.detect.detectors.zscore import ZScore
from models.detect.filters import clear_baseline, crosses, predictable, slo_impact
from models.detect.protocols import Detector, FittedDetector
from models.series.grid import FloatArray, IntArray

SINGLE: tuple[Detector, ...] = (ZScore(), Mad(), Ewma())
FOREST = IsolationForest.name
STREAM = Stream.name
NAMES = (*(one.name for one in SINGLE), FOREST, STREAM)
COMBINED = "ensemble"


@dataclass(frozen=True, slots=True)
class PointScore:
    """What is thought of one value; null where it cannot be told.

    Attributes:
        score: 0 to 1, a half at p = 0.0001. deviation_sigma: signed, from the expectation.
        filters: only where the value is an anomaly, all three.
    """

    ts: datetime
    value: float | None
    band: Band | None
    score: float | None
    p_value: float | None
    deviation_sigma: float | None
    is_anomaly: bool
    filters: tuple[FilterResult, ...]
    detectors: tuple[DetectorResult, ...]


@dataclass(frozen=True, slots=True)
class SeriesModel:
    """All that is needed to score one series.

    The baseline's view (z-score, MAD, EWMA and the service's forest, on the residual) knows what is normal and does
    not get used to a drift; the stream's knows how rare each movement is, and gets used to it. Each is half the answer.
    """

    series: Series
    baselines: Baselines
    row: int
    detectors: tuple[FittedDetector, ...]
    calibrations: Mapping[str, Calibration]
    randomness_z: float
    forest: FittedIsolationForest | None
    column: int
    stream: FittedStream

    def evidence(self, times_s: IntArray, values: FloatArray) -> FloatArray:
        """What the stream makes of values at rising times, from where its history ended; NaN where missing."""
        evidence: FloatArray = self.stream.run(self.baselines.clock.local_s(times_s), values)[0][:, EVIDENCE]
        return evidence

    def filters(
        self, value: float, expected: float, *, planned: bool = False, excuse: str = ""
    ) -> tuple[FilterResult, ...]:
        """The three filters for a value; `planned` and `excuse` as in `models.detect.filters.slo_impact`."""
        return (
            clear_baseline(float(self.baselines.days[self.row])),
            predictable(self.randomness_z, past=crosses(self.series, value, expected)),
            slo_impact(self.series, value, expected, planned=planned, excuse=excuse),
        )

    def surprises(
        self, residual: FloatArray, forest_scores: FloatArray | None, evidence: FloatArray
    ) -> dict[str, FloatArray]:
        """-log10 p of each detector and of all together, by name; NaN where not scorable."""
        views = {
            type_.name: self.calibrations[type_.name].surprise_of(fitted.score(residual))
            for type_, fitted in zip(SINGLE, self.detectors, strict=True)
        }
        if forest_scores is not None and FOREST in self.calibrations:
            views[FOREST] = self.calibrations[FOREST].surprise_of(forest_scores)
        together = np.where(np.isnan(residual), np.nan, np.mean(list(views.values()), axis=0))
        views[STREAM] = self.calibrations[STREAM].surprise_of(evidence)
        together = (together + views[STREAM]) / 2
        views[COMBINED] = (
            self.calibrations[COMBINED].surprise_of(together) if COMBINED in self.calibrations else together
        )
        return views


def detector_results(surprises: Mapping[str, float]) -> tuple[DetectorResult, ...]:
    """Each detector's own view, from -log10 p."""
    views = []
    for name, surprise in surprises.items():
        known = not np.isnan(surprise)
        views.append(
            DetectorResult(
                detector=name,
                score=float(score_of(np.asarray(surprise))) if known else None,
                p_value=float(10.0 ** -min(surprise, 300.0)) if known else None,
            )
        )
    return tuple(views)
