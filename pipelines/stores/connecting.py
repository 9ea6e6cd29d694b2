"""How Forewarn connects to PostgreSQL: a server that is down or gone is noticed within two seconds."""

import selectors
import threading
import time
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from pipelines.stores.binary import write_arrays

Connection = psycopg.Connection[TupleRow]

#: Within this time a database is found to be dead: refused, unreachable, or silent.
DETECT_S = 2
#: How long to wait for a connection while the database works and all connections are busy.
BUSY_WAIT_S = 30.0
#: libpq: the client probes an idle connection after 2 s, and gives up when sent data stay unconfirmed for 2 s.
#: `options`: the server ends the connection of a client that is gone within about 30 s, which frees its locks.
_PARAMETERS: dict[str, Any] = {
    "connect_timeout": DETECT_S,
    "keepalives": 1,
    "keepalives_idle": DETECT_S,
    "keepalives_interval": 1,
    "keepalives_count": 2,
    "tcp_user_timeout": DETECT_S * 1000,
    "application_name": "forewarn",
}
_OPTIONS = "-c timezone=UTC -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=4"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimits:
    """How long the server lets a connection work or wait, so that nothing hangs for ever.

    Attributes:
        statement_s: for one statement.
        lock_s: waiting for a lock of another transaction.
        idle_s: between two statements of a transaction, for a client that hangs while it holds locks.
    """

    statement_s: int
    lock_s: int
    idle_s: int

    def options(self) -> str:
        return (
            f"-c statement_timeout={self.statement_s}s -c lock_timeout={self.lock_s}s"
            f" -c idle_in_transaction_session_timeout={self.idle_s}s"
        )


#: Jobs read and delete for whole fleets. The service gives up on a request after 30 s.
JOB_LIMITS = TimeLimits(statement_s=3_600, lock_s=300, idle_s=600)
SERVICE_LIMITS = TimeLimits(statement_s=60, lock_s=20, idle_s=60)


def connection_parameters(dsn: str, limits: TimeLimits | None = None) -> dict[str, Any]:
    """The parameters of a connection; what the DSN sets itself takes precedence.

    Args:
        limits: null for migrations, which may rewrite large tables.
    """
    given = conninfo_to_dict(dsn)
    limited = "" if limits is None else limits.options()
    options = " ".join(filter(None, [_OPTIONS, limited, str(given.get("options") or "")]))
    return {**_PARAMETERS, **given, "options": options}


class PoolBusyError(PoolTimeout):
    """The database works, and all connections to it stayed busy."""


class Pool(ConnectionPool[Connection]):
    """A connection pool that tells a dead database from a busy one.

    Args:
        min_size: so many connections are always open. With `max_size` of them, no request waits for a new connection,
            which a busy machine takes long to open.
        limits: how long one statement may take.
    """

    def __init__(
        self, dsn: str, *, max_size: int, min_size: int = 1, limits: TimeLimits = JOB_LIMITS
    ) -> None:
        super().__init__(
            "",
            min_size=min_size,
            max_size=max_size,
            open=False,
            check=check_answers,
            configure=_configure,
            timeout=DETECT_S,
            # After an outage, a new request tries to connect again at once; no long pause of the pool delays it.
            reconnect_timeout=DETECT_S,
            kwargs=connection_parameters(dsn, limits),
        )
        self._lent = 0
        self._answered_at = 0.0
        self._counting = threading.Lock()

    def getconn(self, timeout: float | None = None) -> Connection:
        """Lend a connection.

        Raises:
            PoolTimeout: the database does not answer.
            PoolBusyError: all connections stayed busy for `BUSY_WAIT_S`.
        """
        deadline = time.monotonic() + BUSY_WAIT_S
        while True:
            began = time.monotonic()
            try:
                connection = super().getconn(timeout)
            except PoolTimeout as error:
                # The server works if all connections are in use, or if one gave an answer in the meantime.
                works = self._lent >= self.max_size or self._answered_at > began
                if timeout is not None or not works:
                    raise
                if time.monotonic() > deadline:
                    raise PoolBusyError("all connections are in use") from error
            else:
                with self._counting:
                    self._lent += 1
                    self._answered_at = time.monotonic()
                return connection

    def putconn(self, conn: Connection) -> None:
        """Take a connection back."""
        with self._counting:
            self._lent -= 1
            if not conn.closed:
                self._answered_at = time.monotonic()
        super().putconn(conn)


def _configure(connection: Connection) -> None:
    write_arrays(connection.adapters)


def check_answers(connection: Connection) -> None:
    """Check that the server answers on a connection. A frozen server accepts data and never answers.

    Raises:
        psycopg.OperationalError: no answer within `DETECT_S`, or the connection is lost.
    """
    raw = connection.pgconn
    deadline = time.monotonic() + DETECT_S
    raw.send_query(b"")
    raw.flush()
    with selectors.DefaultSelector() as selector:
        selector.register(raw.socket, selectors.EVENT_READ)
        while True:
            while not raw.is_busy():
                if raw.get_result() is None:
                    return
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                connection.close()
                raise psycopg.OperationalError(f"the server did not answer within {DETECT_S} s")
            raw.consume_input()
