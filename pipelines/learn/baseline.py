"""Fit the nightly baselines from 30 days of samples, publish them as one version, and propose thresholds."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from core.arrays import BoolArray, IntArray
from core.domain import EventKind, Series
from core.durations import DAY_S, WEEK_S
from models.baseline.baselines import Fitted, fit_baselines
from models.baseline.seasons import NONE, SEASONALITY, WEEKLY
from models.series.clock import clocks
from models.series.grid import MONDAY_OFFSET_S, Grid, as_utc, exclusion_mask, grids
from models.series.proposed_thresholds import may_be_proposed, propose_threshold
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.learn.learning_window import learning_window
from pipelines.processes.parallel import chunked
from pipelines.stores.baselines import BASELINE_ROWS

#: With less history the stored note warns that the band is wide.
SHORT_DAYS = 14
#: Series whose samples are read at once, so that memory does not grow with the fleet.
SERIES_PER_READ = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineReport:
    """One published version.

    Attributes:
        series: how many series have a baseline.
        skipped: how many series had no samples in the window.
        seasonal: how many series have a daily or weekly season.
        shifts: how many lasting changes of level were found.
        explained: how many of these shifts follow a deploy.
        proposed: how many series without SLO and limit have a proposed threshold.
    """

    version: int
    window_start: datetime
    window_end: datetime
    series: int
    skipped: int
    seasonal: int
    shifts: int
    explained: int
    proposed: int = 0


@one_at_a_time("baselines")
def build_baselines(
    platform: Platform, *, at: datetime | None = None, progress: Progress = silent
) -> BaselineReport:
    """Fit the baselines of all series and publish them together, or none of them.

    Raises:
        InsufficientDataError: there are no samples.
    """
    window = learning_window(platform, at=at)
    known = {one.series_id: one for one in window.series}
    deploys = {
        key: [int(event.at.timestamp()) for event in window.events
              if event.kind is EventKind.DEPLOY and event.service in (one.service, "*")]
        for key, one in known.items()
    }  # fmt: skip
    frames, shifts, explained, done = [], 0, 0, 0
    proposed: dict[int, float | None] = {}
    for part in chunked(window.series, SERIES_PER_READ):
        samples = platform.store.samples.read(window.start, window.end, [one.series_id for one in part])
        for clock, members in clocks(part, window.events, platform.settings.time_zone).items():
            for grid in grids(samples, {one.series_id: one.step_s for one in members}):
                progress("baselines", done, len(known))
                excluded = exclusion_mask(grid, part, window.exclusions)
                fitted = fit_baselines(grid, excluded=excluded, deploys_s=deploys, clock=clock)
                frames.append(baseline_rows(fitted, known))
                proposed.update(_proposed_thresholds(grid, known, excluded))
                shifts += sum(map(len, fitted.shifts))
                explained += sum(one.deploy_s is not None for row in fitted.shifts for one in row)
                done += len(grid.series_ids)
    progress("baselines", len(known), len(known))
    rows = pl.concat(frames) if frames else pl.DataFrame(schema=BASELINE_ROWS)
    with platform.store.atomically():
        version = platform.store.baselines.publish(
            rows, window_start=window.start, window_end=window.end, model=None
        )
        platform.store.series.propose(proposed)
    return BaselineReport(
        version=version,
        window_start=window.start,
        window_end=window.end,
        series=rows.height,
        skipped=len(known) - rows.height,
        seasonal=rows.filter(pl.col("seasonality") != SEASONALITY[NONE]).height,
        shifts=shifts,
        explained=explained,
        proposed=sum(one is not None for one in proposed.values()),
    )


def _proposed_thresholds(
    grid: Grid, series: Mapping[int, Series], excluded: BoolArray
) -> dict[int, float | None]:
    """The proposed threshold of each series of the grid."""
    found = {}
    for row, series_id in enumerate(grid.series_ids.tolist()):
        one = series[series_id]
        values = (
            np.where(excluded[row], np.nan, grid.values[row]) if may_be_proposed(one) else grid.values[row]
        )
        found[series_id] = propose_threshold(one, values, step_s=grid.step_s, current=one.proposed_threshold)
    return found


def baseline_rows(fitted: Fitted, series: dict[int, Series]) -> pl.DataFrame:
    """`BASELINE_ROWS` of each series; series without any value are left out."""
    table = fitted.baselines
    rows = []
    for row, key in enumerate(table.series_ids):
        if table.count[row] == 0:
            continue
        season = int(table.seasonality[row])
        period_s = WEEK_S if season == WEEKLY else DAY_S
        slot_s = period_s if season == NONE else table.slot_s
        times_s = next_times_s(table.end_s, period_s, slot_s)
        expected = table.level[row] + table.season(row, times_s)
        scale = table.scale_at(row, times_s) if season != NONE else table.scale[row].max(keepdims=True)
        lower, upper = table.edges(row, expected, scale)
        mean, std = table.in_unit(row, np.array([table.mean[row], table.std[row]])).tolist()
        percentiles, expected, lower, upper = (
            table.in_unit(row, one).tolist() for one in (table.percentiles[row], expected, lower, upper)
        )
        rows.append((
            int(key), int(table.count[row]), mean, std, percentiles, SEASONALITY[season],
            [as_utc(shift.at_s) for shift in fitted.shifts[row]], expected, int(slot_s), lower, upper,
            note(float(table.days[row]), season),
        ))  # fmt: skip
    return pl.DataFrame(rows, schema=BASELINE_ROWS, orient="row")


def next_times_s(end_s: int, period_s: int, slot_s: int) -> IntArray:
    """The next time after `end_s` at which each slot of the period begins.

    Slot 0 is Monday (for a daily period: any day) 00:00 UTC, as stored. The stored profile is therefore that of the
    coming days, with their clock changes and holidays.
    """
    first = (end_s + MONDAY_OFFSET_S) // period_s * period_s - MONDAY_OFFSET_S
    times_s = np.arange(first, first + period_s, slot_s, dtype=np.int64)
    return np.where(times_s + slot_s <= end_s, times_s + period_s, times_s)


def note(days: float, season: int) -> str:
    """A warning for readers of the band if it was fitted on a short history; "" otherwise."""
    if days >= SHORT_DAYS:
        return ""
    learned = {NONE: "no season yet", 1: "hour of the day only"}.get(season, "")
    return f"learned from {days:.1f} days, {learned}; the band is wide accordingly".replace(", ;", ";")
