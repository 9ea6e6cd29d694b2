"""Read the state of the platform: what it holds, how fresh the data are, and which problems need action."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.formatting import format_duration
from pipelines.common.tenant_platform import Platform
from pipelines.learn.promote import CRITERIA

#: Three missed samples at the coarsest usual step (5 min) are a gap and not jitter.
STALE_AFTER = timedelta(minutes=15)
#: Baselines are built every night. This allows one missed night and half a day.
BASELINES_OLD_AFTER = timedelta(hours=36)
#: Signals of one day that are counted; beyond it the counts stay at this number.
_MAX_SIGNALS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusPart:
    """One part of the platform.

    Attributes:
        state: a few words.
        as_of: the time of its newest data; null: it has none.
        problem: a sentence that tells what is wrong and what to do; null: nothing is wrong.
    """

    name: str
    state: str
    as_of: datetime | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformStatus:
    """All parts, and the problems among them."""

    tenant: str
    parts: tuple[StatusPart, ...]
    problems: tuple[str, ...]


def read_status(platform: Platform) -> PlatformStatus:
    """Read every part; nothing is changed."""
    checks: tuple[Callable[[Platform], Iterator[StatusPart]], ...] = (
        _samples,
        _dead_letters,
        _baselines,
        _models,
        _signals,
        _deliveries,
    )
    parts = tuple(part for check in checks for part in check(platform))
    return PlatformStatus(
        tenant=platform.tenant,
        parts=parts,
        problems=tuple(part.problem for part in parts if part.problem),
    )


def _samples(platform: Platform) -> Iterator[StatusPart]:
    series = platform.store.series.find()
    services = len({one.service for one in series})
    span = platform.store.samples.span()
    if span is None:
        yield StatusPart(name="samples", state="none", problem="There are no samples. Run `forewarn ingest`.")
        return
    age = platform.clock.now() - span[1]
    yield StatusPart(
        name="samples",
        state=f"{len(series)} series of {services} services since {span[0]:%Y-%m-%d}",
        as_of=span[1],
        problem=f"The newest sample is {format_duration(age.total_seconds())} old."
        if age > STALE_AFTER
        else None,
    )


def _dead_letters(platform: Platform) -> Iterator[StatusPart]:
    rejected = platform.store.dead_letters.count()
    yield StatusPart(name="dead letters", state=f"{rejected} rows rejected" if rejected else "none")


def _baselines(platform: Platform) -> Iterator[StatusPart]:
    current = platform.store.baselines.extent()
    if current is None:
        yield StatusPart(
            name="baselines", state="none", problem="There are no baselines. Run `forewarn baseline`."
        )
        return
    version, window_end, series = current
    age = platform.clock.now() - window_end
    yield StatusPart(
        name="baselines",
        state=f"version {version}, {series} series",
        as_of=window_end,
        problem="The baselines are more than a day old. Check that the nightly flow runs."
        if age > BASELINES_OLD_AFTER
        else None,
    )


_NO_CHAMPION = {
    "detector": "No detector model is active. Run `forewarn train detectors` and `forewarn promote detector`.",
    "forecaster": "No forecaster model is active. Run `forewarn train forecasters` and `forewarn promote forecaster`.",
    "failure": "No failure model is active. It learns from incidents: import them with incidents.csv or POST"
    " /webhooks/alerts, then run `forewarn train failure` and `forewarn promote failure`.",
}


def _models(platform: Platform) -> Iterator[StatusPart]:
    for kind in CRITERIA:
        champion = platform.registry.resolve(kind)
        yield StatusPart(
            name=f"{kind} champion",
            state="none" if champion is None else f"version {champion.version}",
            problem=_NO_CHAMPION[kind] if champion is None else None,
        )


def _signals(platform: Platform) -> Iterator[StatusPart]:
    since = platform.clock.now() - timedelta(days=1)
    passed = platform.store.signals.find(since=since, suppressed=False, limit=_MAX_SIGNALS)
    suppressed = platform.store.signals.find(since=since, suppressed=True, limit=_MAX_SIGNALS)
    still_open = sum(signal.ended_at is None for signal in passed)
    yield StatusPart(
        name="signals of the last 24 h",
        state=f"{len(passed)} passed the filters ({still_open} open), {len(suppressed)} were suppressed",
        as_of=max((signal.started_at for signal in passed), default=None),
    )


def _deliveries(platform: Platform) -> Iterator[StatusPart]:
    for sink in platform.sinks:
        waiting = len(platform.store.deliveries.attempts(sink.name))
        yield StatusPart(
            name=f"sink {sink.name}",
            state=f"{waiting} waiting" if waiting else "all delivered",
            problem=f"{waiting} signals wait for delivery to {sink.name}. Run `forewarn signals send`."
            if waiting
            else None,
        )
