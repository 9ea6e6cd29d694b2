"""The breaches of the training window, found in the samples: what is said of the next ones is corrected by them."""

from collections import defaultdict

import numpy as np
import polars as pl

from core.domain import Series
from models.breach.backtest import PastBreaches, find_breaches, find_rises, gradual_breaches
from models.breach.cascade import EFFECTS, WAYS, level_between
from models.breach.learn_cascades import Breached, Heights
from models.breach.outlook import is_inert
from models.forecast.history import on_grid
from models.forecast.protocols import FloatArray, History
from models.series.thresholds import is_upward, threshold_of

#: Breaches of a metric that are looked back on; more teach little and cost seconds.
MOST_OF_A_METRIC = 40
#: Moments that are looked from whether a breach came or not: of a series, and of a metric.
TRIED_OF_A_SERIES, TRIED_OF_A_METRIC = 60, 600
#: Samples whose median is the level, as in `pipelines.watch.forecast`.
SMOOTH_OVER = 3


class PastOfFleet:
    """Finds the breaches of one series after the other, and keeps count.

    Attributes:
        breaches: by `series_id`, of each series that had any.
        heights: series_id -> how high it rose, of each that others may be felt in.
    """

    def __init__(self) -> None:
        self.breaches: dict[int, Breached] = {}
        self.heights: dict[int, Heights] = {}
        self._breached = _Budget(MOST_OF_A_METRIC)
        self._tried = _Budget(TRIED_OF_A_METRIC)

    def find(self, series: Series, history: History, samples: pl.DataFrame) -> PastBreaches | None:
        """What one series teaches; null where it never came near its threshold, or enough is known of its metric.

        Args:
            samples: `core.frames.SAMPLES` of the training window, nothing left out; other series are ignored.
        """
        threshold = threshold_of(series)
        if threshold is None:
            return None
        mine = samples.filter(pl.col("series_id") == series.series_id, pl.col("value").is_finite()).sort("ts")
        if not mine.height:
            return None
        values = mine.get_column("value").rolling_median(SMOOTH_OVER, min_samples=1).to_numpy()
        seconds = mine.get_column("ts").dt.epoch("us").to_numpy() / 1e6
        upward = is_upward(series)
        at_s = find_breaches(seconds, values, threshold, upward=upward)
        if len(at_s):
            foreseen = _foreseen(series, at_s, seconds, values)
            self.breaches[series.series_id] = Breached(came=at_s, foreseen=foreseen)
        if series.role in EFFECTS:
            start_s, hours = history.start.timestamp(), len(history) * history.step_s // 3_600
            found = Heights.of(series, seconds, values, start_s=start_s, hours=hours)
            if found is not None:
                self.heights[series.series_id] = found
        newest = at_s[len(at_s) - self._breached.take(series, len(at_s)) :]
        if not len(newest) and not self._tried.left(series):
            return None
        grid = on_grid(mine, step_s=history.step_s, end=history.end, steps=len(history))
        seen = grid.get(series.series_id, np.full(len(history), np.nan))
        tried: list[int] = []
        if self._tried.left(series):
            rises = find_rises(seen, threshold, upward=upward, season=(history.seasons or (1,))[0])
            tried = _spread(rises, self._tried.take(series, min(len(rises), TRIED_OF_A_SERIES)))
        if not len(newest) and not tried:
            return None
        return PastBreaches(
            at_s=tuple(newest.tolist()), tried=tuple(tried), seen=seen, seconds=seconds, values=values
        )


def _foreseen(
    series: Series, at_s: FloatArray, seconds: FloatArray, values: FloatArray
) -> tuple[FloatArray, ...]:
    """When it came to each level from which others may feel it; what has no inertia: when it crept to its threshold."""
    if is_inert(series):
        levels = dict.fromkeys(level_between(series, way) for way in WAYS)
        upward = is_upward(series)
        return tuple(find_breaches(seconds, values, one, upward=upward) for one in levels if one is not None)
    threshold = threshold_of(series)
    assert threshold is not None  # noqa: S101 - it breached
    return (gradual_breaches(at_s, seconds, values, threshold, usual=float(np.median(values))),)


class _Budget:
    """How many of something each metric still takes."""

    def __init__(self, of_a_metric: int) -> None:
        self._left: defaultdict[str, int] = defaultdict(lambda: of_a_metric)

    def left(self, series: Series) -> int:
        return self._left[series.metric]

    def take(self, series: Series, wanted: int) -> int:
        """As many of those that are wanted as are left."""
        taken = min(wanted, self._left[series.metric])
        self._left[series.metric] -= taken
        return taken


def _spread(steps: list[int], count: int) -> list[int]:
    """So many of them, from all over."""
    return [steps[index] for index in np.linspace(0, len(steps) - 1, count).astype(int)] if count else []
