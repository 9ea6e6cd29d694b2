"""Checks that features contain nothing from the future: one of their code, one of a training set."""

from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
import polars as pl

from core.durations import DAY_S
from core.errors import LeakageError
from features.missing import floats_of

#: A feature whose rank correlation with the time to failure is as high as this contains the future.
KNOWS_THE_TIME = 0.97
#: The same for the outcome within a day, as area under the ROC curve.
KNOWS_THE_OUTCOME = 0.995
#: With fewer failing moments than this, a high rank correlation can be chance.
ENOUGH = 50
#: Columns that labels are made of. A feature with such a name is a leak.
OUTCOMES = ("failure_in_s", "next_type", "next_severity", "known_s", "usable")


def check_point_in_time(
    compute: Callable[[pl.DataFrame], pl.DataFrame], wide: pl.DataFrame, at: datetime
) -> None:
    """Change every value after `at` and check that the features up to `at` stay the same.

    Args:
        compute: computes features of a wide frame, with its `ts`.
    Raises:
        LeakageError: features depend on later values; the error names them.
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
    """Search for features that contain the future.

    Args:
        frame: labelled moments, with `failure_in_s` and `known_s` as `models.failure.labels.label` adds them.
    Raises:
        LeakageError: a feature has the name of an outcome, or ranks the outcomes as well as the outcome itself.
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
    """Absolute rank correlation (Spearman) over the rows where the feature is known."""
    known = ~np.isnan(values)
    if known.sum() < ENOUGH or np.ptp(values[known]) == 0:
        return 0.0
    return float(abs(np.corrcoef(_ranks(values[known]), times[known])[0, 1]))


def _apart(inside: np.ndarray, outside: np.ndarray) -> float:
    """The area under the ROC curve, in either direction; 0.5 if too little is known."""
    inside, outside = inside[~np.isnan(inside)], outside[~np.isnan(outside)]
    if len(inside) < ENOUGH or len(outside) < ENOUGH:
        return 0.5
    ranks = _ranks(np.concatenate([inside, outside]))[: len(inside)]
    area = (ranks.sum() - len(inside) * (len(inside) + 1) / 2) / (len(inside) * len(outside))
    return float(max(area, 1 - area))
