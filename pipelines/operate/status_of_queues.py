"""The state of the queues: how far each is read, how many messages wait, and what was rejected."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.counts import CursorState
from core.dead_letters import DeadLetterFilter
from core.errors import ConfigurationError
from core.formatting import format_duration
from core.queue_cursors import QueueCursor, queue_of_cursor
from pipelines.common.tenant_platform import Platform
from pipelines.operate.status_part import STALE_AFTER, StatusPart
from pipelines.sources.queues.configured import configured_queues
from pipelines.sources.queues.queue_address import is_queue


@dataclass(frozen=True, slots=True)
class _Partition:
    """What is stored of one partition."""

    cursor: QueueCursor
    updated_at: datetime


def queues(platform: Platform) -> Iterator[StatusPart]:
    """Each queue that the settings name, and each that was read before."""
    try:
        named = {queue.address.name for queue in configured_queues(platform.settings)}
    except ConfigurationError as error:
        yield StatusPart(name="queues", state="not readable", problem=f"{error}.")
        return
    read = _read(platform.store.cursors.list())
    for name in sorted(named | read.keys()):
        yield _queue(platform, name, read.get(name, ()), configured=name in named)


def _read(cursors: Sequence[CursorState]) -> Mapping[str, list[_Partition]]:
    found: dict[str, list[_Partition]] = {}
    for one in cursors:
        if is_queue(one.source):
            partition = _Partition(QueueCursor.from_text(one.cursor), one.updated_at)
            found.setdefault(queue_of_cursor(one.source), []).append(partition)
    return found


def _queue(
    platform: Platform, name: str, partitions: Sequence[_Partition], *, configured: bool
) -> StatusPart:
    now = platform.clock.now()
    read_at = max((one.updated_at for one in partitions), default=None)
    rejected = sum(one.count for one in platform.store.dead_letters.by_reason(DeadLetterFilter(source=name)))
    texts = [*_places(partitions, now), f"dead letters: {rejected}"]
    problem = None
    if not configured:
        texts.insert(0, "the settings do not name it any more")
    elif read_at is None or now - read_at > STALE_AFTER:
        since = "never" if read_at is None else f"last at {read_at:%Y-%m-%d %H:%M} UTC"
        problem = f"Queue {name} was read {since}. Check that `forewarn consume` or the watch flow runs."
    return StatusPart(name=f"queue {name}", state="; ".join(texts), as_of=read_at, problem=problem)


def _places(partitions: Sequence[_Partition], now: datetime) -> Iterator[str]:
    """Position, lag and age of the newest message."""
    cursors = [one.cursor for one in partitions if one.cursor.position is not None]
    if not cursors:
        yield "no message was read"
        return
    positions = [(one.position or "").partition(" ")[0] for one in cursors]
    yield f"position {positions[0]}" if len(positions) == 1 else f"{len(positions)} partitions"
    lags = [one.lag for one in cursors if one.lag is not None]
    if lags:
        yield f"lag: {sum(lags)}"
    newest = max((one.newest for one in cursors if one.newest is not None), default=None)
    if newest is not None:
        yield f"newest message {format_duration((now - newest).total_seconds())} old"
