"""Nothing from the future: a check on how features are made, and one on a training set that is there."""

from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
import polars as pl

from core.durations import DAY_S
from core.errors import LeakageError
from features.missing import floats_of

#: A feature that ranks the times to failure as well as this knows them: no honest one comes near.
KNOWS_THE_TIME = 0.97
#: The same for the outcome within a day: an honest feature leaves doubt in every twentieth pair of moments.
KNOWS_THE_OUTCOME = 0.995
#: Fewer failing moments than this cannot tell knowledge from chance.
ENOUGH = 50
#: What labels are made of; as a feature it is a leak by its name alone.
OUTCOMES = ("failure_in_s", "next_type", "next_severity", "known_s", "usable")


def check_point_in_time(
    compute: Callable[[pl.DataFrame], pl.DataFrame], wide: pl.DataFrame, at: datetime
) -> None:
    """Changes every value after `at` and wants the features up to `at` to stay as they were.

    Args:
        compute: makes features of a wide frame, with its `ts`.
    Raises:
        LeakageError: naming the features that looked ahead.
    """
    later = pl.col("ts") > at
    changed = wide.with_columns(
        pl.when(later).then(pl.col(name) * -3.0 + 7.0).otherwise(pl.col(name)).alias(name)
        for name in wide.columns
        if name != "ts"
    )
    before, after = (compute(frame).filter(~later) for frame in (wide, changed))
    cut = compute(wide.filter(~later))
    ahead = [
        name
        for name in before.columns
        if name != "ts" and not (_same(before[name], after[name]) and _same(before[name], cut[name]))
    ]
    if ahead:
        raise LeakageError(f"features look ahead of their time: {', '.join(ahead)}")


def check_training_set(frame: pl.DataFrame, names: Sequence[str]) -> None:
    """Looks for features that know what came next.

    Args:
        frame: labelled moments, with `failure_in_s` and `known_s` as `models.failure.labels.label` adds them.
    Raises:
        LeakageError: a feature is an outcome by its name, or ranks the outcomes as only the outcome itself can.
    """
    named = sorted(set(names) & set(OUTCOMES))
    if named:
        raise LeakageError(f"outcomes among the features: {', '.join(named)}")
    failing = frame.filter(pl.col("failure_in_s") <= DAY_S)
    calm = frame.filter(
        (pl.col("failure_in_s").is_null() | (pl.col("failure_in_s") > DAY_S)) & (pl.col("known_s") >= DAY_S)
    )
    if failing.height < ENOUGH or calm.height < ENOUGH:
        return
    times = _ranks(failing.get_column("failure_in_s").to_numpy())
    knowing = []
    for name in names:
        inside, outside = (floats_of(part.get_column(name)) for part in (failing, calm))
        if _correlation(inside, times) > KNOWS_THE_TIME or _apart(inside, outside) > KNOWS_THE_OUTCOME:
            knowing.append(name)
    if knowing:
        raise LeakageError(f"features know what came next: {', '.join(knowing)}")


def _same(left: pl.Series, right: pl.Series) -> bool:
    a, b = (floats_of(one) for one in (left, right))
    return bool(np.allclose(a, b, rtol=1e-9, atol=1e-9, equal_nan=True))


def _ranks(values: np.ndarray) -> np.ndarray:
    return pl.Series(values).rank("average").to_numpy()


def _correlation(values: np.ndarray, times: np.ndarray) -> float:
    """|Spearman's rank correlation| where the feature is known."""
    known = ~np.isnan(values)
    if known.sum() < ENOUGH or np.ptp(values[known]) == 0:
        return 0.0
    return float(abs(np.corrcoef(_ranks(values[known]), times[known])[0, 1]))


def _apart(inside: np.ndarray, outside: np.ndarray) -> float:
    """The area under the ROC curve, by ranks, whichever side is up; 0.5 where too little is known."""
    inside, outside = inside[~np.isnan(inside)], outside[~np.isnan(outside)]
    if len(inside) < ENOUGH or len(outside) < ENOUGH:
        return 0.5
    ranks = _ranks(np.concatenate([inside, outside]))[: len(inside)]
    area = (ranks.sum() - len(inside) * (len(inside) + 1) / 2) / (len(inside) * len(outside))
    return float(max(area, 1 - area))
