"""Run a command that ends when the process that started it ends, however that dies. Run as a script, see `guarded`.

On Linux the kernel sends the signal, and this script becomes the command. Elsewhere the script stays and watches.
It imports only the standard library, because it starts before every server.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

_LINUX = sys.platform.startswith("linux")
_PR_SET_PDEATHSIG = 1
_WATCH_EVERY_S = 1.0


def guarded(command: Sequence[str], parent: int) -> list[str]:
    """The command, started through this script: it gets SIGTERM when process `parent` ends.

    On Linux, the thread that starts the command must live as long as the command should.
    """
    return [sys.executable, "-S", str(Path(__file__).resolve()), str(parent), *command]


def end_with(parent: int, sign: signal.Signals = signal.SIGKILL) -> None:
    """Let the kernel send this process a signal when process `parent` ends. Only Linux can; elsewhere nothing happens.

    Raises:
        SystemExit: `parent` ended before.
    """
    if _LINUX:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, sign, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(1)


def run(parent: int, command: Sequence[str]) -> int:
    """Become the command on Linux; elsewhere run it and return its exit code."""
    if _LINUX:
        end_with(parent, signal.SIGTERM)  # kept across exec: the command inherits it
        os.execvp(command[0], list(command))  # noqa: S606 - the command comes from this project
    return _watched(parent, command)


def _watched(parent: int, command: Sequence[str]) -> int:
    process = subprocess.Popen(list(command))  # noqa: S603 - the command comes from this project
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while process.poll() is None:
        if os.getppid() != parent:
            process.terminate()
        time.sleep(_WATCH_EVERY_S)
    return process.returncode


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), sys.argv[2:]))
