"""The exporters of a simulated company: chunk by chunk, every series that Prometheus would store."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from core.durations import DAY_S
from core.errors import InputError
from pipelines.sources.simulation.exporters.clock import CHUNK_S, BoolArray, Chunk, FloatArray, IntArray
from pipelines.sources.simulation.exporters.company import Company, FleetSize, found_company
from pipelines.sources.simulation.exporters.page import Family, Page
from pipelines.sources.simulation.exporters.targets import AGE_S, Target, targets_of
from pipelines.sources.simulation.exporters.timeline import Timeline, draw_timeline
from pipelines.sources.simulation.exporters.world import World

#: The counters at the end of a chunk: by page, family and labels of the series.
Totals = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What one target shows in one chunk.

    Attributes:
        families: with counters as they stand at each scrape.
        values: rows x steps for each family.
        responds, exists: at each scrape; where it does not respond there is no sample but `up` = 0.
    """

    target: Target
    families: list[Family]
    values: list[FloatArray]
    responds: BoolArray
    exists: BoolArray


@dataclass(frozen=True, slots=True)
class Scrapes:
    """All series of one chunk as Prometheus stores them; NaN where there is no sample."""

    times: IntArray
    series: list[str]
    values: FloatArray


@dataclass(slots=True)
class Recorder:
    """Renders chunks in their order and carries the counters from one to the next."""

    fleet: "ExporterFleet"
    totals: Totals = field(default_factory=dict)

    def render(self, number: int) -> tuple[World, list[Rendered]]:
        """All targets of a chunk; the chunk before it must have been rendered, unless it is the first one."""
        world = self.fleet.world(number)
        rendered = [self._target(world, target) for target in targets_of(world)]
        paths = {one.target.path for one in rendered}
        self.totals = {path: found for path, found in self.totals.items() if path in paths}
        return world, rendered

    def _target(self, world: World, target: Target) -> Rendered:
        page = Page(world.steps)
        started = {kind: target.started(world, kind) for kind in AGE_S}
        target.show(page, world, started)
        resets = target.resets(world)
        before = self.totals.setdefault(target.path, {})
        families = list(page.families.values())
        values = []
        for family in families:
            if not family.since:
                values.append(family.visible(family.values))
                continue
            increments = family.values
            totals = before.get(family.name, {})
            if target.born is not None and target.born >= world.chunk.times[0]:
                age = 0.0
            else:
                age = (int(world.chunk.times[0]) - started[family.since][0]) / world.chunk.step_s
            usual = np.floor(increments.mean(axis=1) * max(0.0, age))
            is_new = [shown is not None and not shown[0] for shown in family.shown]
            first = np.array(
                [totals.get(one, 0.0 if is_new[row] else usual[row]) for row, one in enumerate(family.labels)]
            )
            counted = accumulate(increments, first, resets.get(family.since, []))
            before[family.name] = dict(zip(family.labels, counted[:, -1].tolist(), strict=True))
            values.append(family.visible(counted))
        return Rendered(target, families, values, target.responds(world), target.exists(world))


def accumulate(increments: FloatArray, first: FloatArray, resets: list[int]) -> FloatArray:
    """Counters from their increments; they begin at `first`, and at 0 at each reset.

    Args:
        increments: rows x steps, at least 0.
        first: the counters before the first step, one for each row.
        resets: steps whose increment is the first one after a restart.
    """
    counted = np.cumsum(increments, axis=1) + first[:, None]
    for step in resets:
        counted[:, step:] -= counted[:, step - 1 : step] if step else first[:, None]
    return counted


class ExporterFleet:
    """A simulated company and its exporters; the same arguments give the same values.

    Args:
        size: hosts, services and pods.
        days: length of the history.
        end: time of the last scrape, seconds since the epoch; rounded down to the step.
        step_s: seconds between two scrapes.
    Raises:
        InputError: an argument is out of its range.
    """

    def __init__(
        self, size: FleetSize, *, days: float, end: int, seed: int = 20260101, step_s: int = 60
    ) -> None:
        if days <= 0:
            raise InputError(f"a history needs days, got {days:g}")
        if step_s < 1 or 3600 % step_s:
            raise InputError(f"the step must divide an hour, got {step_s} s")
        self.size, self.days, self.seed, self.step_s = size, days, seed, step_s
        self.end = end // step_s * step_s
        self.start = self.end - int(days * DAY_S) // step_s * step_s

    @cached_property
    def company(self) -> Company:
        return found_company(self.size, self.seed)

    @cached_property
    def timeline(self) -> Timeline:
        return draw_timeline(self.company, self.start, self.end)

    @property
    def chunks(self) -> range:
        """The numbers of the chunks of the history; the first and the last one reach beyond it."""
        return range(self.start // CHUNK_S, self.end // CHUNK_S + 1)

    def world(self, number: int) -> World:
        """The company in a chunk."""
        chunk = Chunk.at(number, seed=self.seed, step_s=self.step_s, calendar=self.timeline.calendar)
        return World(self.company, self.timeline, chunk)

    def history(self, recorder: Recorder) -> Iterator[Scrapes]:
        """The history chunk by chunk; the recorder then has the counters at the start of the last chunk."""
        for number in self.chunks:
            totals = recorder.totals
            if number == self.chunks[-1]:
                totals = {
                    path: {name: dict(rows) for name, rows in found.items()} for path, found in totals.items()
                }
            world, rendered = recorder.render(number)
            yield self._stored(world, rendered)
            if number == self.chunks[-1]:
                recorder.totals = totals

    def _stored(self, world: World, rendered: list[Rendered]) -> Scrapes:
        times = world.chunk.times
        kept = (times >= self.start) & (times <= self.end)
        scraped = np.ones(len(times), dtype=bool)
        for start, end in self.timeline.gaps:
            scraped &= ~world.chunk.between(start, end)
        series: list[str] = []
        blocks: list[FloatArray] = []
        for one in rendered:
            labels = f'{one.target.labels},job="{one.target.job}"'
            rows = 0
            for family, values in zip(one.families, one.values, strict=True):
                series += [_series(family.name, own, labels) for own in family.labels]
                blocks.append(np.where(one.responds & scraped, values, np.nan))
                rows += len(values)
            series += [_series(name, "", labels) for name in SCRAPE_METRICS]
            blocks.append(np.where(one.exists & scraped, _scrape_rows(world, one, rows), np.nan))
        values = np.concatenate(blocks)[:, kept]
        return Scrapes(times[kept], series, values)


#: What Prometheus itself adds to each target.
SCRAPE_METRICS = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)


def _scrape_rows(world: World, rendered: Rendered, rows: int) -> FloatArray:
    up = rendered.responds.astype(np.float64)
    duration = (0.004 + rows * 1e-5) * world.chunk.wobble(rendered.target.path, 0.2)
    return np.array([up, duration, up * rows, up * rows, np.zeros(len(up))])


def _series(name: str, own: str, labels: str) -> str:
    return f"{name}{{{own},{labels}}}" if own else f"{name}{{{labels}}}"
