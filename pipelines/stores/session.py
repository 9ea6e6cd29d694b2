"""A tenant's connections to the database, and its transactions."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row
from psycopg_pool import PoolTimeout

from core.errors import InputError, UnavailableError
from pipelines.stores.connecting import DETECT_S, JOB_LIMITS, PoolBusyError, TimeLimits
from pipelines.stores.connecting import Connection as Connection
from pipelines.stores.connecting import Pool as Pool

Statement = str | sql.SQL | sql.Composed
Result = TypeVar("Result")

NO_ANSWER = "the database does not answer"
BUSY = "all connections to the database are in use; try again soon"
#: The errors with which the server enforces the `TimeLimits`.
_TOO_SLOW = {
    error.sqlstate
    for error in (
        psycopg.errors.QueryCanceled,
        psycopg.errors.LockNotAvailable,
        psycopg.errors.IdleInTransactionSessionTimeout,
    )
}
#: How often a transaction is tried when the server aborts it to end a deadlock.
_DEADLOCK_TRIES = 4

_TENANT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


def open_pool(dsn: str, *, max_size: int = 8, min_size: int = 1, limits: TimeLimits = JOB_LIMITS) -> Pool:
    """A pool whose connections use UTC; close it, or use it as a context manager.

    Args:
        min_size: so many connections are open all the time.
    Raises:
        UnavailableError: the database does not answer within two seconds.
    """
    pool = Pool(dsn, max_size=max_size, min_size=min_size, limits=limits)
    try:
        pool.open(wait=True, timeout=DETECT_S)
    except PoolTimeout as error:
        pool.close()
        raise UnavailableError(NO_ANSWER) from error
    return pool


@contextmanager
def database_errors() -> Iterator[None]:
    """Within this block, a database that is down, full, too slow or out of connections is an `UnavailableError`.

    All other errors of the database are faults of the program and stay as they are.
    """
    try:
        yield
    except (
        PoolTimeout,
        psycopg.OperationalError,
        psycopg.InterfaceError,
        psycopg.errors.IdleInTransactionSessionTimeout,
    ) as error:
        sentence = _outage(error)
        if sentence is None:
            raise
        raise UnavailableError(sentence) from error


def _outage(error: psycopg.Error) -> str | None:
    """The sentence for an outage; null when the error is something else.

    References:
        https://www.postgresql.org/docs/current/errcodes-appendix.html
    """
    if isinstance(error, PoolBusyError):
        return BUSY
    state = error.sqlstate
    if isinstance(error, psycopg.InterfaceError):
        return NO_ANSWER if "closed" in str(error) else None
    if state is None or state[:2] == "08" or state[:3] == "57P":
        return NO_ANSWER
    if state == psycopg.errors.DeadlockDetected.sqlstate:
        return "the database aborted this to end a deadlock; try it again"
    if state in _TOO_SLOW:
        return f"the database took too long: {error.diag.message_primary}"
    if state[:2] == "53" or state == psycopg.errors.ReadOnlySqlTransaction.sqlstate:
        return f"the database cannot store or serve anything now: {error.diag.message_primary}"
    return None


def require_tenant(tenant: str) -> None:
    """Check the name of a tenant. It must not contain "/", which separates the tenant from the service in ids.

    Raises:
        InputError: the name is not valid.
    """
    if not _TENANT.fullmatch(tenant):
        raise InputError(
            f"a tenant is 1 to 64 letters, digits, dots, hyphens and underscores, got {tenant!r}"
        )


def again_after_deadlocks(work: Callable[[], Result]) -> Result:
    """Run `work`, which begins and ends its transactions, and again when the server aborted it to end a deadlock.

    Raises:
        UnavailableError: the server aborted each try.
    """
    for _ in range(_DEADLOCK_TRIES - 1):
        try:
            return work()
        except psycopg.errors.DeadlockDetected:
            continue
        except UnavailableError as error:
            if not isinstance(error.__cause__, psycopg.errors.DeadlockDetected):
                raise
    return work()


class Session:
    """Lends connections. Inside `atomically` a thread always gets the same connection, in one transaction."""

    def __init__(self, pool: Pool, tenant: str) -> None:
        require_tenant(tenant)
        self.tenant = tenant
        self.pool = pool
        self._bound = threading.local()

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is inside `atomically`."""
        return getattr(self._bound, "connection", None) is not None

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """The connection of the running transaction, else a new one that commits at the end.

        Raises:
            UnavailableError: the database does not answer, or has no resources left.
        """
        bound: Connection | None = getattr(self._bound, "connection", None)
        if bound is not None:
            yield bound
            return
        with database_errors(), self.pool.connection() as connection:
            yield connection

    @contextmanager
    def atomically(self) -> Iterator[None]:
        """All that is written inside is stored together, or not at all. Inside another transaction: a savepoint."""
        with self.connection() as connection, connection.transaction():
            outer = getattr(self._bound, "connection", None)
            self._bound.connection = connection
            try:
                yield
            finally:
                self._bound.connection = outer

    def atomically_retried(self, work: Callable[[], Result]) -> Result:
        """Run `work` in a transaction, and again when the server aborted it to end a deadlock.

        TimescaleDB takes stronger and stronger locks while it compresses a chunk and joins it to the one before. A
        transaction that reads these chunks, or reads one and then writes to it, can therefore wait for the compression
        while the compression waits for it. Inside another transaction this helps only if that one has not read the
        chunk: it keeps its locks.

        Returns:
            What `work` returns.
        Raises:
            UnavailableError: the server aborted each try.
        """

        def once() -> Result:
            with self.atomically():
                return work()

        return again_after_deadlocks(once)

    def rows(self, query: Statement, parameters: dict[str, Any]) -> list[DictRow]:
        """All rows of a query; `tenant` is always among the parameters."""
        with self.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, {"tenant": self.tenant, **parameters}).fetchall()

    def execute(self, query: Statement, parameters: dict[str, Any]) -> int:
        """Run a statement and return how many rows it touched; `tenant` is always among the parameters."""
        with self.connection() as connection:
            return connection.execute(query, {"tenant": self.tenant, **parameters}).rowcount


def utc(moment: datetime) -> datetime:
    """The same moment in UTC, the only zone of the domain."""
    return moment.astimezone(UTC)


def utc_or_none(moment: datetime | None) -> datetime | None:
    """The same moment in UTC; null stays null."""
    return None if moment is None else utc(moment)
