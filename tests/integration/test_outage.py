"""A dead database is noticed within two seconds, costs nothing, and is named in one sentence."""

import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from servers.commands import Forewarn, forewarn_in
from servers.postgres import scratch_folder
from servers.prefect_server import wait_until

from core.errors import UnavailableError
from pipelines.stores.connecting import PoolBusyError, TimeLimits
from pipelines.stores.embedded import EmbeddedPostgres
from pipelines.stores.migrate import migrate
from pipelines.stores.session import Pool, Session, database_errors, open_pool
from pipelines.stores.store import Store

#: Two seconds, and a margin for a busy machine.
SOON_S = 6.0


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with scratch_folder("outage") as folder:
        server = EmbeddedPostgres(folder)
        migrate(server.start())
        try:
            yield server
        finally:
            server.start()
            server.stop()


@pytest.fixture
def pool(server: EmbeddedPostgres) -> Iterator[Pool]:
    with open_pool(server.start()) as pool:
        yield pool


def unavailable_after(work: Callable[[], object]) -> float:
    """Seconds until the error."""
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="the database does not answer"):
        work()
    return time.monotonic() - began


def postmaster(server: EmbeddedPostgres) -> int:
    pid = server.status().pid
    assert pid is not None
    return pid


def kill(server: EmbeddedPostgres) -> None:
    """Kill the server, and wait until its backends have noticed: until then, one more query may be answered."""
    pid = postmaster(server)
    backends = children_of(pid)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{one}").exists() for one in backends), 10)


def children_of(pid: int) -> list[str]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text().split()]


def test_a_port_that_accepts_and_never_answers_is_noticed_soon() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        dsn = f"postgresql://forewarn@127.0.0.1:{silent.getsockname()[1]}/forewarn"
        assert unavailable_after(lambda: open_pool(dsn)) < SOON_S
        assert unavailable_after(lambda: migrate(dsn)) < SOON_S


def test_a_killed_server_is_noticed_soon_and_used_again_soon(server: EmbeddedPostgres, pool: Pool) -> None:
    store = Store(pool, "acme")
    assert store.dead_letters.count() == 0
    kill(server)
    assert unavailable_after(store.dead_letters.count) < SOON_S
    assert unavailable_after(store.dead_letters.count) < SOON_S
    time.sleep(4)
    server.start()
    began = time.monotonic()
    assert store.dead_letters.count() == 0
    assert time.monotonic() - began < SOON_S, (
        "no long pause of the pool delays the first request after an outage"
    )


def test_a_server_that_is_killed_in_the_middle_of_a_transaction_is_one_error(
    server: EmbeddedPostgres, pool: Pool
) -> None:
    store = Store(pool, "acme")

    def transaction() -> None:
        with store.atomically():
            store.cursors.set("a", "1")
            kill(server)
            store.cursors.set("b", "1")

    assert unavailable_after(transaction) < SOON_S
    server.start()
    assert (store.cursors.get("a"), store.cursors.get("b")) == (None, None)


def test_a_frozen_server_is_noticed_soon(server: EmbeddedPostgres, pool: Pool) -> None:
    store = Store(pool, "acme")
    with pool.connection() as connection:
        backends = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
        )
        frozen = [postmaster(server), *(int(row[0]) for row in backends)]
    try:
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        assert unavailable_after(store.dead_letters.count) < SOON_S
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    assert store.dead_letters.count() == 0


def test_busy_connections_are_waited_for_and_are_no_outage(server: EmbeddedPostgres) -> None:
    with open_pool(server.start(), max_size=1) as pool:
        lent = pool.getconn()
        began = time.monotonic()
        from threading import Timer

        giver = Timer(3.0, pool.putconn, [lent])
        giver.start()
        assert Store(pool, "acme").dead_letters.count() == 0
        assert time.monotonic() - began > 2.5
        giver.join()


class SlowToGrow(Pool):
    """A pool that may open one more connection, which takes too long, as on a busy machine."""

    @property
    def max_size(self) -> int:
        return super().max_size + 1


def test_a_server_that_answers_others_is_busy_and_not_down(server: EmbeddedPostgres) -> None:
    with SlowToGrow(server.start(), max_size=1) as pool:
        pool.open(wait=True)

        def work(number: int) -> None:
            with database_errors(), pool.connection():
                time.sleep(0.9)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, range(4)))


