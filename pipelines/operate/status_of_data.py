"""The state of what Forewarn holds: samples, sources, dead letters, baselines, models."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from core.counts import CursorState
from core.errors import InputError
from core.formatting import format_duration
from core.model_registry import ModelRegistry
from pipelines.common.scoring_cursor import SCORED_UNTIL
from pipelines.common.tenant_platform import Platform
from pipelines.learn.promote import CRITERIA, compare
from pipelines.operate.status_part import STALE_AFTER, StatusPart
from pipelines.sources.configured import configured_sources
from pipelines.sources.queues.queue_address import is_queue

#: Baselines are built every night. This allows one missed night and half a day.
BASELINES_OLD_AFTER = timedelta(hours=36)
#: A series that lags longer than that is taken for gone, such as a pod that was replaced.
GONE_AFTER = timedelta(days=7)
#: Refused rows are a problem for so long; after that they are history.
REFUSED_RECENTLY = timedelta(days=1)


_REMEDIES = {
    "type": "Correct it at one of the senders, or give one of the metrics another name: its values are read as the"
    " newest declaration tells, as counts or as they are.",
    "kind": "Correct `series.csv`, or the type at the source, which decides how its values are read.",
    "unit": "Correct `series.csv`, or the unit at the source: values are stored as they are sent, and nothing converts"
    " them.",
}


def samples(platform: Platform) -> Iterator[StatusPart]:
    """All samples, then the series that stopped while others go on."""
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
    yield _lagging(platform, span[1])


def _lagging(platform: Platform, newest: datetime) -> StatusPart:
    """Series whose newest sample is much older than the newest sample of all series."""
    known = {one.series_id: one for one in platform.store.series.find()}
    lagging: Counter[str] = Counter()
    since = newest
    gone = 0
    for series_id, at, _ in platform.store.samples.latest().iter_rows():
        series = known.get(series_id)
        if series is None or newest - at <= max(STALE_AFTER, timedelta(seconds=3 * series.step_s)):
            continue
        if newest - at > GONE_AFTER:
            gone += 1
        else:
            lagging[series.service] += 1
            since = min(since, at)
    state = f"{lagging.total()} series have no new samples" if lagging else "none"
    if gone:
        state += f"; {gone} have had none for more than {GONE_AFTER.days} days"
    named = ", ".join(f"{service} ({count})" for service, count in lagging.most_common(5))
    named += f" and {len(lagging) - 5} more services" if len(lagging) > 5 else ""
    return StatusPart(
        name="lagging series",
        state=state,
        as_of=since if lagging else None,
        problem=f"{lagging.total()} series stopped while others continue: {named}." if lagging else None,
    )


def source_names(platform: Platform) -> list[str]:
    """The sources that have been read, and those that the settings name if they can be read."""
    names = {one.source for one in _source_cursors(platform)}
    with suppress(InputError):
        names |= _pulled_sources(platform)
    return sorted(names)


def _source_cursors(platform: Platform) -> list[CursorState]:
    """The cursors of sources; those of queues are shown by `status_of_queues`."""
    every = platform.store.cursors.list()
    return [one for one in every if one.source != SCORED_UNTIL and not is_queue(one.source)]


def _pulled_sources(platform: Platform) -> set[str]:
    configured = configured_sources(platform.settings, platform.tenant, platform.clock)
    return {source.name for source in configured}


def sources(platform: Platform) -> Iterator[StatusPart]:
    """Each source that has been read, and each that the settings name."""
    try:
        pulled = _pulled_sources(platform)
    except InputError as error:
        yield StatusPart(
            name="sources", state="not readable", problem=f"The sources cannot be read: {error}."
        )
        return
    now = platform.clock.now()
    read = {one.source: one for one in _source_cursors(platform)}
    health = {one.source: one for one in platform.store.source_states.list()}
    for name in sorted(pulled | set(read)):
        cursor, known = read.get(name), health.get(name)
        problem = None
        if name in pulled and known is not None and known.failing_since is not None:
            since = f"{known.failing_since:%Y-%m-%d %H:%M} UTC"
            problem = f"Source {name} cannot be read since {since}: {known.error}."
        elif name in pulled and (cursor is None or now - cursor.updated_at > STALE_AFTER):
            since = "never" if cursor is None else f"last at {cursor.updated_at:%Y-%m-%d %H:%M} UTC"
            problem = f"Source {name} is stale: it was read {since}. Check that the watch flow runs."
        state = "pulled by the watch flow" if name in pulled else "read on demand"
        yield StatusPart(
            name=f"source {name}",
            state=state,
            as_of=None if cursor is None else cursor.updated_at,
            problem=problem,
        )
        for note in () if known is None else known.notes:
            yield StatusPart(name=f"note on source {name}", state=note)


def dead_letters(platform: Platform) -> Iterator[StatusPart]:
    """The number of refused rows, then one line for each source and reason, the most frequent first."""
    counts = platform.store.dead_letters.by_reason()
    total = sum(one.count for one in counts)
    recently = platform.clock.now() - REFUSED_RECENTLY
    recent = [one for one in counts if one.last_at >= recently]
    sources = sorted({one.source for one in recent})
    yield StatusPart(
        name="dead letters",
        state=f"{total} rows rejected" if total else "none",
        as_of=max((one.last_at for one in counts), default=None),
        problem=f"Rows were rejected in the last 24 h, from {', '.join(sources)}. The reasons are listed above."
        " `forewarn dead-letters show` shows the rows, and `forewarn dead-letters retry` stores those that it can."
        if recent
        else None,
    )
    for one in counts:
        text = one.example if one.count == 1 else one.reason
        yield StatusPart(
            name=f"dead letters of {one.source}", state=f"{one.count}: {text}", as_of=one.last_at
        )


def contradictions(platform: Platform) -> Iterator[StatusPart]:
    """Metrics that two sources declare differently, seen in the last day."""
    for seen in platform.store.contradictions.list(platform.clock.now() - REFUSED_RECENTLY):
        one = seen.contradiction
        texts = (f"{value} by {source}" for source, value in (
            (one.source, one.value), (one.other_source, one.other_value)
        ))  # fmt: skip
        both = " and ".join(texts)
        # People may know the unit better than the name of the metric.
        certain = one.field != "unit"
        yield StatusPart(
            name=f"{one.field} of {one.metric}",
            state=f"declared {both}" if certain else f"declared {both}. {_REMEDIES[one.field]}",
            as_of=seen.seen_at,
            problem=f"The {one.field} of {one.metric} is declared {both}. {_REMEDIES[one.field]}"
            if certain
            else None,
        )


def baselines(platform: Platform) -> Iterator[StatusPart]:
    """The newest version of the baselines."""
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


def models(platform: Platform) -> Iterator[StatusPart]:
    """The champion of each kind of model."""
    for kind in CRITERIA:
        champion = platform.registry.resolve(kind)
        yield StatusPart(
            name=f"{kind} champion",
            state="none" if champion is None else f"version {champion.version}",
            problem=_why_no_champion(platform.registry, kind) if champion is None else None,
        )


def _why_no_champion(registry: ModelRegistry, kind: str) -> str:
    challenger = registry.resolve(kind, "challenger")
    if challenger is None:
        return _NO_CHAMPION[kind]
    decision = compare(registry, kind, challenger, None)
    if decision.promote:
        return f"No {kind} model is active. Version {challenger.version} is ready: run `forewarn promote {kind}`."
    return (
        f"No {kind} model is active. Version {challenger.version} is not promoted: {decision.reason}. The weekly flow"
        f" trains a new one; `forewarn promote {kind} --force` uses this one now."
    )


def scoring(platform: Platform) -> Iterator[StatusPart]:
    """Until when samples have been scored."""
    stored = platform.store.cursors.get(SCORED_UNTIL)
    span = platform.store.samples.span()
    if stored is None or span is None:
        yield StatusPart(name="scoring", state="has not run")
        return
    until = datetime.fromisoformat(stored)
    behind = span[1] - until
    yield StatusPart(
        name="scoring",
        state="up to date"
        if behind <= STALE_AFTER
        else f"{format_duration(behind.total_seconds())} behind the samples",
        as_of=until,
        problem=f"Samples since {until:%Y-%m-%d %H:%M} UTC are not scored. Check that the watch flow runs."
        if behind > STALE_AFTER
        else None,
    )
