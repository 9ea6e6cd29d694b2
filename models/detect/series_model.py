"""The model of one series: its fitted detectors and calibrations, and how they score values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from core.arrays import FloatArray, IntArray
from core.domain import Band, DetectorResult, FilterResult, Series
from core.frames import TIME
from models.baseline.baselines import Baselines
from models.baseline.residuals import Residuals
from models.detect.calibration import Calibration, score_of
from models.detect.catalog import reads_of
from models.detect.learned_series import LearnedSeries
from models.detect.protocols import FittedDetector, FittedTimedDetector, Reads
from models.series.grid import as_utc
from models.series.magnitude import to_ordinary
from models.series.thresholds import weights

#: The name of all detectors of a series together, in signals and in responses.
COMBINED = "ensemble"

#: The columns of scored samples that do not depend on the detectors; one column of p-values for each detector follows.
SCORED: Mapping[str, Any] = {
    "series_id": pl.Int64, "ts": TIME, "value": pl.Float64, "expected": pl.Float64, "lower": pl.Float64,
    "upper": pl.Float64, "score": pl.Float64, "p_value": pl.Float64, "surprise": pl.Float64,
    "deviation_sigma": pl.Float64, "weight": pl.Float64, "is_anomaly": pl.Boolean,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PointScore:
    """The score of one value. Fields are null if the value cannot be scored.

    Attributes:
        score: 0 to 1; 0.5 at p = 0.0001. p_value: 0 to 1. deviation_sigma: (value - expected) / sigma, signed.
        filters: the results of all four filters if the value is an anomaly, else empty.
        detectors: the result of each detector, then of all together.
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


@dataclass(frozen=True, slots=True, eq=False)
class ServiceTable:
    """The series of one service with the same step, and the detectors that score all of them together.

    Attributes:
        columns: number of series; each has a column.
        detectors: name -> fitted detector; empty if none could be fitted.
    """

    columns: int
    detectors: Mapping[str, FittedDetector]

    def score(self, residuals: FloatArray) -> dict[str, FloatArray]:
        """Detector -> raw score of each row, shape (n,).

        Args:
            residuals: in units of the baseline's spread, signed, shape (n, columns); NaN = missing.
        """
        return {name: fitted.score(residuals) for name, fitted in self.detectors.items()}


@dataclass(frozen=True, slots=True, eq=False)
class SeriesScores:
    """The scores of one series; all arrays are float64 of shape (n,), in order of time.

    Attributes:
        times_s: epoch seconds, int64. values: NaN = missing. residual: (value - expected) in sigma, signed.
        lower, upper: the band around `expected`. weight: see `models.series.thresholds.weights`, >= 1.
        surprises: detector -> -log10 p, 0 to 300; NaN where not scorable. surprise: of all together.
    """

    times_s: IntArray
    values: FloatArray
    residual: FloatArray
    expected: FloatArray
    lower: FloatArray
    upper: FloatArray
    weight: FloatArray
    surprises: Mapping[str, FloatArray]
    surprise: FloatArray

    def where(self, rows: NDArray[np.bool_] | slice) -> "SeriesScores":
        """The scores of some of the values."""
        kept = {name: getattr(self, name)[rows] for name in self.__slots__ if name != "surprises"}
        return replace(self, **kept, surprises={name: one[rows] for name, one in self.surprises.items()})


@dataclass(frozen=True, slots=True, eq=False)
class SeriesModel:
    """Everything that is needed to score one series.

    Detectors of residuals compare a value with the baseline. A slow drift stays visible to them. Detectors of values
    measure how rare each movement is, and adapt to it. Each of the two kinds has half of the weight.

    Attributes:
        row: the row of the series in `baselines`.
        detectors: name -> fitted detector of this series alone.
        table: detectors of all series of the service together; column: the column of this series in it.
        calibrations: name -> calibration of each detector that scores this series, in the order of the bundle.
        combined: calibration of all detectors together.
        randomness_z: see `models.detect.filters.variance_ratio_z`.
    """

    series: Series
    baselines: Baselines
    row: int
    detectors: Mapping[str, FittedDetector]
    table: ServiceTable
    column: int
    calibrations: Mapping[str, Calibration]
    combined: Calibration
    randomness_z: float

    @property
    def learned(self) -> LearnedSeries:
        """What signals need to know of the series."""
        return LearnedSeries(
            series=self.series,
            days=float(self.baselines.days[self.row]),
            randomness_z=self.randomness_z,
        )

    def scores(
        self,
        times_s: IntArray,
        values: FloatArray,
        residuals: Residuals,
        table_scores: Mapping[str, FloatArray],
    ) -> SeriesScores:
        """Score values that come after the history.

        Args:
            times_s: epoch seconds, shape (n,), rising.
            values: shape (n,), in the unit of the series; NaN = missing.
            residuals: of the values.
            table_scores: detector -> scores of `table` at these times.
        """
        residual = residuals.deviation
        raw = self._raw_scores(times_s, values, residual, table_scores)
        surprises = {name: self.calibrations[name].surprise_of(one) for name, one in raw.items()}
        together = combined_surprise(residual, surprises)
        missing = np.where(np.isnan(residual), np.nan, 0.0)
        lower, upper = self.baselines.edges(
            self.row, residuals.expected, self.baselines.scale_at(self.row, times_s)
        )
        expected = self.baselines.in_unit(self.row, residuals.expected + missing)
        return SeriesScores(
            times_s=times_s,
            values=values,
            residual=residual,
            expected=expected,
            lower=self.baselines.in_unit(self.row, lower + missing),
            upper=self.baselines.in_unit(self.row, upper + missing),
            weight=weights(self.series, values, expected),
            surprises=surprises,
            surprise=self.combined.surprise_of(together),
        )

    def _raw_scores(
        self,
        times_s: IntArray,
        values: FloatArray,
        residual: FloatArray,
        table_scores: Mapping[str, FloatArray],
    ) -> dict[str, FloatArray]:
        found: dict[str, FloatArray] = {}
        for name in self.calibrations:
            match reads_of(name):
                case Reads.TABLE:
                    found[name] = table_scores[name]
                case Reads.RESIDUAL:
                    found[name] = self.detectors[name].score(residual)
                case Reads.VALUES:
                    ordinary = to_ordinary(values, int(self.baselines.exponent[self.row]))
                    found[name] = _score_values(
                        self.detectors[name], self.baselines.clock.local_s(times_s), ordinary
                    )
        return found

    def point(self, scores: SeriesScores, at: int, alpha: float) -> PointScore:
        """One value of `scores` as the service returns it.

        Args:
            at: index into the arrays. alpha: the p-value at or below which a value of weight 1 is an anomaly.
        """
        ts, value = as_utc(int(scores.times_s[at])), float(scores.values[at])
        if np.isnan(value):
            return PointScore(ts, None, None, None, None, None, False, (), ())
        surprise, expected = float(scores.surprise[at]), float(scores.expected[at])
        p_value = 10.0 ** -min(surprise, 300.0)
        is_anomaly = p_value <= float(scores.weight[at]) * alpha
        band = Band(expected=expected, lower=float(scores.lower[at]), upper=float(scores.upper[at]))
        return PointScore(
            ts=ts,
            value=value,
            band=band,
            score=float(score_of(np.asarray(surprise))),
            p_value=p_value,
            deviation_sigma=float(scores.residual[at]),
            is_anomaly=is_anomaly,
            filters=self.learned.filters(value, band) if is_anomaly else (),
            detectors=detector_results(
                {name: float(one[at]) for name, one in scores.surprises.items()} | {COMBINED: surprise}
            ),
        )


