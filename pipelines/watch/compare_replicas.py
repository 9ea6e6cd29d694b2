"""Compare the replicas of each service with each other, and turn outliers among their peers into signals."""

import logging
from dataclasses import dataclass
from datetime import timedelta

from core.domain import SignalKind
from models.signals.peers import peer_signals
from models.words.peers import is_about_peers
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.pushed_stores import pushed_stores
from pipelines.common.tenant_platform import Platform
from pipelines.sources.configured import configured_peers
from pipelines.sources.peers import PeerSource

#: Maintenance windows are read from so long before now.
LOOKBACK = timedelta(days=1)

_logger = logging.getLogger("forewarn.watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaReport:
    """What one comparison found.

    Attributes:
        groups, replicas: how many groups of replicas were compared, and how many replicas they have, added up over
            the signals by which they are compared.
        outliers: replicas that differ from their peers now.
        new: signals that were not known before.
        notes: what could not be compared, and why.
    """

    groups: int
    replicas: int
    outliers: int
    new: int
    notes: tuple[str, ...] = ()


@one_at_a_time("compare_replicas")
def compare_replicas(
    platform: Platform, *, source: PeerSource | None = None, progress: Progress = silent
) -> ReplicaReport | None:
    """Compare replicas at the newest moments and store the signals. It needs no model.

    Args:
        source: of the values; null: the one that the settings name.
    Returns:
        Null where no source knows the values of single replicas.
    Raises:
        UnavailableError: the source does not answer.
    """
    source = source or configured_peers(
        platform.settings, platform.tenant, platform.clock, pushed=pushed_stores(platform)
    )
    if source is None:
        return None
    now = platform.clock.now()
    progress("compare replicas", 0, 1)
    reading = source.read(now)
    for note in reading.notes:
        _logger.warning(note)
    known = [
        one
        for one in platform.store.signals.find(kind=SignalKind.ANOMALY, since=now)
        if one.ended_at is None and is_about_peers(one) and one.metric not in reading.unread
    ]
    events = platform.store.events.between(now - LOOKBACK, now + timedelta(microseconds=1))
    signals = peer_signals(reading.groups, known, now, events)
    new, _ = platform.store.signals.upsert(signals)
    progress("compare replicas", 1, 1)
    return ReplicaReport(
        groups=len(reading.groups),
        replicas=sum(len(group.replicas) for group in reading.groups),
        outliers=sum(one.ended_at is None for one in signals),
        new=new,
        notes=reading.notes,
    )
