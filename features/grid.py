"""Samples on a regular grid: for each service a wide frame with one column for each slot, as features read it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from core.arrays import FloatArray, IntArray
from core.directions import low_is_bad
from core.domain import DEFAULT_STEP_S, Event, EventKind, Series, SeriesKind
from core.durations import DAY_S, HOUR_S
from core.frames import SAMPLES, TIME, require_frame
from core.metric_names import feature_slot
from core.service_names import service_id
from features.missing import column_of
from features.slots import SLOTS, dependencies, scale_of

#: Columns for the services that this one calls: the worst value among them.
UPSTREAM = ("upstream_errors", "upstream_latency", "upstream_saturation")
#: Ages of events count up to two weeks.
AGE_CAP_H = 336.0
#: A series without limit and SLO becomes a multiple of its mean over so many days; null until there is a mean.
NORMAL_DAYS = 1
#: Slots of resources that end.
USED_UP = ("memory", "disk", "connections")


#: Shares are multiples of a millionth, as a power of two: sums of them are exact, so that a running sum does not depend
#: on where it began, and the same moment always has the same features.
RESOLUTION = 2.0**20
#: No share is larger than this: a value so far beyond its limit is a mistake, and its square must stay exact.
LARGEST_SHARE = 2.0**20
#: A larger value counts as this, so that sums over a day are finite.
LARGEST_VALUE = 2.0**500


@dataclass(frozen=True)
class FleetGrid:
    """The shares of limits and SLOs of a fleet at each step.

    Attributes:
        shares: float64 (services, slots, steps): value / limit or SLO, or value / recent mean without either; NaN =
            missing. Of several series in one slot the highest share counts.
        start: time of step 0.
    """

    tenant: str
    services: tuple[str, ...]
    shares: FloatArray
    start: datetime
    step_s: int
    depends_on: Mapping[str, tuple[str, ...]]
    events: tuple[Event, ...]

    def wide(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """(service_id, frame): `ts`, a column for each slot, the columns of `UPSTREAM`, and the ages of events.

        The row of step k contains only what is known at the time of step k.
        """
        steps = self.shares.shape[2]
        times = (
            pl.datetime_range(
                self.start,
                self.start + timedelta(seconds=self.step_s * (steps - 1)),
                timedelta(seconds=self.step_s),
                time_unit="us",
                eager=True,
            )
            .cast(TIME)
            .alias("ts")
        )
        seconds = int(self.start.timestamp()) + np.arange(steps, dtype=np.int64) * self.step_s
        rows = {service: row for row, service in enumerate(self.services)}
        for row, service in enumerate(self.services):
            columns = {slot: self.shares[row, index] for index, slot in enumerate(SLOTS)}
            upstream = [rows[name] for name in self.depends_on.get(service, ()) if name in rows]
            columns |= _upstream(self.shares, upstream)
            mine = [event for event in self.events if event.service in (service, "*")]
            columns |= _event_ages(mine, seconds)
            known = (column_of(values).alias(name) for name, values in columns.items())
            yield service_id(self.tenant, service), pl.DataFrame([times, *known])


def fleet_grid(
    samples: pl.DataFrame,
    series: Sequence[Series],
    events: Sequence[Event],
    *,
    start: datetime,
    end: datetime,
    depends_on: Mapping[str, tuple[str, ...]] | None = None,
) -> FleetGrid:
    """The grid from `start` to `end`, both included; of several samples in a step the last one counts.

    Args:
        samples: `core.frames.SAMPLES`; samples of other series or times are ignored.
        series: of one tenant.
        depends_on: service -> services it calls; by default from the labels of the series.
    Raises:
        InvalidFrameError: `samples` is not such a frame.
    """
    frame = require_frame(samples, SAMPLES, "samples").filter(
        pl.col("value").is_finite() & pl.col("ts").is_between(start, end)
    )
    if not frame.get_column("series_id").is_sorted():
        frame = frame.sort("series_id", "ts")
    step_s = DEFAULT_STEP_S
    services = tuple(sorted({one.service for one in series}))
    rows = {service: row for row, service in enumerate(services)}
    steps = int((end - start).total_seconds() // step_s) + 1
    shares = np.full((len(services), len(SLOTS), steps), np.nan)
    ids = frame.get_column("series_id").to_numpy()
    index = (frame.get_column("ts").to_physical().to_numpy() - _micros(start)) // (step_s * 1_000_000)
    values = frame.get_column("value").to_numpy()
    for one in series:
        slot = feature_slot(one.metric, one.role)
        first, last = np.searchsorted(ids, [one.series_id, one.series_id + 1])
        if slot is None or first == last:
            continue
        target = shares[rows[one.service], SLOTS.index(slot)]
        mine = np.full(steps, np.nan)
        mine[index[first:last]] = values[first:last]
        with np.errstate(over="ignore"):  # `LARGEST_SHARE` bounds the share
            share = _share(one, slot, mine, DAY_S // step_s * NORMAL_DAYS)
        np.fmax(target, share, out=target)
    shares = np.round(np.clip(shares, -LARGEST_SHARE, LARGEST_SHARE) * RESOLUTION) / RESOLUTION
    return FleetGrid(
        tenant=series[0].tenant if series else "",
        services=services,
        shares=shares,
        start=start,
        step_s=step_s,
        depends_on=dependencies(series) if depends_on is None else depends_on,
        events=tuple(events),
    )


def _share(series: Series, slot: str, values: FloatArray, steps: int) -> FloatArray:
    """The values as shares, high = bad.

    Args:
        steps: over which the values show what is usual.
    """
    scale = scale_of(series) if slot != "traffic" else None
    if slot == "traffic" or not low_is_bad(series):
        return values / scale if scale is not None else _relative(values, steps)
    lowest = series.threshold
    if lowest is None:
        return np.clip(2.0 - _relative(values, steps), 0.0, 2.0)
    return _used_share(series, slot, values, column_of(values).rolling_max(steps, min_samples=12).to_numpy())


def _used_share(series: Series, slot: str, values: FloatArray, most: FloatArray) -> FloatArray:
    """The used share of what is left over: 0 if nothing is used, 1 at the threshold.

    The whole is 1 of a ratio, else the limit if no value exceeds it (then it is a size), else the most that was left
    lately.
    """
    limit = series.limit or 0.0
    is_size = (limit > 0) & ~(most > limit)
    whole = np.ones_like(values) if series.kind is SeriesKind.RATIO else np.where(is_size, limit, most)
    lowest = np.where(is_size, 0.0, limit) if series.slo_threshold is None else series.slo_threshold
    room = whole - lowest
    # Without room the threshold is reached, or nothing can be said.
    used = np.where(values <= lowest, 1.0, np.where(np.isfinite(values), 0.0, np.nan))
    np.divide(whole - values, room, out=used, where=room > 0)
    # A disk cannot be used up twice; errors can be ten times as many as the SLO allows.
    return np.clip(used, 0.0, 1.0 if slot in USED_UP else None)


def _relative(values: FloatArray, steps: int) -> FloatArray:
    values = np.clip(values, -LARGEST_VALUE, LARGEST_VALUE)
    usual = column_of(values).rolling_mean(steps, min_samples=12).to_numpy()
    out = np.full_like(values, np.nan)
    np.divide(values, usual, out=out, where=usual > 0)
    return out


def _upstream(shares: FloatArray, rows: list[int]) -> dict[str, FloatArray]:
    def worst(*slots: str) -> FloatArray:
        picked = shares[np.ix_(rows, [SLOTS.index(slot) for slot in slots])]
        return np.asarray(np.fmax.reduce(picked.reshape(-1, shares.shape[2]), axis=0, initial=np.nan))

    return {
        "upstream_errors": worst("errors"),
        "upstream_latency": worst("latency"),
        "upstream_saturation": worst("memory", "disk", "connections", "queue"),
    }


def _event_ages(events: Sequence[Event], seconds: IntArray) -> dict[str, FloatArray]:
    """Hours since the last event of each kind, and their number in a day; future events do not count."""
    columns: dict[str, FloatArray] = {}
    for kind, name in ((EventKind.DEPLOY, "deploy"), (EventKind.CONFIG_CHANGE, "config")):
        at = np.sort(np.array([e.at.timestamp() for e in events if e.kind is kind], dtype=np.float64))
        columns[f"hours_since_{name}"] = _age_h(at, seconds)
        columns[f"{name}s_24h"] = (
            np.searchsorted(at, seconds, side="right") - np.searchsorted(at, seconds - DAY_S, side="right")
        ).astype(np.float64)
    windows = [event for event in events if event.kind is EventKind.MAINTENANCE]
    inside = np.zeros(len(seconds))
    ends = []
    for window in windows:
        until = (window.until or window.at).timestamp()
        inside[(seconds >= window.at.timestamp()) & (seconds < until)] = 1.0
        ends.append(until)
    columns["in_maintenance"] = inside
    columns["hours_since_maintenance"] = _age_h(np.sort(np.array(ends, dtype=np.float64)), seconds)
    return columns


def _age_h(at: FloatArray, seconds: IntArray) -> FloatArray:
    if not len(at):
        return np.full(len(seconds), AGE_CAP_H)
    last = np.searchsorted(at, seconds, side="right") - 1
    age = np.where(last >= 0, (seconds - at[np.maximum(last, 0)]) / HOUR_S, AGE_CAP_H)
    return np.asarray(np.minimum(age, AGE_CAP_H))


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
