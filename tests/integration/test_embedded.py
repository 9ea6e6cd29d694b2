"""The embedded server: started from anywhere, killed at any time, and never as root."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from servers.postgres import scratch_folder

from core.errors import ConfigurationError
from pipelines.stores.embedded import EmbeddedPostgres
from pipelines.stores.server_user import choose_server_user

REPOSITORY = Path(__file__).parents[2]
ROOT = os.geteuid() == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    with scratch_folder("embedded") as folder:
        yield folder / "data"


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder)
    try:
        yield server
    finally:
        server.stop()


def answer(dsn: str, query: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(query.encode()).fetchone()
        return None if row is None else row[0]


def test_it_starts_once_keeps_its_address_and_its_data_and_stops(server: EmbeddedPostgres) -> None:
    assert not server.status().running
    dsn = server.start()
    assert server.start() == dsn
    answer(dsn, "SELECT 1")
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    running = server.status()
    assert running.running
    assert str(running.port) in dsn
    server.stop()
    server.stop()
    assert not server.status().running
    assert server.start() == dsn
    assert answer(dsn, "SELECT n FROM kept") == 7


def test_its_password_is_needed_and_kept_from_others(server: EmbeddedPostgres, folder: Path) -> None:
    dsn = server.start()
    secret = (folder / "postgres/password").read_text()
    assert secret in dsn
    assert secret not in repr(server) + repr(server.status())
    assert stat.S_IMODE((folder / "postgres/password").stat().st_mode) == 0o600
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(dsn.replace(secret, "guess"))
    assert answer(dsn, "SELECT setting FROM pg_settings WHERE name = 'listen_addresses'") == "127.0.0.1"


def test_no_commit_is_confirmed_before_it_is_on_disk(server: EmbeddedPostgres) -> None:
    dsn = server.start()
    for name in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
        assert answer(dsn, f"SHOW {name}") == "on"


def test_killed_without_a_word_it_comes_back_with_all_that_was_committed(server: EmbeddedPostgres) -> None:
    dsn = server.start()
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    pid = server.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert server.start() == dsn
    assert answer(dsn, "SELECT count(*) FROM kept") == 1000


def test_a_pid_that_now_belongs_to_a_stranger_is_no_hindrance(server: EmbeddedPostgres) -> None:
    dsn = server.start()
    cluster = server.status().cluster
    lines = (cluster / "postmaster.pid").read_text().splitlines()
    server.stop()
    user = choose_server_user([cluster])
    with subprocess.Popen(["sleep", "60"], cwd="/", user=user.uid, group=user.gid) as stranger:
        try:
            stale = cluster / "postmaster.pid"
            stale.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
            user.own(stale)
            assert not server.status().running
            assert server.start() == dsn
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_two_processes_may_start_it_at_once(server: EmbeddedPostgres, folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pipelines.stores.embedded import EmbeddedPostgres;"
        "print(EmbeddedPostgres(Path(sys.argv[1])).start())"
    )

    def start(_: int) -> str:
        command = [sys.executable, "-c", script, str(folder)]
        done = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=120
        )
        return done.stdout.strip()

    with ThreadPoolExecutor(3) as threads:
        (dsn,) = set(threads.map(start, range(3)))
    assert answer(dsn, "SELECT 1") == 1
    assert server.start() == dsn


def test_a_killed_first_start_leaves_nothing_that_hinders_the_next(
    server: EmbeddedPostgres, folder: Path
) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; from pathlib import Path; from pipelines.stores.embedded import EmbeddedPostgres;"
        "EmbeddedPostgres(Path(sys.argv[1])).start()",
        str(folder),
    ]
    with subprocess.Popen(command, cwd=REPOSITORY) as first:
        deadline = time.monotonic() + 30
        # A busy machine may miss that moment. Then the first start ends undisturbed.
        while (
            not list(folder.glob("postgres/cluster.new-*/*"))
            and first.poll() is None
            and time.monotonic() < deadline
        ):
            time.sleep(0.01)
        first.kill()
    assert answer(server.start(), "SELECT 1") == 1


def test_a_taken_port_is_left_to_its_owner(server: EmbeddedPostgres) -> None:
    import socket

    server.start()
    port = server.status().port
    assert port is not None
    server.stop()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert answer(server.start(), "SELECT 1") == 1
        assert server.status().port != port


def test_without_its_password_it_says_what_to_do(server: EmbeddedPostgres, folder: Path) -> None:
    server.start()
    server.stop()
    secret = (folder / "postgres/password").read_text()
    (folder / "postgres/password").unlink()
    with pytest.raises(ConfigurationError, match="is missing"):
        server.start()
    (folder / "postgres/password").write_text(secret)


@pytest.mark.skipif(not ROOT, reason="only root can be kept from running the server as itself")
def test_root_never_runs_it_and_opens_no_folder_for_it() -> None:
    with tempfile.TemporaryDirectory(prefix="forewarn-closed-") as closed:
        assert stat.S_IMODE(Path(closed).stat().st_mode) == 0o700
        server = EmbeddedPostgres(Path(closed) / "data")
        try:
            assert answer(server.start(), "SELECT 1") == 1
            pid = server.status().pid
            assert pid is not None
            assert Path(f"/proc/{pid}").stat().st_uid != 0
            assert stat.S_IMODE(Path(closed).stat().st_mode) == 0o700
            assert not server.status().cluster.is_relative_to(closed)
        finally:
            server.stop()
            cluster = server.status().cluster
            assert cluster.name == "cluster"
            subprocess.run(["rm", "-r", str(cluster.parent)], check=True)
