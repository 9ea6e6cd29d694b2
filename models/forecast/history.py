"""From samples to histories: an even grid, masks and gaps.

Maintenance, incidents and confirmed anomalies are not learned from, as in the baselines. The last hours are never
masked, because a forecast starts from the present state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numba
import numpy as np
import polars as pl

from core.arrays import FloatArray, IntArray
from core.domain import Role, Series, SeriesKind
from core.durations import DAY_S
from core.errors import InsufficientDataError
from core.frames import SAMPLES, require_frame
from models.forecast.protocols import MIN_POINTS, Bounds, History
from models.series.grid import mean_by_cell
from models.series.magnitude import exponents_of, to_ordinary
from models.series.robust import least_step

#: Number of the newest steps that are never masked.
UNMASKED_STEPS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCalendar:
    """What happened to the services, by service; the service "*" stands for all of them.

    Attributes:
        exclusions: spans that are not learned from.
        deploys: times; only of single services.
        holidays: dates, past and to come.
    """

    exclusions: Mapping[str, Sequence[tuple[datetime, datetime]]] = field(default_factory=dict)
    deploys: Mapping[str, Sequence[datetime]] = field(default_factory=dict)
    holidays: Mapping[str, Sequence[date]] = field(default_factory=dict)

    def exclusions_of(self, service: str) -> list[tuple[datetime, datetime]]:
        """The spans of one service."""
        return [span for key in (service, "*") for span in self.exclusions.get(key, ())]

    def holidays_of(self, service: str) -> tuple[date, ...]:
        """The holidays of one service, ascending."""
        return tuple(sorted({day for key in (service, "*") for day in self.holidays.get(key, ())}))


NO_EVENTS = ServiceCalendar()


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
    """A day and a week in steps, if they have at least two steps."""
    return tuple(span // step_s for span in (DAY_S, 7 * DAY_S) if span // step_s >= 2)


def on_grid(samples: pl.DataFrame, *, step_s: int, end: datetime, steps: int) -> dict[int, FloatArray]:
    """Average each series over `steps` even bins, of which the last ends at `end`.

    The bins end at `end` so that the newest one is complete at any minute of the hour.

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
    # Summed in the order of the rows: a parallel group-by adds in a different order each time, and the same data must
    # give the same model to the last bit.
    cells = rows * steps + slots
    means = mean_by_cell(cells, kept["value"].to_numpy(), len(ids) * steps)
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
    """A copy with NaN inside the spans, except in the last `keep_last` values, which a forecast starts from."""
    masked = values.copy()
    free = len(values) - keep_last
    for begin, stop in spans:
        first = int((begin - start).total_seconds() // step_s)
        last = int(-(-(stop - start).total_seconds() // step_s))
        masked[max(first, 0) : max(min(last, free), 0)] = np.nan
    return masked


def fill_gaps(values: FloatArray, season: int | None) -> FloatArray:
    """A copy without NaN: gaps get the values of the same phase in the nearest seasons, else a straight line.

    Raises:
        InsufficientDataError: there are fewer than two values.
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
    filled = np.where(known, values, line)
    edges = np.flatnonzero(np.diff(np.concatenate(([True], known, [True])).astype(np.int8)))
    firsts, lasts = edges[::2], edges[1::2]
    # A gap of up to an hour is a straight line; a longer one has the course of the seasons around it.
    long = lasts - firsts > max(1, season // 24)
    _fill(filled, values, firsts[long], lasts[long], season)
    return filled


@numba.njit(cache=True)
def _fill(filled: FloatArray, values: FloatArray, firsts: IntArray, lasts: IntArray, season: int) -> None:
    """Give each gap the mean of the values one season before and after it, where one of them is known."""
    for gap in range(len(firsts)):
        for at in range(firsts[gap], lasts[gap]):
            total, count = 0.0, 0
            for other in (at - season, at + season):
                if 0 <= other < len(values) and np.isfinite(values[other]):
                    total += values[other]
                    count += 1
            if count and np.isfinite(total):
                filled[at] = total / count


def prepare(history: History) -> FloatArray:
    """The values that a forecaster learns from, with gaps filled.

    Spikes stay: a spike every day is a pattern, incidents are masked before, and the median of the pool ignores the
    rest. Removing spikes made hourly forecasts worse.
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
    calendar: ServiceCalendar = NO_EVENTS,
) -> dict[int, History]:
    """Make the history of each series that has samples, without the values that must not be learned from.

    Args:
        samples: `core.frames.SAMPLES`.
        series: series_id -> series; samples of other series are ignored.
        step_s, end, steps: of the grid, see `on_grid`.
        calendar: what happened to the services.
    Returns:
        series_id -> history from its first value on.
    """
    found: dict[int, History] = {}
    for series_id, values in on_grid(samples, step_s=step_s, end=end, steps=steps).items():
        meta = series.get(series_id)
        if meta is None:
            continue
        begin = int(np.flatnonzero(np.isfinite(values))[0])
        start = end - timedelta(seconds=step_s * (steps - begin))
        exponent = int(exponents_of(values[None, begin:])[0])
        found[series_id] = History(
            values=mask_spans(
                to_ordinary(values[begin:], exponent),
                start,
                step_s,
                calendar.exclusions_of(meta.service),
                UNMASKED_STEPS,
            ),
            start=start,
            step_s=step_s,
            seasons=seasons_of(step_s),
            bounds=bounds_of(meta).scaled(-exponent),
            deploys=tuple(calendar.deploys.get(meta.service, ())),
            holidays=calendar.holidays_of(meta.service),
            exponent=exponent,
        )
    return found


def resolution(values: FloatArray) -> float:
    """The smallest step between different values, > 0: an error below it cannot be seen."""
    return least_step(values)
