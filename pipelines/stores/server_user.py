"""Who may run a PostgreSQL server: never root, and only where that user can reach the files."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Accounts without rights of their own, in the order tried, when root starts the server.
UNPRIVILEGED = ("forewarn", "postgres", "nobody")


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The account that the server runs under; `uid` null: the caller's own."""

    name: str
    uid: int | None = None
    gid: int | None = None

    def run(self, command: Sequence[str | Path], timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, from a folder that anybody can reach."""
        return subprocess.run(  # noqa: S603 - arguments are our own paths and constants
            [str(part) for part in command],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
        )

    def own(self, path: Path) -> None:
        """Give a path to this user, if it is not the caller's already."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def reaches(self, path: Path) -> bool:
        """Whether this user may pass every folder above `path`, and enter or run it."""
        if self.uid is None:
            return True
        return self.run(["/bin/sh", "-c", 'test -x "$1"', "sh", path], 10).returncode == 0


def choose_server_user(owner_of: Sequence[Path]) -> ServerUser:
    """The caller; for root, the first owner of these paths that is not root, else an unprivileged account."""
    if os.geteuid() != 0:
        return ServerUser(pwd.getpwuid(os.geteuid()).pw_name if _known(os.geteuid()) else str(os.geteuid()))
    for path in owner_of:
        if path.exists() and (uid := path.stat().st_uid) != 0 and _known(uid):
            return _account(pwd.getpwuid(uid))
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    return _account(next(names[name] for name in UNPRIVILEGED if name in names))


def _known(uid: int) -> bool:
    """initdb refuses a uid that has no account."""
    return any(entry.pw_uid == uid for entry in pwd.getpwall())


def _account(entry: pwd.struct_passwd) -> ServerUser:
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)
