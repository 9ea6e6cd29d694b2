"""Finds the breaches of the training window in the samples, to learn corrections and cascades from them."""

from collections import defaultdict
from functools import partial

import numpy as np
import polars as pl

from core.arrays import FloatArray
from core.domain import Series
from core.limit_changes import PastLimits
from models.breach.backtest import PastBreaches, find_breaches, find_rises, gradual_breaches
from models.breach.cascade import EFFECTS, IMPACT_FRACTIONS, level_at_fraction
from models.breach.learn_cascades import BreachTimes, HourlyPeaks
from models.breach.outlook import is_inert
from models.forecast.history import on_grid
from models.forecast.protocols import History
from models.series.thresholds import breach_threshold_of, is_upward, thresholds_over_time

#: Breaches of a metric for which predictions are repeated. More teach little and cost seconds.
MAX_BREACHES_OF_METRIC = 40
#: Rises for which predictions are repeated: of a series, and of a metric.
MAX_RISES_OF_SERIES, MAX_RISES_OF_METRIC = 60, 600
#: The level is the median of so many samples, as in `models.breach.bundle`.
SMOOTH_OVER = 3


class FleetBreaches:
    """Finds the breaches of one series after the other, and limits how many each metric contributes.

    Attributes:
        breaches: by `series_id`, of each series that breached.
        peaks: by `series_id`, hourly peaks of each series that can be the effect of a cascade.
    """

    def __init__(self) -> None:
        self.breaches: dict[int, BreachTimes] = {}
        self.peaks: dict[int, HourlyPeaks] = {}
        self._breach_budget = _Budget(MAX_BREACHES_OF_METRIC)
        self._rise_budget = _Budget(MAX_RISES_OF_METRIC)

    def find(
        self, series: Series, history: History, samples: pl.DataFrame, limits: PastLimits = ()
    ) -> PastBreaches | None:
        """Find the breaches and rises of one series.

        Args:
            series: with its threshold or limit.
            history: its history, from which steps are counted.
            samples: `core.frames.SAMPLES` of the training window with nothing left out; other series are ignored.
            limits: earlier limits; a past value is compared with the limit of its time.
        Returns:
            null if the series never came near its threshold, or if its metric has contributed enough.
        """
        threshold = breach_threshold_of(series)
        if threshold is None:
            return None
        mine = samples.filter(pl.col("series_id") == series.series_id, pl.col("value").is_finite()).sort("ts")
        if not mine.height:
            return None
        values = mine.get_column("value").rolling_median(SMOOTH_OVER, min_samples=1).to_numpy()
        seconds = mine.get_column("ts").dt.epoch("us").to_numpy() / 1e6
        upward = is_upward(series)
        at_time = thresholds_over_time(series, limits, seconds)
        assert at_time is not None  # noqa: S101 - it has a threshold
        at_s = find_breaches(seconds, values, at_time, upward=upward)
        if len(at_s):
            as_cause_s = _as_cause(series, at_s, seconds, values, limits)
            self.breaches[series.series_id] = BreachTimes(as_effect_s=at_s, as_cause_s=as_cause_s)
        if series.role in EFFECTS:
            start_s, hours = history.start.timestamp(), len(history) * history.step_s // 3_600
            peaks = HourlyPeaks.of(series, seconds, values, start_s=start_s, hours=hours)
            if peaks is not None:
                self.peaks[series.series_id] = peaks
        newest = at_s[len(at_s) - self._breach_budget.take(series, len(at_s)) :]
        if not len(newest) and not self._rise_budget.left(series):
            return None
        grid = on_grid(mine, step_s=history.step_s, end=history.end, steps=len(history))
        unfiltered = grid.get(series.series_id, np.full(len(history), np.nan))
        rises: list[int] = []
        if self._rise_budget.left(series):
            steps = np.arange(len(history), dtype=np.float64)
            grid_s = np.asarray(history.start.timestamp() + history.step_s * steps, dtype=np.float64)
            on_grid_s = thresholds_over_time(series, limits, grid_s)
            assert on_grid_s is not None  # noqa: S101 - it has a threshold
            found = find_rises(unfiltered, on_grid_s, upward=upward, season=(history.seasons or (1,))[0])
            wanted = min(len(found), MAX_RISES_OF_SERIES)
            rises = _evenly(found, self._rise_budget.take(series, wanted))
        if not len(newest) and not rises:
            return None
        return PastBreaches(
            at_s=tuple(newest.tolist()),
            rises=tuple(rises),
            unfiltered=unfiltered,
            seconds=seconds,
            values=values,
            limits=limits,
        )


def _as_cause(
    series: Series, at_s: FloatArray, seconds: FloatArray, values: FloatArray, limits: PastLimits
) -> tuple[FloatArray, ...]:
    """When the series crossed each possible impact level; without inertia, only its gradual breaches."""
    if is_inert(series):
        levels: list[float | FloatArray | None] = list(
            dict.fromkeys(level_at_fraction(series, fraction) for fraction in IMPACT_FRACTIONS)
        )
        if limits:
            levels = [
                thresholds_over_time(series, limits, seconds, partial(level_at_fraction, fraction=fraction))
                for fraction in IMPACT_FRACTIONS
            ]
        upward = is_upward(series)
        return tuple(find_breaches(seconds, values, one, upward=upward) for one in levels if one is not None)
    threshold = breach_threshold_of(series)
    assert threshold is not None  # noqa: S101 - it breached
    return (gradual_breaches(at_s, seconds, values, threshold, usual=float(np.median(values))),)


class _Budget:
    """How many items each metric may still contribute."""

    def __init__(self, of_a_metric: int) -> None:
        self._left: defaultdict[str, int] = defaultdict(lambda: of_a_metric)

    def left(self, series: Series) -> int:
        return self._left[series.metric]

    def take(self, series: Series, wanted: int) -> int:
        """As many of the wanted items as are left."""
        taken = min(wanted, self._left[series.metric])
        self._left[series.metric] -= taken
        return taken


def _evenly(steps: list[int], count: int) -> list[int]:
    """So many of the steps, evenly spread."""
    return [steps[index] for index in np.linspace(0, len(steps) - 1, count).astype(int)] if count else []
