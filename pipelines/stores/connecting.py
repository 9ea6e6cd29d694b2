"""How Forewarn connects to PostgreSQL: a server that is down or gone is noticed within two seconds."""

import selectors
import threading
import time
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


def connection_parameters(dsn: str) -> dict[str, Any]:
    """The parameters of a connection; what the DSN sets itself takes precedence."""
    given = conninfo_to_dict(dsn)
    options = " ".join(filter(None, [_OPTIONS, str(given.get("options") or "")]))
    return {**_PARAMETERS, **given, "options": options}


class PoolBusyError(PoolTimeout):
    """The database works, and all connections to it stayed busy."""


class Pool(ConnectionPool[Connection]):
    """A connection pool that tells a dead database from a busy one.

    Args:
        min_size: so many connections are always open. With `max_size` of them, no request waits for a new connection,
            which a busy machine takes long to open.
    """

    def __init__(self, dsn: str, *, max_size: int, min_size: int = 1) -> None:
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
            kwargs=connection_parameters(dsn),
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
