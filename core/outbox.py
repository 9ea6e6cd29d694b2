"""The outbox: delivery lanes, how many deliveries each holds, and the port of the store that keeps them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from core.domain import Signal

#: No attempt is postponed by more seconds than this, unless a receiver asks for it.
LONGEST_RETRY_S = 3_600


class DeliveryLane(StrEnum):
    """Why a signal is delivered to a sink: it is new, it became critical since, or it ended."""

    NEW = "new"
    ESCALATED = "escalated"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneCount:
    """The deliveries of one lane of one sink. Each delivery is in one of the four numbers.

    Attributes:
        waiting: due, and not tried yet. This includes signals that the next run will put into the lane.
        failed: tried, not accepted, and tried again later.
        given_up: rejected so often that Forewarn does not try again.
        delivered: accepted by the receiver.
        since: since when the oldest delivery that is waiting or failed has been due; null: there is none.
        error: why the last one failed or was given up; "" when none was.
    """

    sink: str
    lane: DeliveryLane
    waiting: int = 0
    failed: int = 0
    given_up: int = 0
    delivered: int = 0
    since: datetime | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkState:
    """What is known of a receiver that fails.

    Attributes:
        failing_since: the first failure after the last success.
        retry_at: the receiver asked for no request before this time; null: it did not ask.
        error: why the last request failed.
    """

    sink: str
    failing_since: datetime
    retry_at: datetime | None
    error: str


class DeliveryRepository(Protocol):
    """The deliveries of a tenant. Each sink has the three delivery lanes."""

    def enqueue(self, sink: str, lane: DeliveryLane) -> int:
        """Put every signal that belongs into a lane into it, each once; returns how many are new."""
        ...

    def due(self, sink: str, lane: DeliveryLane, now: datetime) -> list[Signal]:
        """The signals to deliver now, oldest first. Failed ones wait for their next attempt."""
        ...

    def delivered(
        self, sink: str, lane: DeliveryLane, signal_ids: Sequence[str], *, alert_id: str | None = None
    ) -> None:
        """Mark signals as delivered; `alert_id` names the alert that carried them."""
        ...

    def skip(self, sink: str, lane: DeliveryLane, signal_ids: Sequence[str]) -> None:
        """Mark signals as delivered that were never due in this lane."""
        ...

    def failed(
        self, sink: str, lane: DeliveryLane, signal_ids: Sequence[str], error: str, retry_at: datetime
    ) -> None:
        """Postpone signals that the receiver did not accept."""
        ...

    def rejected(
        self, sink: str, lane: DeliveryLane, signal_ids: Sequence[str], error: str, retry_at: datetime | None
    ) -> None:
        """Postpone signals that the receiver rejected; `retry_at` null: give them up."""
        ...

    def release(self, sink: str, *, if_due_at: datetime | None = None) -> int:
        """Make due, in all lanes, what waits because the receiver failed; returns how many deliveries that were.

        What the receiver rejected keeps its time.

        Args:
            if_due_at: only if another delivery to the sink is due at this time; null: always.
        """
        ...

    def attempts(self, sink: str, lane: DeliveryLane) -> dict[str, int]:
        """Signal id -> number of failed attempts, of all signals that are still to be delivered."""
        ...

    def rejections(self, sink: str, lane: DeliveryLane) -> dict[str, int]:
        """Signal id -> how often the receiver rejected it, of all signals that are still to be delivered."""
        ...

    def retry_given_up(self) -> int:
        """Make given up deliveries due again; returns how many."""
        ...

    def received(self, sink: str, lane: DeliveryLane) -> set[str]:
        """The ids of the signals that the sink has accepted in this lane."""
        ...

    def alert_ids(self, sink: str) -> dict[str, str]:
        """Signal id -> the alert that carried it to that sink."""
        ...

    def over(self, sink: str) -> set[str]:
        """The alerts of which people at that sink were told that they are over."""
        ...

    def set_over(self, sink: str, alert_ids: Sequence[str], *, over: bool) -> None:
        """Remember whether people were told last that these alerts are over, or that they are not."""
        ...

    def counts(self, sinks: Sequence[str]) -> list[LaneCount]:
        """The lanes of these sinks and of all others that ever had a delivery, by sink and lane."""
        ...

    def sink_states(self) -> Mapping[str, SinkState]:
        """Sink -> its state, of the receivers that fail now."""
        ...

    def sink_failed(self, sink: str, now: datetime, error: str, retry_at: datetime | None) -> None:
        """Remember that a receiver failed, and until when it wants no request."""
        ...

    def sink_recovered(self, sink: str) -> None:
        """Remember that a receiver accepted something."""
        ...
