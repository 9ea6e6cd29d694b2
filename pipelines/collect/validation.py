"""Validates samples. An invalid one is rejected with a reason that names the column and the value."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from core.domain import Series, SeriesKind
from core.frames import SAMPLES, has_null, require_frame, sample_arrays
from core.moments import microseconds
from pipelines.stores.dead_letters import REJECTED

#: Clocks of machines differ. A larger difference is an error.
FUTURE_TOLERANCE_S = 600
#: An older time is an error, such as 0 or an epoch in the wrong unit.
OLDEST = datetime(1990, 1, 1, tzinfo=UTC)
#: Rounding can move a computed ratio slightly below 0 or above 1.
RATIO_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Validated:
    """`accepted` is `SAMPLES`; `rejected` has columns `row` (JSON text) and `reason`."""

    accepted: pl.DataFrame
    rejected: pl.DataFrame


def validate_samples(
    samples: pl.DataFrame,
    series: Mapping[int, Series],
    now: datetime,
    origins: pl.DataFrame | None = None,
    *,
    counts: bool = False,
) -> Validated:
    """Separate valid samples from invalid ones.

    An old sample is valid, because an old history can be imported; retention decides what stays.

    Args:
        samples: `SAMPLES`, in any order.
        series: the series that samples may belong to, by id.
        origins: file and line of samples, for the rejected ones (`core.batch.Batch.origins`).
        counts: the values are counts of counters, not rates.
    Raises:
        InvalidFrameError: the frame is not `SAMPLES`.
    """
    frame = require_frame(samples, SAMPLES, "samples")
    if _all_valid(frame, series, now):
        return Validated(frame, pl.DataFrame(schema=REJECTED))
    reason = _reason(series, now)
    checked = frame.with_columns(reason=reason)
    bad = checked.filter(pl.col("reason").is_not_null())
    if bad.is_empty():
        return Validated(frame, pl.DataFrame(schema=REJECTED))
    accepted = checked.filter(pl.col("reason").is_null()).select(*SAMPLES)
    return Validated(accepted, rejected_rows(bad, series, origins, counts=counts))


def rejected_rows(
    bad: pl.DataFrame,
    series: Mapping[int, Series],
    origins: pl.DataFrame | None = None,
    *,
    counts: bool = False,
) -> pl.DataFrame:
    """Samples with a `reason` as dead letters: name of the series, time in ISO 8601, value, and file and line.

    The id of the series, and whether the value is a rate of a counter, are for `retry_dead_letters`.
    """
    if bad.is_empty():
        return pl.DataFrame(schema=REJECTED)
    if origins is None:
        placed = bad.with_columns(file=pl.lit(None, pl.String), line=pl.lit(None, pl.Int64))
    else:
        # Of two equal rows the second is the one that is rejected.
        last = origins.unique(list(SAMPLES), keep="last", maintain_order=True)
        placed = bad.join(last, on=list(SAMPLES), how="left", nulls_equal=True, maintain_order="left")
    rows = [
        json.dumps(
            {
                **({} if file is None else {"file": file, "line": line}),
                **_series_in_row(series_id, series, counts=counts),
                "ts": None if ts is None else ts.isoformat(),
                "value": value if value is None or abs(value) < float("inf") else str(value),
            }
        )
        for series_id, ts, value, file, line in placed.select(*SAMPLES, "file", "line").iter_rows()
    ]
    where = pl.when(pl.col("line").is_not_null()).then(pl.format("line {}: ", "line")).otherwise(pl.lit(""))
    reasons = placed.select(reason=pl.concat_str(where, "reason"))["reason"]
    return pl.DataFrame({"row": rows, "reason": reasons}, schema=REJECTED)


def _series_in_row(
    series_id: int | None, series: Mapping[int, Series], *, counts: bool
) -> Mapping[str, object]:
    known = None if series_id is None else series.get(series_id)
    if known is None:
        return {"series": series_id}
    rate = {} if counts or known.kind is not SeriesKind.COUNTER else {"rate": True}
    return {"series": known.name, "series_id": series_id, **rate}


def _all_valid(frame: pl.DataFrame, series: Mapping[int, Series], now: datetime) -> bool:
    """Whether no row has an error. This is known much sooner than the reasons, which are texts."""
    if frame.is_empty():
        return True
    if has_null(frame):
        return False
    ids, times, values = sample_arrays(frame)
    latest = now + timedelta(seconds=FUTURE_TOLERANCE_S)
    if not (
        np.isfinite(values).all()
        and times.min() >= microseconds(OLDEST)
        and times.max() <= microseconds(latest)
        and series.keys() >= set(ids.tolist())
    ):
        return False
    below = ids[values < 0].tolist()
    if any(series[one].kind is SeriesKind.COUNTER for one in below):
        return False
    outside = ids[(values < -RATIO_TOLERANCE) | (values > 1 + RATIO_TOLERANCE)].tolist()
    return not any(series[one].kind is SeriesKind.RATIO for one in outside)


def _reason(series: Mapping[int, Series], now: datetime) -> pl.Expr:
    """The first error of a row; null when there is none."""
    series_id, ts, value = pl.col("series_id"), pl.col("ts"), pl.col("value")
    ratios = [key for key, item in series.items() if item.kind is SeriesKind.RATIO]
    counters = [key for key, item in series.items() if item.kind is SeriesKind.COUNTER]
    latest = now + timedelta(seconds=FUTURE_TOLERANCE_S)
    in_ratio = value.is_between(-RATIO_TOLERANCE, 1 + RATIO_TOLERANCE)
    shown = pl.format("value {}", value)
    return (
        pl.when(series_id.is_null())
        .then(pl.lit("series_id is missing"))
        .when(~series_id.is_in(list(series)))
        .then(pl.format("series_id {} is not a known series", series_id))
        .when(ts.is_null())
        .then(pl.lit("ts is missing or not a time"))
        .when(ts > latest)
        .then(pl.format("ts {} is in the future", ts.dt.to_string("iso:strict")))
        .when(ts < OLDEST)
        .then(
            pl.format("ts {} is before 1990: is the unit of the epoch right?", ts.dt.to_string("iso:strict"))
        )
        .when(value.is_null())
        .then(pl.lit("value is missing"))
        .when(~value.is_finite())
        .then(pl.format("value {} is not a finite number", value))
        .when(series_id.is_in(ratios) & ~in_ratio)
        .then(pl.concat_str(shown, pl.lit(" is outside 0 to 1, the range of a ratio")))
        .when(series_id.is_in(counters) & (value < 0))
        .then(pl.concat_str(shown, pl.lit(" is below 0, and a counter never falls")))
        .otherwise(None)
    )
