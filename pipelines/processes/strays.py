"""Find servers that a command of this installation started and that still run although the command is gone.

A server gets the variable `STARTED_BY` with the process that started it. Prefect's own temporary server has no such
variable; it is recognised by Prefect's home folder. Both can be read on Linux only; elsewhere nothing is found.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

#: `<pid>:<start of that process in clock ticks>`: a process that got the same pid later starts at another tick.
STARTED_BY = "FOREWARN_STARTED_BY"
#: What the server is, and for which data folder.
SERVER_NAME = "FOREWARN_SERVER_NAME"
SERVER_DATA = "FOREWARN_SERVER_DATA"
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """A server without its parent."""

    name: str
    pid: int
    memory_mb: int
    started_at: datetime


def process_mark(pid: int) -> str:
    """The process as `STARTED_BY` names it; "" where it does not exist or the system does not tell."""
    started = _start_ticks(pid)
    return "" if started is None else f"{pid}:{started}"


def mark(name: str, data_dir: Path) -> dict[str, str]:
    """The variables of a server that this process starts."""
    return {
        STARTED_BY: process_mark(os.getpid()),
        SERVER_NAME: name,
        SERVER_DATA: str(data_dir.resolve()),
    }


def find_strays(data_dir: Path) -> Iterator[Stray]:
    """The strays of the installation with this data folder, by process number."""
    data = str(data_dir.resolve())
    for folder in sorted((path for path in _PROC.glob("[0-9]*")), key=lambda path: int(path.name)):
        pid = int(folder.name)
        try:
            environment = dict(
                entry.split("=", 1)
                for entry in (folder / "environ").read_bytes().decode(errors="replace").split("\0")
                if "=" in entry
            )
            command = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            name = _name_of_stray(environment, command, folder, data)
            if name is not None:
                yield Stray(name=name, pid=pid, memory_mb=_memory_mb(folder), started_at=_started_at(pid))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended, or it belongs to another user


def _name_of_stray(environment: dict[str, str], command: list[str], folder: Path, data: str) -> str | None:
    """What the process is if it is a stray; else null."""
    if (parent := environment.get(STARTED_BY)) and environment.get(SERVER_DATA) == data:
        # The children of a server inherit its variables; only the server itself leads its process group.
        pid = int(folder.name)
        leads = os.getpgid(pid) == pid
        return environment.get(SERVER_NAME, "a server") if leads and not _lives(parent) else None
    ours = environment.get("PREFECT_HOME") == str(Path(data) / "prefect")
    if ours and "prefect.server.api.server:create_app" in command and _parent(folder) == 1:
        return "Prefect"
    return None


def _lives(mark: str) -> bool:
    pid = mark.partition(":")[0]
    return pid.isdigit() and process_mark(int(pid)) == mark


def _start_ticks(pid: int) -> int | None:
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # A zombie has ended; only its parent has not noticed yet.
    return None if fields[0] == "Z" else int(fields[19])


def _parent(folder: Path) -> int:
    return int((folder / "stat").read_text().rpartition(")")[2].split()[1])


def _memory_mb(folder: Path) -> int:
    lines = (folder / "status").read_text().splitlines()
    resident = next((line.split()[1] for line in lines if line.startswith("VmRSS:")), "0")
    return int(resident) // 1024


def _started_at(pid: int) -> datetime:
    return datetime.fromtimestamp((_PROC / str(pid)).stat().st_mtime, UTC)
