"""The forecasters of a fleet as one bundle, which is one version in the registry.

The bundle stores the choice, the error model and the newest history of each series, so that it needs nothing else
to forecast. Members that are fitted in milliseconds are fitted for each forecast; the others are stored as fitted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from core.arrays import FloatArray, IntArray
from core.cache import NewestBySeries
from core.errors import UnknownSeriesError
from core.frames import SAMPLES, TIME, require_frame
from core.moments import microseconds, moment_of
from models.forecast.catalog import find_forecaster
from models.forecast.choice.members import member_forecasts
from models.forecast.combination import combine
from models.forecast.entry import Entry
from models.forecast.files import ForecastParts, from_files, to_files
from models.forecast.intervals.conformal import LEVELS, ErrorModel
from models.forecast.intervals.widths import variability
from models.forecast.paths import ForecastPaths
from models.forecast.protocols import FittedForecaster, History, StoredForecaster
from models.forecast.recent import NOTHING, Recent, recent_of
from models.series.magnitude import to_ordinary

#: Number of the newest errors that correct the level of a stored member: a quarter of a day of hours.
NEWEST_ERRORS = 6
#: Long form of forecasts.
FORECASTS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "series_id": pl.Int64,
    "ts": TIME,
    **dict.fromkeys(("yhat", "lo_80", "hi_80", "lo_95", "hi_95"), pl.Float64),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The forecast of one series.

    Attributes:
        made_at: time of the first forecast value; each next one is `step_s` later.
        yhat: the median, length h.
        lower, upper: level -> bound, each of length h; intervals of higher levels enclose those of lower ones.
        models: member -> weight.
        errors: the distribution of the errors, for simulated paths.
    """

    series_id: int
    made_at: datetime
    step_s: int
    yhat: FloatArray
    lower: Mapping[float, FloatArray]
    upper: Mapping[float, FloatArray]
    models: Mapping[str, float]
    errors: ErrorModel

    def times(self) -> list[datetime]:
        return [self.made_at + timedelta(seconds=self.step_s * step) for step in range(len(self.yhat))]

    @property
    def times_us(self) -> IntArray:
        """The times in microseconds since 1970."""
        return microseconds(self.made_at) + 1_000_000 * self.step_s * np.arange(
            len(self.yhat), dtype=np.int64
        )

    def frame(self) -> pl.DataFrame:
        """The rows of `FORECASTS`; the levels 0.8 and 0.95 must be there."""
        return forecast_frame([self])