def scored_frame(scores: Mapping[int, SeriesScores], names: Sequence[str]) -> pl.DataFrame:
    """Series id -> its scores as rows of `scored_schema(names)`, in this order; `is_anomaly` is false everywhere."""
    of_series = list(scores.values())
    sizes = [one.times_s.size for one in of_series]

    def joined(values: Callable[[SeriesScores], NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([values(one) for one in of_series])

    def p_values(name: str) -> FloatArray:
        return 10.0 ** -joined(lambda one: one.surprises.get(name, np.full(one.times_s.size, np.nan)))

    surprise = joined(lambda one: one.surprise)
    columns: dict[str, Any] = {
        "series_id": np.repeat(np.array(list(scores), dtype=np.int64), sizes),
        "ts": pl.Series(joined(lambda one: one.times_s) * 1_000_000).cast(pl.Datetime("us", "UTC")),
        "value": joined(lambda one: one.values),
        "expected": joined(lambda one: one.expected),
        "lower": joined(lambda one: one.lower),
        "upper": joined(lambda one: one.upper),
        "score": score_of(surprise),
        "p_value": 10.0**-surprise,
        "surprise": surprise,
        "deviation_sigma": joined(lambda one: one.residual),
        "weight": joined(lambda one: one.weight),
        "is_anomaly": np.zeros(surprise.size, dtype=np.bool_),
        **{name: p_values(name) for name in names},
    }
    return pl.DataFrame(columns, schema=scored_schema(names)).with_columns(pl.col(pl.Float64).fill_nan(None))


def scored_schema(names: Sequence[str]) -> dict[str, Any]:
    """The columns of scored samples and their types, for these detectors."""
    return {**SCORED, **dict.fromkeys(names, pl.Float64)}


def combined_surprise(residual: FloatArray, surprises: Mapping[str, FloatArray]) -> FloatArray:
    """The mean of the two kinds of detectors, where each kind is the mean -log10 p of its detectors; not calibrated.

    Args:
        residual: float64, shape (n,); NaN = missing. surprises: detector -> -log10 p, shape (n,), at least one.
    Returns:
        float64, shape (n,); NaN where the residual is NaN, and where all detectors are.
    """
    of_values = [one for name, one in surprises.items() if reads_of(name) is Reads.VALUES]
    of_residuals = [one for name, one in surprises.items() if reads_of(name) is not Reads.VALUES]
    kinds = [_mean_of_known(group) for group in (of_residuals, of_values) if group]
    return np.where(np.isnan(residual), np.nan, _mean_of_known(kinds))


def _mean_of_known(parts: Sequence[FloatArray]) -> FloatArray:
    """The mean over the parts at each place, without parts that are NaN there."""
    stacked = np.array(parts)
    known = ~np.isnan(stacked)
    counts = known.sum(axis=0)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)


def _score_values(fitted: FittedDetector, local_s: IntArray, values: FloatArray) -> FloatArray:
    if isinstance(fitted, FittedTimedDetector):
        return fitted.score_at(local_s, values)
    return fitted.score(values)


def detector_results(surprises: Mapping[str, float]) -> tuple[DetectorResult, ...]:
    """Each detector's own score and p-value.

    Args:
        surprises: detector -> -log10 p; NaN where not scorable, which gives null.
    """
    results = []
    for name, surprise in surprises.items():
        known = not np.isnan(surprise)
        results.append(
            DetectorResult(
                detector=name,
                score=float(score_of(np.asarray(surprise))) if known else None,
                p_value=float(10.0 ** -min(surprise, 300.0)) if known else None,
            )
        )
    return tuple(results)