def pausing(session: Session) -> None:
    with session.atomically():
        time.sleep(1.5)
        session.execute("SELECT 1", {})


def test_a_statement_a_lock_and_a_pause_that_take_too_long_are_one_sentence(server: EmbeddedPostgres) -> None:
    limits = TimeLimits(statement_s=2, lock_s=1, idle_s=1)
    with open_pool(server.start(), limits=limits) as pool:
        session, other = Session(pool, "acme"), Session(pool, "acme")
        with pytest.raises(
            UnavailableError, match="took too long: canceling statement due to statement timeout"
        ):
            session.rows("SELECT pg_sleep(60)", {})
        with ThreadPoolExecutor(1) as thread, session.atomically():
            session.execute("LOCK TABLE cursors", {})
            waiting = thread.submit(other.execute, "LOCK TABLE cursors", {})
            time.sleep(0.5)
            session.execute("SELECT 1", {})
            with pytest.raises(
                UnavailableError, match="took too long: canceling statement due to lock timeout"
            ):
                waiting.result()
        with pytest.raises(UnavailableError, match="the database"):
            pausing(session)
        with Store(pool, "acme").locks.hold("a job that computes for long") as lock:
            time.sleep(1.5)
            lock.check()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PoolBusyError("all connections are in use"), "all connections to the database are in use"),
        (psycopg.OperationalError("server closed the connection unexpectedly"), "does not answer"),
        (psycopg.errors.AdminShutdown(), "does not answer"),
        (psycopg.InterfaceError("the connection is closed"), "does not answer"),
        (psycopg.errors.DiskFull(), "cannot store"),
        (psycopg.errors.TooManyConnections(), "cannot store"),
        (psycopg.errors.DeadlockDetected(), "deadlock; try it again"),
    ],
)
def test_outages_are_one_sentence(error: Exception, sentence: str) -> None:
    with pytest.raises(UnavailableError, match=sentence), database_errors():
        raise error


@pytest.mark.parametrize("error", [psycopg.errors.DivisionByZero(), psycopg.errors.UndefinedColumn()])
def test_faults_of_the_program_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)), database_errors():
        raise error


@pytest.mark.timeout(400)
def test_a_flow_goes_on_when_its_database_is_killed(tmp_path: Path) -> None:
    with forewarn_in(tmp_path) as command:
        simulate = ("simulate", "--services", "1", "--days", "8", "--seed", "3", "--end", "2026-11-01")
        command.json("ingest", *simulate)
        run = command.start("flows", "run", "nightly", "--at", "2026-11-01")
        time.sleep(1)
        killed = _kill_when_used(command)
        printed, errors = run.communicate(timeout=300)
    assert killed
    assert "Traceback" not in errors
    assert run.returncode == 0, errors
    assert "nightly: done" in printed


@pytest.mark.timeout(300)
def test_a_flow_whose_database_is_gone_ends_with_one_sentence(tmp_path: Path) -> None:
    environment = {**Forewarn(tmp_path).environment, "FOREWARN_DATABASE_URL": "postgresql://127.0.0.1:9/none"}

    class Gone(Forewarn):
        @property
        def environment(self) -> dict[str, str]:
            return environment

    printed = Gone(tmp_path).run("flows", "run", "watch", code=1)
    assert "Traceback" not in printed
    lines = [line for line in printed.splitlines() if "the database does not answer" in line]
    assert re.match(r"error: the database does not answer", lines[-1])
    assert all("Retry" in line or "retry" in line for line in lines[:-1]), lines


def _kill_when_used(command: Forewarn) -> bool:
    """Kill the database server once a client of the flow has connected to it."""
    deadline = time.monotonic() + 200
    server = EmbeddedPostgres(command.home / "data")
    while time.monotonic() < deadline:
        status = server.status()
        if status.pid is not None and _clients(status.pid) > 0:
            os.kill(status.pid, signal.SIGKILL)
            return True
        time.sleep(0.02)
    return False


def _clients(postmaster_pid: int) -> int:
    """The connections of clients; PostgreSQL shows them in the titles of its processes."""
    count = 0
    for child in children_of(postmaster_pid):
        try:
            count += b"forewarn forewarn 127.0.0.1" in Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
    return count
