"""The failure model as it is registered and served: probabilities by horizon, a time, a type and reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
import polars as pl
import xgboost as xgb
from numpy.typing import NDArray

from core.domain import FailureRisk, TimeRange
from core.errors import InvalidFrameError
from models.failure.binned import Floats
from models.failure.calibration import Calibrator
from models.failure.learning import margin
from models.failure.reasons import factors_of
from models.failure.remaining import RemainingTime
from models.failure.trees import FlatTrees, flatten

#: A time is told only where failing within the longest horizon is at least this likely.
TELL_TIME_FROM = 0.3
#: A type is told only where failing within the longest horizon is at least this likely.
TELL_TYPE_FROM = 0.1
#: Up to so many rows the flat trees are faster than XGBoost, which starts slowly.
FEW_ROWS = 8


@dataclass(frozen=True, kw_only=True)
class FailureBundle:
    """A fitted failure model; the same files give the same answers.

    Attributes:
        names: features, in the order of the columns.
        horizons_s: ascending.
        base: probability of failure within each horizon by the plain rate of incidents; the answer without boosters.
        boosters: for each horizon some whose mean margin counts; empty where there were too few incidents.
        calibrators: one for each horizon.
        remaining: the hours to a failure that comes within the longest horizon.
        types: classifier of the next failure's type, null where there are too few of each; `type_names` its classes.
        alert_horizon_s: horizon whose probability is held against `alert_threshold`, and whose reasons are told.
        trust: weight of what was learned against the plain rate, in (0, 1]; under 1 with few failures.
        failures: how many it was learned from.
        notes: what a reader must know, such as how few failures there were.
        reliability: horizon -> rows of (mean said, share that happened, count) on held-out moments.
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

    def probabilities(self, x: NDArray[np.float32]) -> Floats:
        """(rows, horizons), never falling along a row; `x` is (rows, features), NaN = missing."""
        base = np.tile(np.array(self.base), (len(x), 1))
        if not self.boosters:
            return base
        margins = (
            [trees.margins(x) for trees in self._trees]
            if len(x) <= FEW_ROWS
            else [margin(boosters, x) for boosters in self.boosters]
        )
        learned = [calibrate(one) for calibrate, one in zip(self.calibrators, margins, strict=True)]
        mixed = self.trust * np.column_stack(learned) + (1 - self.trust) * base
        return np.maximum.accumulate(mixed, axis=1)

    def contributions(self, x: NDArray[np.float32]) -> Floats:
        """SHAP values of the alert horizon's margin (log-odds), (rows, features + 1); the last column is the bias.

        Exact, and in rows and batches faster than XGBoost's own.
        """
        if not self.boosters:
            return np.zeros((len(x), len(self.names) + 1))
        index = self.horizons_s.index(self.alert_horizon_s)
        return self._trees[index].contributions(x)

    def predict(self, features: pl.DataFrame) -> list[FailureRisk]:
        """One risk for each row.

        Args:
            features: `names`, and `ts`, the time they speak of (without it no time to failure is told).
        Raises:
            InvalidFrameError: a feature is not among the columns.
        """
        missing = [name for name in self.names if name not in features.columns]
        if missing:
            raise InvalidFrameError(f"features lack column {missing[0]!r} ({len(missing)} lack)")
        if features.is_empty():
            return []
        x = features.select(pl.col(name).cast(pl.Float32) for name in self.names).to_numpy()
        times = features.get_column("ts").to_list() if "ts" in features.columns else [None] * len(x)
        return self.predict_rows(x, times)

    def predict_rows(self, x: NDArray[np.float32], times: Sequence[datetime | None]) -> list[FailureRisk]:
        """The same for rows that are arrays already: the short way for one prediction."""
        x = np.where(np.isfinite(x), x, np.float32(np.nan))
        probabilities = self.probabilities(x)
        contributions = self.contributions(x)
        types = self._likely_types(x, probabilities)
        when = self._when(x, times, probabilities)
        return [
            FailureRisk(
                probability_by_horizon_s=dict(zip(self.horizons_s, probabilities[row].tolist(), strict=True)),
                when=when[row],
                likely_type=types[row],
                factors=factors_of(self.names, x[row], contributions[row, :-1], float(contributions[row, -1]))
                if self.boosters
                else (),
            )
            for row in range(len(x))
        ]

    def _likely_types(self, x: NDArray[np.float32], probabilities: Floats) -> list[str | None]:
        types: list[str | None] = [None] * len(x)
        rows = np.flatnonzero(probabilities[:, -1] >= TELL_TYPE_FROM)
        if self.types is not None and len(rows):
            scores = np.asarray(self.types.inplace_predict(x[rows]))
            for row, best in zip(rows.tolist(), scores.argmax(axis=1).tolist(), strict=True):
                types[row] = self.type_names[best]
        return types

    def _when(
        self, x: NDArray[np.float32], times: Sequence[datetime | None], probabilities: Floats
    ) -> list[TimeRange | None]:
        """P10, P50 and P90 of the time to failure, given that it comes within the longest horizon."""
        when: list[TimeRange | None] = [None] * len(x)
        rows = np.flatnonzero(probabilities[:, -1] >= TELL_TIME_FROM)
        if self.remaining is None or not len(rows):
            return when
        for row, hours in zip(rows.tolist(), self.remaining.quantiles(x[rows]).tolist(), strict=True):
            ts = times[row]
            if ts is not None:
                p10, p50, p90 = (ts + timedelta(hours=round(max(hour, 0.0), 3)) for hour in hours)
                when[row] = TimeRange(p10=p10, p50=p50, p90=p90)
        return when

    @cached_property
    def _trees(self) -> tuple[FlatTrees, ...]:
        return tuple(flatten(boosters, len(self.names)) for boosters in self.boosters)

    def to_files(self) -> dict[str, bytes]:
        """Named files; no pickle (`models.failure.files`)."""
        from models.failure.files import to_files

        return to_files(self)

    @staticmethod
    def from_files(files: Mapping[str, bytes]) -> "FailureBundle":
        """The bundle that `to_files` was called on."""
        from models.failure.files import from_files

        return from_files(files)
