"""The user that runs the embedded PostgreSQL: never root, and one that can reach the files."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Unprivileged accounts, in the order in which they are tried when root starts the server.
UNPRIVILEGED = ("forewarn", "postgres", "nobody")


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The account that runs the server; `uid` null: the caller's own account."""

    name: str
    uid: int | None = None
    gid: int | None = None

    def run(self, command: Sequence[str | Path], timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Run a command as this user, in a folder that each user can enter."""
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
        """Make this user the owner of a path, unless the server runs as the caller."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def reaches(self, path: Path) -> bool:
        """Whether this user can enter all folders above `path`, and can enter or run `path`."""
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
    """Whether the uid has an account; initdb refuses one without."""
    return any(entry.pw_uid == uid for entry in pwd.getpwall())


def _account(entry: pwd.struct_passwd) -> ServerUser:
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)
