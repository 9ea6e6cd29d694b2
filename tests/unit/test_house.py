"""What holds of the whole house: where packages come from, how files are called, that importing does nothing."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.common.privacy import SWITCHES, silence_telemetry

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("core", "features", "models", "pipelines", "serving", "flows")


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_is_imported_from_this_repository(name: str) -> None:
    file = importlib.import_module(name).__file__
    assert file is not None
    assert Path(file).resolve().parent == ROOT / name


def test_no_module_is_called_like_one_of_the_standard_library() -> None:
    modules = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    clashes = [path for path in modules if path.stem in sys.stdlib_module_names]
    assert modules
    assert clashes == []


def test_importing_the_pure_layers_reads_no_environment_and_pulls_in_no_platform() -> None:
    code = (
        "import sys, core.domain, core.settings, core.frames, models.lifecycle.promotion\n"
        "heavy = {'psycopg', 'mlflow', 'prefect', 'bentoml', 'feast', 'httpx'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    environment = {"PATH": os.environ["PATH"], "FOREWARN_SERVE_PORT": "not a number"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_command_sets_the_number_of_threads_before_a_numerical_library_could_read_it() -> None:
    code = (
        "import sys, flows.cli\n"
        "heavy = {'numpy._core', 'scipy', 'numba', 'xgboost'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_telemetry_of_every_library_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
    silence_telemetry()
    assert {name: os.environ[name] for name in SWITCHES} == SWITCHES


def test_the_lock_files_have_a_hash_for_every_package_and_name_no_address() -> None:
    for lock in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / lock).read_text()
        pinned = [line for line in text.splitlines() if "==" in line and not line.startswith(" ")]
        assert len(pinned) > 100
        assert all(line.rstrip().endswith("\\") for line in pinned)
        assert "://" not in text
        assert "index-url" not in text
