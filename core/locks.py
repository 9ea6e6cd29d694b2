"""Locks in the database: a job that must not run twice at the same time."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class LockOwner:
    """Who holds a lock.

    Attributes:
        name: of the lock, such as `deliver/slack`.
        owner: host and process, such as `web1 process 4711`.
        since: when the lock was taken.
    """

    name: str
    owner: str
    since: datetime


class HeldLock(Protocol):
    """A lock that this process holds."""

    def check(self) -> None:
        """Check that the lock is still ours. The database releases it when the connection breaks.

        Raises:
            UnavailableError: the connection is lost, and so another process may hold the lock by now.
        """
        ...


class LockRepository(Protocol):
    """The locks of a tenant."""

    def hold(self, name: str, *, wait_s: float = 0.0) -> AbstractContextManager[HeldLock]:
        """Hold a lock during the `with` block. It ends with the block, and with the process however that dies.

        Args:
            wait_s: how long to wait for another owner.
        Raises:
            BusyError: another process holds the lock; the text names it and since when.
        """
        ...

    def owners(self, names: Sequence[str]) -> list[LockOwner]:
        """Who holds these locks now, the oldest first."""
        ...


def delivery_lock(sink: str) -> str:
    """The name of the lock of the deliveries to a sink."""
    return f"deliver/{sink}"


#: The name of the lock of retries of dead letters.
RETRY_LOCK = "dead_letters/retry"
#: Jobs that one process at a time does for a tenant, besides ingests and deliveries.
JOB_LOCKS = (
    "features",
    "baselines",
    "train/detector",
    "train/forecaster",
    "train/failure",
    "promote",
    "detect",
    "forecast",
    "predict",
    "diagnose",
    "retention",
    RETRY_LOCK,
)


def ingest_lock(source: str) -> str:
    """The name of the lock of the ingests from a source."""
    return f"ingest/{source}"
