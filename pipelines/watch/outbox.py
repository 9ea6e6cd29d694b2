"""The outbox of one sink: what it still has to receive, and how this run's deliveries went."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from core.domain import Severity, Signal
from core.errors import RetryLaterError, UnavailableError
from core.outbox import LONGEST_RETRY_S, DeliveryLane, DeliveryRepository

#: The wait doubles with each failure, from this value to the longest one.
FIRST_RETRY_S = 30
#: A message that a receiver rejected so often, over about an hour, is given up. Sending it again cannot help.
MAX_REJECTIONS = 8


def retry_after(attempts: int) -> timedelta:
    """The wait before the next attempt, given the number of failed attempts before this one."""
    return timedelta(seconds=min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(attempts, 16)))


class Outbox:
    """The deliveries of one sink.

    Attributes:
        delivered: how many signals left the outbox in this run because the receiver has them.
        failed: how many stayed because of a failure.
        given_up: how many left it because the receiver rejected them too often.
        error: why the last failure happened; "" when nothing failed.
    """

    def __init__(self, deliveries: DeliveryRepository, sink_name: str, now: datetime) -> None:
        self.delivered = self.failed = self.given_up = 0
        self.error = ""
        self._deliveries = deliveries
        self._sink = sink_name
        self._now = now

    def enqueue(self, lane: DeliveryLane) -> None:
        """Put every signal that belongs into a lane into it."""
        self._deliveries.enqueue(self._sink, lane)

    def due(self, lane: DeliveryLane) -> list[Signal]:
        """What has to be delivered now, oldest first."""
        return self._deliveries.due(self._sink, lane, self._now)

    def release(self) -> int:
        """Make due what waits because the receiver failed; returns how many deliveries that were."""
        return self._deliveries.release(self._sink)

    def release_with_due(self) -> None:
        """The same, if anything is due, so that older messages do not arrive after newer ones."""
        self._deliveries.release(self._sink, if_due_at=self._now)

    def attempts(self, lane: DeliveryLane) -> Mapping[str, int]:
        """Signal id -> failed attempts, of all that is not delivered yet."""
        return self._deliveries.attempts(self._sink, lane)

    def rejections(self, lane: DeliveryLane) -> Mapping[str, int]:
        """Signal id -> how often the receiver rejected it, of all that is not delivered yet."""
        return self._deliveries.rejections(self._sink, lane)

    def alert_ids(self) -> Mapping[str, str]:
        """Signal id -> the alert that carried it to people."""
        return self._deliveries.alert_ids(self._sink)

    def delivered_as_critical(self) -> Collection[str]:
        """The ids of the signals that the sink received as critical."""
        return self._deliveries.received(self._sink, DeliveryLane.ESCALATED)

    def over(self) -> Collection[str]:
        """The alerts of which people were told that they are over."""
        return self._deliveries.over(self._sink)

    def set_over(self, alert_ids: Sequence[str], *, over: bool) -> None:
        """Remember whether people were told last that these alerts are over."""
        self._deliveries.set_over(self._sink, alert_ids, over=over)

    def mark_delivered(
        self, lane: DeliveryLane, signals: Sequence[Signal], alert_id: str | None = None
    ) -> None:
        """Take signals out of a lane.

        Args:
            alert_id: the alert that carried them to people; null: the sink is a machine.
        """
        ids = [signal.signal_id for signal in signals]
        self._deliveries.delivered(self._sink, lane, ids, alert_id=alert_id)
        self.delivered += len(ids)
        if lane is DeliveryLane.NEW:
            # A signal that was critical from the start must not be sent a second time as escalated.
            critical = [signal.signal_id for signal in signals if signal.severity is Severity.CRITICAL]
            self._skip(DeliveryLane.ESCALATED, critical)

    def skip_ends(self, signals: Sequence[Signal]) -> None:
        """Do not send the end of signals that had already ended when they were delivered."""
        ended = [signal.signal_id for signal in signals if signal.ended_at is not None]
        self._skip(DeliveryLane.ENDED, ended)

    def postpone(self, lane: DeliveryLane, signal_ids: Sequence[str], error: UnavailableError) -> None:
        """Try signals again later; each failed attempt doubles the wait, unless the receiver names a time."""
        attempts = self.attempts(lane)
        by_attempts: dict[int, list[str]] = defaultdict(list)
        for signal_id in signal_ids:
            by_attempts[attempts.get(signal_id, 0)].append(signal_id)
        for number, ids in sorted(by_attempts.items()):
            retry_at = self._now + retry_after(number)
            if isinstance(error, RetryLaterError):
                retry_at = error.retry_at
            self._deliveries.failed(self._sink, lane, ids, str(error), retry_at)
        self.failed += len(signal_ids)
        self.error = str(error)

    def reject(self, lane: DeliveryLane, signals: Sequence[Signal], error: UnavailableError) -> None:
        """Try signals of a rejected message again later, or give them up after `MAX_REJECTIONS`."""
        rejections, attempts = self.rejections(lane), self.attempts(lane)
        for signal in signals:
            tried, rejected = attempts.get(signal.signal_id, 0), rejections.get(signal.signal_id, 0)
            give_up = rejected + 1 >= MAX_REJECTIONS
            retry_at = None if give_up else self._now + retry_after(tried)
            self._deliveries.rejected(self._sink, lane, [signal.signal_id], str(error), retry_at)
            self.given_up += give_up
            self.failed += not give_up
        self.error = str(error)

    def receiver_failed(self, error: UnavailableError) -> None:
        """Store that the receiver fails, and until when it wants no request. All processes respect that time."""
        retry_at = error.retry_at if isinstance(error, RetryLaterError) else None
        self._deliveries.sink_failed(self._sink, self._now, str(error), retry_at)
        self.error = str(error)

    def receiver_works(self) -> None:
        """Store that the receiver accepted something."""
        self._deliveries.sink_recovered(self._sink)

    def paused_until(self) -> datetime | None:
        """Until when the receiver wants no request; null: it may be sent to now."""
        state = self._deliveries.sink_states().get(self._sink)
        if state is None or state.retry_at is None or state.retry_at <= self._now:
            return None
        if state.failing_since > self._now:
            return None  # the clock went back, so the time that the receiver named has another meaning by now
        self.error = state.error
        return state.retry_at

    def _skip(self, lane: DeliveryLane, signal_ids: Sequence[str]) -> None:
        if signal_ids:
            self._deliveries.skip(self._sink, lane, signal_ids)
