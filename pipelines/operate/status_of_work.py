"""The state of what Forewarn does: signals, incidents, deliveries, running jobs and servers that nobody stops."""

from collections.abc import Iterator
from datetime import timedelta

from core.formatting import format_duration
from core.locks import JOB_LOCKS, delivery_lock, ingest_lock
from core.outbox import DeliveryLane, LaneCount
from core.watch_cycles import WATCH_EVERY_S
from models.causes.incidents import correlate
from models.words.watch_cycle import late_cycle
from pipelines.common.service_graph import graph_of
from pipelines.common.tenant_platform import Platform
from pipelines.operate.status_of_data import source_names
from pipelines.operate.status_part import StatusPart
from pipelines.processes.strays import find_strays

#: A delivery that runs longer hangs.
DELIVERY_HANGS_AFTER = timedelta(minutes=30)
#: Trainings and first ingests of a large fleet take hours.
JOB_HANGS_AFTER = timedelta(hours=12)


def signals(platform: Platform) -> Iterator[StatusPart]:
    """How many signals there were on the last day."""
    counts = platform.store.signals.counts(platform.clock.now() - timedelta(days=1))
    unfinished = platform.store.signals.unfinished()
    yield StatusPart(
        name="signals of the last 24 h",
        state=f"{counts.passed} passed the filters ({len(unfinished)} open), {counts.suppressed} were suppressed",
        as_of=counts.newest,
    )


def watch_cycles(platform: Platform) -> Iterator[StatusPart]:
    """How long the newest watch cycle took, and how many of the last day took too long."""
    cycles = platform.store.watch_cycles.since(platform.clock.now() - timedelta(days=1))
    if not cycles:
        return
    newest, late = cycles[-1], sum(one.is_late for one in cycles)
    problem = None
    if newest.is_late:
        sentence = late_cycle(newest)
        problem = (
            f"{sentence[0].upper()}{sentence[1:]}. Give the worker more cores, or watch fewer"
            " series (FOREWARN_SERIES_BUDGET)."
        )
    yield StatusPart(
        name="watch cycle",
        state=f"took {format_duration(newest.seconds)}; {late} of the {len(cycles)} of the last 24 h took longer than"
        f" the {format_duration(WATCH_EVERY_S)} between cycles",
        as_of=newest.at,
        problem=problem,
    )


def open_incidents(platform: Platform) -> Iterator[StatusPart]:
    """What is open and since when; open signals of one incident are one line."""
    graph = graph_of(platform, platform.store.series.find())
    for incident in correlate(platform.store.signals.unfinished(), graph):
        count = len(incident.signals)
        more = f" (and {count - 1} more signals)" if count > 1 else ""
        yield StatusPart(
            name=f"open incident of {incident.service}",
            state=f"{incident.severity}: {incident.first.summary}{more}",
            as_of=incident.first.started_at,
        )


def deliveries(platform: Platform) -> Iterator[StatusPart]:
    """All lanes of all sinks: of those that the settings name, and of those that have deliveries from before."""
    names = [sink.name for sink in platform.sinks]
    counts = platform.store.deliveries.counts(names)
    for name in [*names, *sorted({one.sink for one in counts} - set(names))]:
        yield _sink(platform, name, [one for one in counts if one.sink == name], configured=name in names)


def _sink(platform: Platform, name: str, lanes: list[LaneCount], *, configured: bool) -> StatusPart:
    state = platform.store.deliveries.sink_states().get(name)
    left = sum(one.waiting + one.failed for one in lanes)
    given_up = sum(one.given_up for one in lanes)
    delivered = sum(one.delivered for one in lanes)
    since = min((one.since for one in lanes if one.since is not None), default=None)
    texts = [text for one in lanes if (text := _lane(one))]
    texts.append(f"{delivered} delivered" if texts else f"all delivered ({delivered})")
    problems = []
    if state is not None:
        paused = state.retry_at is not None and state.retry_at > platform.clock.now()
        pause = f"; it wants no request before {state.retry_at:%H:%M:%S} UTC" if paused else ""
        problems.append(
            f"{name} has failed since {state.failing_since:%Y-%m-%d %H:%M} UTC{pause}: {state.error}."
        )
    if left:
        age = "" if since is None else f", the oldest since {since:%Y-%m-%d %H:%M} UTC"
        problems.append(f"{left} signals wait for delivery to {name}{age}. Run `forewarn signals send`.")
    if given_up:
        error = next((one.error for one in lanes if one.given_up and one.error), "")
        problems.append(
            f"{given_up} signals for {name} were rejected too often and given up: {error}."
            " Correct the cause and run `forewarn signals send --retry`."
        )
    if not configured:
        texts.insert(0, "the settings do not name it any more")
        problems = []
    return StatusPart(
        name=f"sink {name}", state="; ".join(texts), as_of=since, problem=" ".join(problems) or None
    )


def _lane(count: LaneCount) -> str:
    """`ended: 19 waiting, 2 failed`; "" when all of the lane is delivered."""
    numbers = [
        f"{number} {name}"
        for number, name in (
            (count.waiting, "waiting"),
            (count.failed, "failed"),
            (count.given_up, "given up"),
        )
        if number
    ]
    return f"{DeliveryLane(count.lane)}: {', '.join(numbers)}" if numbers else ""


def locks(platform: Platform) -> Iterator[StatusPart]:
    """Which jobs run now, in which process and since when."""
    sinks = [delivery_lock(sink.name) for sink in platform.sinks]
    ingests = [ingest_lock(name) for name in source_names(platform)]
    for one in platform.store.locks.owners([*sinks, *JOB_LOCKS, *ingests]):
        age = platform.clock.now() - one.since
        hangs = age > (DELIVERY_HANGS_AFTER if one.name in sinks else JOB_HANGS_AFTER)
        yield StatusPart(
            name=f"running {one.name}",
            state=one.owner,
            as_of=one.since,
            problem=f"{one.owner} has held the lock {one.name} for {format_duration(age.total_seconds())};"
            " other runs of this job wait for it. End that process if it hangs."
            if hangs
            else None,
        )


def stray_servers(platform: Platform) -> Iterator[StatusPart]:
    """Servers of this installation on this machine whose parent process is gone."""
    for one in find_strays(platform.settings.data_dir):
        yield StatusPart(
            name=f"stray {one.name}",
            state=f"process {one.pid}, {one.memory_mb} MB",
            as_of=one.started_at,
            problem=f"{one.name} (process {one.pid}, {one.memory_mb} MB) runs although the command that started it"
            f" is gone. Stop it with `kill {one.pid}`.",
        )
