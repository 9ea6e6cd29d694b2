"""A simulated fleet with known incidents: for the demo, for tests and for measuring failure prediction.

docs/simulator.md describes its assumptions, and what it makes difficult on purpose.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import polars as pl

from core.batch import Batch
from core.checks import require_utc
from core.domain import DEFAULT_STEP_S, Event, EventKind, Incident, Series
from core.durations import DAY_S
from core.errors import InputError
from core.frames import SAMPLES, TIME
from pipelines.sources.simulation.plan import SEVERITY, Plan, PlannedEvent, draw_plan
from pipelines.sources.simulation.profiles import Profile, draw_profiles
from pipelines.sources.simulation.render import Grid, ServiceHistory, render

#: Hours after the last sample that `Truth` still covers.
FUTURE_H = 24
#: Days in one batch of samples.
CHUNK_DAYS = 3


@dataclass(frozen=True, slots=True)
class Precursor:
    """A cause that starts to act at `start`. It ends in a failure at `fails_at`; null: it stops by itself."""

    service: str
    cause: str
    start: datetime
    fails_at: datetime | None
    until: datetime


@dataclass(frozen=True, slots=True)
class Truth:
    """What the metrics do not show: all incidents, also those after the last sample, and all precursors."""

    incidents: tuple[Incident, ...]
    precursors: tuple[Precursor, ...]
    depends_on: Mapping[str, tuple[str, ...]]


class SimulatedFleet:
    """A `MetricSource` of services with eight metrics each; the same arguments give the same fleet.

    Args:
        services: how many; the first n services are the same for any number.
        days: length of the history.
        end: time of the last sample, rounded down to the step; some services have an incident or a precursor then.
        step_s: seconds between samples; must divide an hour.
    Raises:
        InputError: an argument is out of its range.
    """

    def __init__(
        self,
        services: int = 20,
        days: float = 45,
        *,
        seed: int = 20260101,
        end: datetime,
        tenant: str = "default",
        step_s: int = DEFAULT_STEP_S,
    ) -> None:
        require_utc(end, "end")
        if services < 1 or days <= 0:
            raise InputError(f"a fleet needs services and days, got {services} and {days}")
        if 3600 % step_s:
            raise InputError(f"step_s must divide an hour, got {step_s}")
        self.services, self.days, self.seed, self.tenant, self.step_s = services, days, seed, tenant, step_s
        self.per_hour = 3600 // step_s
        self.steps = int(days * 24 * self.per_hour)
        self.end = datetime.fromtimestamp(end.timestamp() // step_s * step_s, UTC)
        self.start = self.end - timedelta(seconds=(self.steps - 1) * step_s)

    @property
    def name(self) -> str:
        return f"simulated:{self.services}x{self.days:g}d/{self.seed}/{self.end.isoformat()}"

    @cached_property
    def profiles(self) -> list[Profile]:
        return draw_profiles(self.services, self.seed)

    @cached_property
    def plan(self) -> Plan:
        return draw_plan(self.profiles, self.steps, FUTURE_H * self.per_hour, self.per_hour, self.seed)

    @cached_property
    def series(self) -> list[Series]:
        return [series for profile in self.profiles for series in profile.series(self.tenant, self.step_s)]

    @cached_property
    def events(self) -> list[Event]:
        """Deploys, config changes and maintenance up to the end, by time."""
        found = [
            self._event(planned, number)
            for events in self.plan.planned.values()
            for number, planned in enumerate(events)
            if planned.at < self.steps
        ]
        return sorted(found, key=lambda event: (event.at, event.service))

    @cached_property
    def truth(self) -> Truth:
        planned = [one for found in self.plan.incidents.values() for one in found]
        incidents = [
            Incident(
                tenant=self.tenant,
                service=one.service,
                type=one.cause,
                severity=SEVERITY[one.cause],
                start=self._time(one.fails_at),
                end=self._time(one.until),
            )
            for one in planned
            if one.fails_at is not None
        ]
        precursors = [
            Precursor(
                service=one.service,
                cause=one.cause,
                start=self._time(one.start),
                fails_at=None if one.fails_at is None else self._time(one.fails_at),
                until=self._time(one.until),
            )
            for one in planned
        ]
        return Truth(
            incidents=tuple(sorted(incidents, key=lambda incident: (incident.start, incident.service))),
            precursors=tuple(sorted(precursors, key=lambda precursor: (precursor.start, precursor.service))),
            depends_on={profile.name: profile.depends_on for profile in self.profiles},
        )

    @cached_property
    def incidents(self) -> list[Incident]:
        """Incidents that started before the last sample; the end is null where they still last."""
        return [
            Incident(
                tenant=incident.tenant,
                service=incident.service,
                type=incident.type,
                severity=incident.severity,
                start=incident.start,
                end=incident.end if incident.end is not None and incident.end <= self.end else None,
            )
            for incident in self.truth.incidents
            if incident.start <= self.end
        ]

    @cached_property
    def samples(self) -> pl.DataFrame:
        """All samples as `core.frames.SAMPLES`, by time, then series; missing samples have no row."""
        offset_s = np.arange(self.steps, dtype=np.int64) * self.step_s
        seconds = int(self.start.timestamp()) + offset_s
        grid = Grid(
            hour=seconds % DAY_S / 3600,
            weekday=(seconds // DAY_S + 3) % 7,  # 1970-01-01 was a Thursday
            per_hour=self.per_hour,
        )
        columns: dict[str, np.ndarray] = {}
        for profile in self.profiles:
            history = ServiceHistory(
                incidents=self.plan.incidents[profile.name],
                planned=self.plan.planned[profile.name],
                dependency_failures=[
                    failure for name in profile.depends_on for failure in self.plan.failures(name)
                ],
            )
            metrics = render(profile, history, grid, self.seed)
            for series in profile.series(self.tenant, self.step_s):
                columns[str(series.series_id)] = metrics[series.metric]
        ids = np.array([int(name) for name in columns], dtype=np.int64)
        return (
            pl.DataFrame(
                {
                    "series_id": np.tile(ids, self.steps),
                    "ts": np.repeat(seconds * 1_000_000, len(ids)),
                    "value": np.stack(list(columns.values()), axis=1).ravel(),
                }
            )
            .filter(pl.col("value").is_not_nan())
            .with_columns(pl.from_epoch("ts", "us").dt.replace_time_zone("UTC").cast(TIME))
            .select(list(SAMPLES))
        )

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        """Batches of `CHUNK_DAYS` each; `cursor` is the end of the last batch."""
        begin = self.start if cursor is None else datetime.fromisoformat(cursor)
        while begin <= self.end:
            end = begin + timedelta(days=CHUNK_DAYS)
            yield Batch(
                series=self.series,
                samples=self.samples.filter((pl.col("ts") >= begin) & (pl.col("ts") < end)),
                events=[event for event in self.events if begin <= event.at < end],
                incidents=[incident for incident in self.incidents if begin <= incident.start < end],
                cursor=end.isoformat(),
            )
            begin = end

    def _time(self, step: int) -> datetime:
        return self.start + timedelta(seconds=step * self.step_s)

    def _event(self, planned: PlannedEvent, number: int) -> Event:
        version = f"v1.{number}.0" if planned.kind is EventKind.DEPLOY else ""
        what = {"deploy": f"deploy {version}", "config_change": "config change", "maintenance": "maintenance"}
        return Event(
            tenant=self.tenant,
            service=planned.service,
            kind=planned.kind,
            at=self._time(planned.at),
            until=None if planned.until is None else self._time(planned.until),
            title=f"{planned.service}: {what[planned.kind]}",
            version=version,
        )
