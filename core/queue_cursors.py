"""How far a partition of a queue is read, as its cursor stores it."""

import json
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCursor:
    """The cursor of one partition.

    Attributes:
        position: of the last stored message; null: none is stored yet.
        newest: when the broker took that message; null: not known.
        lag: how many messages waited behind it when it was stored; null: not known.
    """

    position: str | None = None
    newest: datetime | None = None
    lag: int | None = None

    def to_text(self) -> str:
        newest = None if self.newest is None else self.newest.isoformat()
        return json.dumps({"position": self.position, "newest": newest, "lag": self.lag})

    @classmethod
    def from_text(cls, text: str | None) -> "QueueCursor":
        """The cursor of a stored text; null: the partition was never read."""
        if text is None:
            return cls()
        read = json.loads(text)
        newest = read["newest"]
        return cls(
            position=read["position"],
            newest=None if newest is None else datetime.fromisoformat(newest),
            lag=read["lag"],
        )


def cursor_name(queue: str, partition: str) -> str:
    """The name of the cursor of a partition; "": the queue has only one order."""
    return f"{queue} partition {partition}" if partition else queue


def queue_of_cursor(name: str) -> str:
    """The queue of a cursor.

    Examples:
        >>> queue_of_cursor(cursor_name("kafka://broker:9092/metrics?group=forewarn", "12"))
        'kafka://broker:9092/metrics?group=forewarn'
    """
    return name.partition(" partition ")[0]
