"""The outbox of one sink: what it still has to receive, and how this run's deliveries went.

A sink has three lanes in the outbox: one for new signals, one for signals that became critical since, and one for
signals that ended.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.domain import Severity, Signal
from core.errors import UnavailableError
from core.ports import DeliveryRepository

#: The wait doubles with each failure, from the first value to the longest one.
FIRST_RETRY_S = 30
LONGEST_RETRY_S = 3_600


def retry_after(attempts: int) -> timedelta:
    """The wait before the next attempt, given the number of failed attempts before this one."""
    return timedelta(seconds=min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(attempts, 16)))


@dataclass(frozen=True, slots=True)
class Lanes:
    """The names of a sink's lanes, as the database stores them.

    Attributes:
        new: the lane of new signals has the name of the sink.
    """

    new: str

    @property
    def escalated(self) -> str:
        """Signals that became critical after they were delivered. All releases store this lane as `/worse`."""
        return f"{self.new}/worse"

    @property
    def ended(self) -> str:
        return f"{self.new}/ended"


class Outbox:
    """The deliveries of one sink.

    Attributes:
        lanes: the names of its lanes.
        delivered, failed: how many signals left the outbox in this run, and how many stayed because of a failure.
        error: why the last failure happened; "" when nothing failed.
    """

    def __init__(self, deliveries: DeliveryRepository, sink_name: str, now: datetime) -> None:
        self.lanes = Lanes(sink_name)
        self.delivered = self.failed = 0
        self.error = ""
        self._deliveries = deliveries
        self._now = now

    def enqueue_escalated(self) -> None:
        self._deliveries.enqueue_escalated(self.lanes.new, self.lanes.escalated)

    def enqueue_ended(self) -> None:
        self._deliveries.enqueue_ended(self.lanes.new, self.lanes.ended)

    def due(self, lane: str) -> list[Signal]:
        """What has to be delivered now, oldest first."""
        return self._deliveries.due(lane, self._now)

    def attempts(self, lane: str) -> Mapping[str, int]:
        """Signal id -> failed attempts, of all that is not delivered yet."""
        return self._deliveries.attempts(lane)

    def alert_ids(self) -> Mapping[str, str]:
        """Signal id -> the alert that carried it to people."""
        return self._deliveries.alert_ids(self.lanes.new)

    def delivered_as_critical(self) -> Collection[str]:
        """The ids of the signals that the sink received as critical."""
        return self._deliveries.received(self.lanes.escalated)

    def mark_delivered(self, lane: str, signals: Sequence[Signal], alert_id: str | None = None) -> None:
        """Take signals out of a lane.

        Args:
            alert_id: the alert that carried them to people; null: the sink is a machine.
        """
        ids = [signal.signal_id for signal in signals]
        self._deliveries.delivered(lane, ids, alert_id=alert_id)
        self.delivered += len(ids)
        if lane == self.lanes.new:
            # A signal that was critical from the start must not be sent a second time as escalated.
            critical = [signal.signal_id for signal in signals if signal.severity is Severity.CRITICAL]
            self._skip(self.lanes.escalated, critical)

    def skip_ends(self, signals: Sequence[Signal]) -> None:
        """Do not send the end of signals that had already ended when they were delivered."""
        ended = [signal.signal_id for signal in signals if signal.ended_at is not None]
        self._skip(self.lanes.ended, ended)

    def postpone(self, lane: str, signal_ids: Sequence[str], error: UnavailableError) -> None:
        """Try signals again later; each failed attempt doubles the wait."""
        attempts = self._deliveries.attempts(lane)
        by_attempts: dict[int, list[str]] = defaultdict(list)
        for signal_id in signal_ids:
            by_attempts[attempts.get(signal_id, 0)].append(signal_id)
        for number, ids in sorted(by_attempts.items()):
            self._deliveries.failed(lane, ids, str(error), self._now + retry_after(number))
        self.failed += len(signal_ids)
        self.error = str(error)

    def _skip(self, lane: str, signal_ids: Sequence[str]) -> None:
        if signal_ids:
            self._deliveries.enqueue([lane], signal_ids)
            self._deliveries.delivered(lane, signal_ids)
