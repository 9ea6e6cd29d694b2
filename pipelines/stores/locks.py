"""Locks of a tenant in the database, so that a job does not run twice at the same time on any machine.

A lock is an advisory lock of PostgreSQL that lives as long as one open transaction. PostgreSQL releases it when the
connection ends, so a killed process leaves no lock behind. The owner is the name of the connection, which
`pg_stat_activity` shows together with the start of the transaction.

References:
    https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psycopg

from core.errors import BusyError, UnavailableError
from core.locks import HeldLock, LockOwner
from pipelines.stores.session import Connection, Session, database_errors, utc

_OWNERS = (
    "SELECT k.name, coalesce(nullif(a.application_name, ''), 'a process of another user') AS owner,"
    " coalesce(a.xact_start, now()) AS since"
    " FROM unnest(%(names)s::text[], %(keys)s::bigint[]) AS k (name, key)"
    " JOIN pg_locks l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
    "  AND ((l.classid::bigint << 32) | l.objid::bigint) = k.key"
    "  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " JOIN pg_stat_activity a ON a.pid = l.pid ORDER BY since, k.name"
)


class _Held(HeldLock):
    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    def check(self) -> None:
        try:
            self._connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            raise UnavailableError(
                f"the database closed the connection that held the lock {self._name}"
            ) from error


class LockStore:
    """The locks of one tenant (`core.locks.LockRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @contextmanager
    def hold(self, name: str, *, wait_s: float = 0.0) -> Iterator[HeldLock]:
        """Hold a lock during the `with` block. It ends with the block, and with the process however that dies.

        Args:
            wait_s: how long to wait for another owner.
        Raises:
            BusyError: another process holds the lock; the text names it and since when.
            UnavailableError: the database does not answer.
        """
        with database_errors():
            connection = self._session.pool.getconn()
        try:
            with database_errors():
                taken = self._take(connection, name, wait_s)
            if not taken:
                raise BusyError(self._busy(name))
            yield _Held(connection, name)
        finally:
            # Where the connection is lost, the lock is gone already.
            with suppress(psycopg.OperationalError):
                connection.rollback()
            self._session.pool.putconn(connection)

    def owners(self, names: Sequence[str]) -> list[LockOwner]:
        """Who holds these locks now, the oldest first."""
        keys = [self._key(name) for name in names]
        rows = self._session.rows(_OWNERS, {"names": list(names), "keys": keys})
        return [LockOwner(**{**row, "since": utc(row["since"])}) for row in rows]

    def _take(self, connection: Connection, name: str, wait_s: float) -> bool:
        """Open a transaction and take the lock in it; false when another process holds it for longer than `wait_s`."""
        connection.execute(
            "SELECT set_config('application_name', %s, true), set_config('lock_timeout', %s, true),"
            " set_config('idle_in_transaction_session_timeout', '0', true), set_config('statement_timeout', '0', true)",
            [_process_name(), f"{max(1, int(wait_s * 1000))}ms"],
        )
        if wait_s <= 0:
            row = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [self._key(name)]).fetchone()
            return bool(row and row[0])
        try:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [self._key(name)])
        except psycopg.errors.LockNotAvailable:
            return False
        return True

    def _busy(self, name: str) -> str:
        owner = next(iter(self.owners([name])), None)
        if owner is None:
            return f"another process held the lock {name} until now; run it again"
        return f"{owner.owner} holds the lock {name} since {owner.since:%Y-%m-%d %H:%M:%S} UTC"

    def _key(self, name: str) -> int:
        """A number of 64 bits for the lock of this tenant. "/" cannot occur in a tenant, so names stay apart."""
        text = f"forewarn/{self._session.tenant}/{name}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)


def _process_name() -> str:
    """Host and process, within the 63 bytes that PostgreSQL keeps of a connection's name."""
    return f"{socket.gethostname()[:40]} process {os.getpid()}"
