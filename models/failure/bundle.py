"""The registered and served failure model: it predicts probabilities by horizon, a time, a type and reasons."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from core.arrays import Float32Array, FloatArray
from core.domain import FailureRisk, TimeRange
from core.durations import HOUR_S
from core.errors import InvalidFrameError
from core.lazy import Lazy
from models.failure.files import from_files, to_files
from models.failure.learning import margin
from models.failure.parts import FailureParts
from models.failure.reasons import factors_of
from models.failure.trees import flatten

#: A time is predicted only if a failure within the longest horizon is at least this likely.
TIME_FROM_PROBABILITY = 0.3
#: A type is predicted only if a failure within the longest horizon is at least this likely.
TYPE_FROM_PROBABILITY = 0.1
#: Up to this number of rows the flat trees are faster than XGBoost, which starts slowly.
FEW_ROWS = 8


class FailureBundle:
    """A failure model, ready to predict. Safe to use from several threads.

    Args:
        parts: all fitted parts.
    """

    def __init__(self, parts: FailureParts) -> None:
        self.parts = parts
        # Flattening takes a tenth of a second, and many bundles are only evaluated in large batches.
        self._trees = Lazy(lambda: tuple(flatten(boosters, len(parts.names)) for boosters in parts.boosters))

    @property
    def names(self) -> tuple[str, ...]:
        """The features, in the order of the columns."""
        return self.parts.names

    def probabilities(self, x: Float32Array) -> FloatArray:
        """Predict the probability of a failure within each horizon.

        Args:
            x: (rows, features), NaN = missing.
        Returns:
            (rows, horizons), in [0, 1], never falling along a row.
        """
        base = np.tile(np.array(self.parts.base), (len(x), 1))
        if not self.parts.boosters:
            return base
        margins = (
            [trees.margins(x) for trees in self._trees.get()]
            if len(x) <= FEW_ROWS
            else [margin(boosters, x) for boosters in self.parts.boosters]
        )
        learned = [calibrate(one) for calibrate, one in zip(self.parts.calibrators, margins, strict=True)]
        mixed = self.parts.trust * np.column_stack(learned) + (1 - self.parts.trust) * base
        return np.maximum.accumulate(mixed, axis=1)

    def contributions(self, x: Float32Array) -> FloatArray:
        """Exact SHAP values of the margin (log-odds) of the alert horizon; positive = raises the risk.

        This is faster than XGBoost's own computation, for single rows and for batches.

        Args:
            x: (rows, features), NaN = missing.
        Returns:
            (rows, features + 1); the last column is the bias.
        """
        if not self.parts.boosters:
            return np.zeros((len(x), len(self.parts.names) + 1))
        index = self.parts.horizons_s.index(self.parts.alert_horizon_s)
        return self._trees.get()[index].contributions(x)

    def predict(self, features: pl.DataFrame) -> list[FailureRisk]:
        """One risk for each row.

        Args:
            features: columns `names`, and `ts`, the time of each row; without `ts` no time to failure is predicted.
        Raises:
            InvalidFrameError: a feature is not among the columns.
        """
        missing = [name for name in self.parts.names if name not in features.columns]
        if missing:
            raise InvalidFrameError(f"features lack column {missing[0]!r} ({len(missing)} lack)")
        if features.is_empty():
            return []
        x = features.select(pl.col(name).cast(pl.Float32) for name in self.parts.names).to_numpy()
        times = features.get_column("ts").to_list() if "ts" in features.columns else [None] * len(x)
        return self.predict_rows(x, times)

    def predict_rows(self, x: Float32Array, times: Sequence[datetime | None]) -> list[FailureRisk]:
        """Like `predict`, but faster for one row; `x` is (rows, features), `times` has the time of each row."""
        x = np.where(np.isfinite(x), x, np.float32(np.nan))
        probabilities = self.probabilities(x)
        contributions = self.contributions(x)
        types = self._likely_types(x, probabilities)
        when = self._when(x, times, probabilities)
        return [
            FailureRisk(
                probability_by_horizon_s=dict(
                    zip(self.parts.horizons_s, probabilities[row].tolist(), strict=True)
                ),
                when=when[row],
                likely_type=types[row],
                factors=factors_of(
                    self.parts.names, x[row], contributions[row, :-1], float(contributions[row, -1])
                )
                if self.parts.boosters
                else (),
            )
            for row in range(len(x))
        ]

    def _likely_types(self, x: Float32Array, probabilities: FloatArray) -> list[str | None]:
        types: list[str | None] = [None] * len(x)
        rows = np.flatnonzero(probabilities[:, -1] >= TYPE_FROM_PROBABILITY)
        if self.parts.types is not None and len(rows):
            scores = np.asarray(self.parts.types.inplace_predict(x[rows]))
            for row, best in zip(rows.tolist(), scores.argmax(axis=1).tolist(), strict=True):
                types[row] = self.parts.type_names[best]
        return types

    def _when(
        self, x: Float32Array, times: Sequence[datetime | None], probabilities: FloatArray
    ) -> list[TimeRange | None]:
        """P10, P50 and P90 of the time to failure, given that it comes within the longest horizon."""
        when: list[TimeRange | None] = [None] * len(x)
        rows = np.flatnonzero(probabilities[:, -1] >= TIME_FROM_PROBABILITY)
        if self.parts.remaining is None or not len(rows):
            return when
        for row, hours in zip(rows.tolist(), self.parts.remaining.quantiles(x[rows]).tolist(), strict=True):
            ts = times[row]
            if ts is not None:
                p10, p50, p90 = (ts + timedelta(hours=round(max(hour, 0.0), 3)) for hour in hours)
                when[row] = TimeRange(p10=p10, p50=p50, p90=p90)
        return when

    def predict_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Predict only the probabilities: a row for each row of `frame`, a column `within_<h>h` for each horizon.

        Raises:
            InvalidFrameError: a feature is not among the columns.
        """
        risks = [risk.probability_by_horizon_s for risk in self.predict(frame)]
        return pl.DataFrame(
            {f"within_{h / HOUR_S:g}h": [risk[h] for risk in risks] for h in self.parts.horizons_s},
            schema={f"within_{h / HOUR_S:g}h": pl.Float64 for h in self.parts.horizons_s},
        )

    def to_files(self) -> dict[str, bytes]:
        """The bundle as named files without pickles, see `models.failure.files`."""
        return to_files(self.parts)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "FailureBundle":
        """The inverse of `to_files`.

        Raises:
            ModelUnavailableError: the files have another format.
        """
        return cls(from_files(files))
