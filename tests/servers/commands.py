"""Runs the `forewarn` command as a user does, in folders of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


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
        process = self.start(*arguments)
        printed, errors = process.communicate(timeout=400)
        assert process.returncode == code, f"{arguments} ended with {process.returncode}:\n{errors[-3000:]}"
        return printed if code == 0 else printed + errors

    def json(self, *arguments: str, code: int = 0) -> Any:
        process = self.start(*arguments, "--json")
        printed, errors = process.communicate(timeout=400)
        assert process.returncode == code, f"{arguments} ended with {process.returncode}:\n{errors[-3000:]}"
        return json.loads(printed)

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
