"""Runs the `forewarn` command as a user does, in folders of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: No command of a test takes longer, on a slow machine either.
COMMAND_S = 400


@dataclass(frozen=True)
class Forewarn:
    """The command with its own data, models and Prefect; `outward` lists connections that left the machine.

    Attributes:
        home: the folder of its state.
        settings: further variables of its environment.
    """

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("FOREWARN_", "PREFECT_"))}
        return {
            **inherited,
            "FOREWARN_DATA_DIR": str(self.home / "data"),
            "FOREWARN_MLRUNS_DIR": str(self.home / "mlruns"),
            "FOREWARN_TENANT": "acme",
            "FOREWARN_TEST_CONNECTIONS": str(self.home / "connections"),
            "PYTHONPATH": f"{ROOT / 'tests' / 'e2e' / 'guard'}{os.pathsep}{ROOT}",
            "PYTHONWARNINGS": "ignore",
            **self.settings,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start_logged(self, log: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command that runs for long; all that it prints goes to `log`."""
        with log.open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "flows.cli", *arguments],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, *arguments: str, code: int = 0) -> str:
        """What the command prints on standard output; fails unless it ends with `code`."""
        printed, errors = self._ended(arguments, code)
        return printed if code == 0 else printed + errors

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self._ended((*arguments, "--json"), code)[0])

    def _ended(self, arguments: Sequence[str], code: int) -> tuple[str, str]:
        """What a command printed on both outputs; it does not outlive a test that is ended before it."""
        # Leaving the context waits for the process.
        with self.start(*arguments) as process:
            try:
                printed, errors = process.communicate(timeout=COMMAND_S)
            except BaseException:
                process.kill()
                raise
        assert process.returncode == code, f"{arguments} ended with {process.returncode}:\n{errors[-3000:]}"
        return printed, errors

    @property
    def outward(self) -> list[str]:
        report = self.home / "connections"
        return report.read_text().splitlines() if report.exists() else []


@contextmanager
def forewarn_in(home: Path) -> Iterator[Forewarn]:
    """A fresh installation, whose database is stopped at the end."""
    command = Forewarn(home)
    try:
        yield command
    finally:
        command.run("db", "down")
