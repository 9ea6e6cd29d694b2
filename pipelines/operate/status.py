"""Take stock: what is there, how fresh it is, and what is wrong."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.formatting import format_duration
from pipelines.common.tenant_platform import Platform
from pipelines.learn.promote import CRITERIA

#: Three missed samples of the coarsest usual step (5 min) are a gap and not jitter.
STALE_AFTER = timedelta(minutes=15)
#: Baselines are made nightly; one missed night and half a day of slack.
BASELINES_OLD_AFTER = timedelta(hours=36)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the platform, in a few words."""

    name: str
    state: str
    as_of: datetime | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformStatus:
    """All parts, and the problems among them as sentences that say what to do."""

    tenant: str
    parts: tuple[Part, ...]
    problems: tuple[str, ...]


def read_status(platform: Platform) -> PlatformStatus:
    """Look at every part; nothing is changed."""
    looks: tuple[Callable[[Platform], Iterator[Part]], ...] = (
        _samples,
        _dead_letters,
        _baselines,
        _models,
        _signals,
        _deliveries,
    )
    parts = tuple(part for look in looks for part in look(platform))
    return PlatformStatus(
        tenant=platform.tenant,
        parts=parts,
        problems=tuple(part.problem for part in parts if part.problem),
    )


def _samples(platform: Platform) -> Iterator[Part]:
    series = platform.store.series.find()
    services = len({one.service for one in series})
    span = platform.store.samples.span()
    if span is None:
        yield Part(name="samples", state="none", problem="there are no samples; run `forewarn ingest`")
        return
    age = platform.clock.now() - span[1]
    yield Part(
        name="samples",
        state=f"{len(series)} series of {services} services since {span[0]:%Y-%m-%d}",
        as_of=span[1],
        problem=f"the newest sample is {format_duration(age.total_seconds())} old"
        if age > STALE_AFTER
        else None,
    )


def _dead_letters(platform: Platform) -> Iterator[Part]:
    refused = platform.store.dead_letters.count()
    yield Part(name="dead letters", state=f"{refused} rows refused" if refused else "none")


def _baselines(platform: Platform) -> Iterator[Part]:
    current = platform.store.baselines.extent()
    if current is None:
        yield Part(name="baselines", state="none", problem="there are no baselines; run `forewarn baseline`")
        return
    version, window_end, series = current
    age = platform.clock.now() - window_end
    yield Part(
        name="baselines",
        state=f"version {version}, {series} series",
        as_of=window_end,
        problem="the baselines are older than a night; is the nightly flow running?"
        if age > BASELINES_OLD_AFTER
        else None,
    )


_MISSING = {
    "detector": "no detector serves; run `forewarn train detectors` and `forewarn promote detector`",
    "forecaster": "no forecaster serves; run `forewarn train forecasters` and `forewarn promote forecaster`",
    "failure": "no failure model serves: it learns from incidents, which come by incidents.csv or POST"
    " /webhooks/alerts; then run `forewarn train failure` and `forewarn promote failure`",
}


def _models(platform: Platform) -> Iterator[Part]:
    for kind in CRITERIA:
        champion = platform.registry.resolve(kind)
        yield Part(
            name=f"{kind} champion",
            state="none" if champion is None else f"version {champion.version}",
            problem=_MISSING[kind] if champion is None else None,
        )


def _signals(platform: Platform) -> Iterator[Part]:
    since = platform.clock.now() - timedelta(days=1)
    sent = platform.store.signals.find(since=since, suppressed=False, limit=10_000)
    stopped = platform.store.signals.find(since=since, suppressed=True, limit=10_000)
    going_on = sum(signal.ended_at is None for signal in sent)
    yield Part(
        name="signals of 24 h",
        state=f"{len(sent)} passed the filters ({going_on} open), {len(stopped)} were stopped",
        as_of=max((signal.started_at for signal in sent), default=None),
    )


def _deliveries(platform: Platform) -> Iterator[Part]:
    for sink in platform.sinks:
        waiting = len(platform.store.deliveries.attempts(sink.name))
        yield Part(
            name=f"sink {sink.name}",
            state=f"{waiting} waiting" if waiting else "all delivered",
            problem=f"{waiting} signals wait for {sink.name}; see `forewarn signals send`"
            if waiting
            else None,
        )