class ForecasterBundle:
    """The forecasters of all series of a tenant. Safe to use from several threads.

    Args:
        parts: everything that was fitted.
    """

    def __init__(self, parts: ForecastParts) -> None:
        self.parts = parts
        self._medians = NewestBySeries[FloatArray]()
        self._predictions = NewestBySeries[Prediction]()
        self._stored = NewestBySeries[Mapping[str, FittedForecaster]]()

    def with_entries(self, entries: Mapping[int, Entry]) -> "ForecasterBundle":
        """The bundle with other limits or histories of its series; it shares what was computed, which knows neither."""
        other = ForecasterBundle(replace(self.parts, entries=entries))
        other._medians, other._predictions, other._stored = self._medians, self._predictions, self._stored
        return other

    @property
    def entries(self) -> Mapping[int, Entry]:
        """series_id -> what the forecasts of that series need."""
        return self.parts.entries

    def forecast(
        self,
        series_id: int,
        recent: pl.DataFrame | None = None,
        horizon_steps: int | None = None,
        levels: Sequence[float] = LEVELS,
        *,
        at: datetime | None = None,
    ) -> Prediction:
        """Forecast one series from its newest values.

        Args:
            recent: `core.frames.SAMPLES` since the bundle was trained; null: forecast from the stored history.
            horizon_steps: null: as far as the bundle was trained for.
            levels: of the intervals.
            at: the present, which the first forecast is for; null: the end of the history.
        Raises:
            UnknownSeriesError: the bundle has no forecaster of that series.
            InsufficientDataError: fewer than two values are known at that moment.
        """
        newest = None if recent is None else recent_of(recent).get(series_id, NOTHING)
        history = self.present(self.entry(series_id), newest, at)
        return self.predict(series_id, history, horizon_steps, levels)

    def predict(
        self,
        series_id: int,
        history: History,
        horizon_steps: int | None = None,
        levels: Sequence[float] = LEVELS,
    ) -> Prediction:
        """Forecast one series from a history that `present` returned."""
        steps = horizon_steps or self.parts.horizon_steps
        # Within the hour the same forecast is requested again and again.
        question = (steps, tuple(levels), history.bounds, history.exponent, hash(history.values.tobytes()))
        return self._predictions.get(
            series_id, question, lambda: self._predicted(series_id, history, steps, levels)
        )

    def _predicted(
        self, series_id: int, history: History, horizon_steps: int, levels: Sequence[float]
    ) -> Prediction:
        entry = self.entry(series_id)
        yhat = self._median(series_id, entry, history, horizon_steps)
        errors = self._errors(entry, history)
        intervals = {level: errors.interval(yhat, level, history.bounds) for level in levels}
        return Prediction(
            series_id=series_id,
            made_at=history.end,
            step_s=history.step_s,
            yhat=history.in_unit(yhat),
            lower={level: history.in_unit(low) for level, (low, _) in intervals.items()},
            upper={level: history.in_unit(high) for level, (_, high) in intervals.items()},
            models=entry.choice.weights,
            errors=errors,
        )

    def paths(self, prediction: Prediction, count: int = 500) -> ForecastPaths:
        """Simulated paths around a prediction; equal for the same bundle and moment."""
        history = self.entry(prediction.series_id).history
        yhat = to_ordinary(prediction.yhat, history.exponent)
        seed = [self.parts.seed, prediction.series_id % 2**32, int(prediction.made_at.timestamp())]
        around = prediction.errors.paths(yhat, count, history.bounds, np.random.default_rng(seed))
        return around.from_ordinary(history.exponent)

    def entry(self, series_id: int) -> Entry:
        """What the forecasts of one series need.

        Raises:
            UnknownSeriesError: the bundle has no forecaster of that series.
        """
        if series_id not in self.entries:
            raise UnknownSeriesError(f"no forecaster was trained for series {series_id}")
        return self.entries[series_id]

    def present(self, entry: Entry, recent: Recent | None, at: datetime | None) -> History:
        """The stored history, extended to `at` with the recent samples, or cut at `at` if it ends later.

        The grid of the history is kept: an `at` between two of its points is rounded down.
        """
        history = entry.history
        moment = history.end if at is None else at
        if recent is None and at is None:
            return history
        if recent is not None and at is None and recent.times_us.size:
            newest = moment_of(int(recent.times_us.max()))
            moment = max(moment, newest + timedelta(seconds=entry.series.step_s))
        fresh = int((moment - history.end).total_seconds() // history.step_s)
        if fresh <= 0:
            return history.until(max(0, len(history) + fresh)) if fresh else history
        added = np.full(fresh, np.nan)
        if recent is not None:
            added = recent.means(start=history.end, step_s=history.step_s, steps=fresh)
        added = to_ordinary(added, history.exponent)
        return replace(history, values=np.concatenate([history.values, added]))

    def _errors(self, entry: Entry, history: History) -> ErrorModel:
        season = history.seasons[0] if history.seasons else 1
        return entry.choice.errors.at(variability(history.values, season), len(history) - len(entry.history))

    def _median(self, series_id: int, entry: Entry, history: History, horizon_steps: int) -> FloatArray:
        # The median takes a hundred times as long as the intervals, and serves all levels.
        question = (horizon_steps, hash(history.values.tobytes()))
        return self._medians.get(
            series_id, question, lambda: self._combined(series_id, entry, history, horizon_steps)
        )

    def _combined(self, series_id: int, entry: Entry, history: History, horizon_steps: int) -> FloatArray:
        # A stored member must not forecast from a moment before it was fitted: it has learned from later values.
        may_use = len(history) >= len(entry.history)
        stored = self._stored.get(series_id, None, lambda: _stored_members(entry)) if may_use else {}
        anew = [name for name in entry.choice.weights if name not in stored]
        yhat = member_forecasts(history, anew, horizon_steps, self.parts.trees)
        for name, fitted in stored.items():
            yhat[name] = _continued(fitted, entry, history, horizon_steps)
        return combine(yhat, entry.choice.weights)

    def predict_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Forecast each series that has samples in `frame`.

        Args:
            frame: `core.frames.SAMPLES`, the newest samples.
        Returns:
            series_id, ts, yhat, lo_80, hi_80, lo_95, hi_95.
        """
        samples = require_frame(frame, SAMPLES, "samples")
        ids = samples.get_column("series_id").unique().sort().to_list()
        known = [series_id for series_id in ids if series_id in self.entries]
        parts = [self.forecast(key, samples.filter(pl.col("series_id") == key)).frame() for key in known]
        return pl.concat(parts) if parts else pl.DataFrame(schema=dict(FORECASTS))

    def to_files(self) -> dict[str, bytes]:
        """Named files without pickles, see `models.forecast.files`."""
        return to_files(self.parts)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> "ForecasterBundle":
        """The bundle that `to_files` wrote; its forecasts are equal to the last bit.

        Raises:
            ModelUnavailableError: the files have another format.
        """
        return cls(from_files(files))


def forecast_frame(predictions: Sequence[Prediction]) -> pl.DataFrame:
    """The rows of `FORECASTS` of all predictions, in their order; the levels 0.8 and 0.95 must be there."""
    if not predictions:
        return pl.DataFrame(schema=dict(FORECASTS))
    lengths = [len(one.yhat) for one in predictions]
    times_us = np.concatenate([one.times_us for one in predictions])
    return pl.DataFrame(
        {
            "series_id": np.repeat([one.series_id for one in predictions], lengths),
            "ts": pl.Series(times_us).cast(TIME),
            "yhat": np.concatenate([one.yhat for one in predictions]),
            "lo_80": np.concatenate([one.lower[0.8] for one in predictions]),
            "hi_80": np.concatenate([one.upper[0.8] for one in predictions]),
            "lo_95": np.concatenate([one.lower[0.95] for one in predictions]),
            "hi_95": np.concatenate([one.upper[0.95] for one in predictions]),
        },
        schema=dict(FORECASTS),
    )


def _stored_members(entry: Entry) -> dict[str, FittedForecaster]:
    """Name -> the member as training fitted it."""
    found: dict[str, FittedForecaster] = {}
    for name, state in entry.states.items():
        forecaster = find_forecaster(name)
        if isinstance(forecaster, StoredForecaster):
            found[name] = forecaster.from_arrays(state)
    return found


def _continued(fitted: FittedForecaster, entry: Entry, history: History, horizon_steps: int) -> FloatArray:
    """The forecast of a stored member, moved by its median error in the newest hours since it was fitted."""
    since = len(history) - len(entry.history)
    path = fitted.predict(since + horizon_steps)
    if since:
        errors = history.values[-since:] - path[:since]
        if np.isfinite(errors).any():
            newest = errors[-NEWEST_ERRORS:]
            path = path + float(np.nanmedian(newest) if np.isfinite(newest).any() else 0.0)
    return history.bounds.clip(path[since:])
