"""From samples to histories: an even grid, masks and gaps.

What is left out follows the baselines' rules: maintenance, incidents and confirmed anomalies are not
learned from. The last hours are never left out of `present`, because a forecast starts from what is.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl

from core.arrays import FloatArray
from core.domain import Role, Series, SeriesKind
from core.durations import DAY_S
from core.errors import InsufficientDataError
from core.frames import SAMPLES, require_frame
from models.forecast.protocols import MIN_POINTS, Bounds, History


def bounds_of(series: Series) -> Bounds:
    """A ratio lies in [0, 1]; counts, bytes, rates and durations are not below 0."""
    if series.kind is SeriesKind.RATIO:
        return Bounds(lower=0.0, upper=1.0)
    if series.kind is SeriesKind.COUNTER or series.role in (
        Role.TRAFFIC,
        Role.ERRORS,
        Role.LATENCY,
        Role.CAPACITY,
    ):
        return Bounds(lower=0.0)
    return Bounds()


def seasons_of(step_s: int) -> tuple[int, ...]:
    """A day and a week in steps, where the step is fine enough to see them."""
    return tuple(span // step_s for span in (DAY_S, 7 * DAY_S) if span // step_s >= 2)


def on_grid(samples: pl.DataFrame, *, step_s: int, end: datetime, steps: int) -> dict[int, FloatArray]:
    """Each series averaged over `steps` even bins that close at `end`.

    Anchoring the bins at `end` keeps the newest one complete, whatever the minute of the hour.

    Args:
        samples: `core.frames.SAMPLES`; values at or after `end` are ignored.
    Returns:
        series_id -> float64 of length `steps`, NaN where a bin has no value.
    """
    frame = require_frame(samples, SAMPLES, "samples")
    start = end - timedelta(seconds=step_s * steps)
    kept = frame.filter(pl.col("ts") >= start, pl.col("ts") < end, pl.col("value").is_finite())
    ids, rows = np.unique(kept["series_id"].to_numpy(), return_inverse=True)
    slots = ((kept["ts"] - start).dt.total_seconds() // step_s).to_numpy()
    # Summed in the order of the rows: a parallel group-by adds in another order each time, and the same data
    # must give the same model to the last bit.
    cells = rows * steps + slots
    counts = np.bincount(cells, minlength=len(ids) * steps)
    totals = np.bincount(cells, weights=kept["value"].to_numpy(), minlength=len(ids) * steps)
    means = np.full(len(ids) * steps, np.nan)
    np.divide(totals, counts, out=means, where=counts > 0)
    grids: dict[int, FloatArray] = {
        int(key): values for key, values in zip(ids, means.reshape(len(ids), steps), strict=True)
    }
    return grids


def mask_spans(
    values: FloatArray,
    start: datetime,
    step_s: int,
    spans: Sequence[tuple[datetime, datetime]],
    keep_last: int,
) -> FloatArray:
    """A copy with NaN inside the spans, but for the last `keep_last` values: forecasts start from what is."""
    masked = values.copy()
    free = len(values) - keep_last
    for begin, stop in spans:
        first = int((begin - start).total_seconds() // step_s)
        last = int(-(-(stop - start).total_seconds() // step_s))
        masked[max(first, 0) : max(min(last, free), 0)] = np.nan
    return masked


def fill_gaps(values: FloatArray, season: int | None) -> FloatArray:
    """A copy without NaN: from the same phase of the nearest seasons, else along a straight line.

    Raises:
        InsufficientDataError: fewer than two values are there.
    """
    known = np.isfinite(values)
    if int(known.sum()) < MIN_POINTS:
        raise InsufficientDataError(f"a forecast needs {MIN_POINTS} values, got {int(known.sum())}")
    if known.all():
        return values.copy()
    positions = np.arange(len(values))
    line: FloatArray = np.interp(positions, positions[known], values[known])
    if season is None or len(values) < 2 * season:
        return line
    filled = np.where(known, values, np.nan)
    # A gap of an hour is bridged; a longer one takes its course from the seasons around it.
    for first, last in _gaps(known):
        if last - first <= max(1, season // 24):
            filled[first:last] = line[first:last]
            continue
        shape = _same_phase(values, first, last, season)
        here = np.isfinite(shape)
        filled[first:last] = np.where(here, shape, line[first:last])
    return filled


def _gaps(known: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([True], known, [True])).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _same_phase(values: FloatArray, first: int, last: int, season: int) -> FloatArray:
    """The mean of the values one season before and after each position of the gap; NaN where neither is."""
    total = np.zeros(last - first)
    count = np.zeros(last - first)
    for shift in (-season, season):
        at = np.arange(first, last) + shift
        inside = (at >= 0) & (at < len(values))
        found = np.full(last - first, np.nan)
        found[inside] = values[at[inside]]
        there = np.isfinite(found)
        total[there] += found[there]
        count[there] += 1
    mean: FloatArray = np.divide(total, count, out=np.full(last - first, np.nan), where=count > 0)
    return mean


def prepare(history: History) -> FloatArray:
    """The values that a model learns from: gaps filled.

    Spikes stay: a spike a day is a habit, incidents are masked before, and the median of the pool looks past
    the rest. Taming them made hourly forecasts worse.
    """
    season = history.usable_seasons[0] if history.usable_seasons else None
    return fill_gaps(history.values, season)


def histories(
    samples: pl.DataFrame,
    series: Mapping[int, Series],
    *,
    step_s: int,
    end: datetime,
    steps: int,
    exclusions: Mapping[str, Sequence[tuple[datetime, datetime]]] | None = None,
    deploys: Mapping[str, Sequence[datetime]] | None = None,
    holidays: Mapping[str, Sequence[date]] | None = None,
    keep_last: int = 6,
) -> dict[int, History]:
    """One history a series that has samples, without what must not be learned from.

    Args:
        samples: `core.frames.SAMPLES`.
        exclusions: service -> spans; "*" means all services.
        deploys: service -> times. holidays: service -> dates; "*" means all services.
    """
    found: dict[int, History] = {}
    for series_id, values in on_grid(samples, step_s=step_s, end=end, steps=steps).items():
        meta = series.get(series_id)
        if meta is None:
            continue
        begin = int(np.flatnonzero(np.isfinite(values))[0])
        start = end - timedelta(seconds=step_s * (steps - begin))
        spans = [span for key in (meta.service, "*") for span in (exclusions or {}).get(key, ())]
        found[series_id] = History(
            values=mask_spans(values[begin:], start, step_s, spans, keep_last),
            start=start,
            step_s=step_s,
            seasons=seasons_of(step_s),
            bounds=bounds_of(meta),
            deploys=tuple((deploys or {}).get(meta.service, ())),
            holidays=tuple(
                sorted({day for key in (meta.service, "*") for day in (holidays or {}).get(key, ())})
            ),
        )
    return found


def resolution(values: FloatArray) -> float:
    """The smallest step between different values: an error below it cannot be seen. Positive."""
    known = np.unique(values[np.isfinite(values)])
    gaps = np.diff(known)
    if len(gaps) and float(gaps[0]) > 0:
        return float(np.min(gaps))
    return max(1e-9, 1e-6 * float(np.max(np.abs(known), initial=0.0)))
