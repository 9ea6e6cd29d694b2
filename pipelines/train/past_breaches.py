"""The breaches of the training window, found in the samples: what the ranges of the next ones are corrected by."""

from collections import Counter

import numpy as np
import polars as pl

from core.domain import Series
from models.breach_timing import PastBreaches, find_breaches
from models.forecasters.history import on_grid
from models.forecasters.protocols import History
from models.thresholds import is_upward, threshold_of

#: Breaches of a metric that are looked at; more teach little and cost seconds.
MOST_OF_A_METRIC = 40
#: Samples whose median is the level, as in `pipelines.forecast`.
SMOOTH_OVER = 3


def find_past_breaches(
    series: Series, history: History, samples: pl.DataFrame, counts: Counter[str]
) -> PastBreaches | None:
    """The newest breaches of one series; null where it had none, or its metric had enough of them.

    Args:
        samples: `core.frames.SAMPLES` of the training window, nothing left out; other series are ignored.
        counts: metric -> breaches found so far; is counted on.
    """
    threshold = threshold_of(series)
    left = MOST_OF_A_METRIC - counts[series.metric]
    if threshold is None or left <= 0:
        return None
    mine = samples.filter(pl.col("series_id") == series.series_id, pl.col("value").is_finite()).sort("ts")
    if not mine.height:
        return None
    values = mine.get_column("value").rolling_median(SMOOTH_OVER, min_samples=1).to_numpy()
    seconds = mine.get_column("ts").dt.epoch("us").to_numpy() / 1e6
    breaches = find_breaches(seconds, values, threshold, upward=is_upward(series))[-left:]
    if not len(breaches):
        return None
    counts[series.metric] += len(breaches)
    grid = on_grid(mine, step_s=history.step_s, end=history.end, steps=len(history))
    seen = grid.get(series.series_id, np.full(len(history), np.nan))
    return PastBreaches(at_s=tuple(breaches.tolist()), seen=seen, seconds=seconds, values=values)
