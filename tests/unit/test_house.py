"""Rules for the whole repository: names of files, imports, reads of the environment, lock files, generated pages."""

import ast
import importlib
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from pipelines.common.privacy import SWITCHES, silence_telemetry

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("core", "features", "models", "pipelines", "serving", "flows")
#: Modules besides core/settings.py that use the environment, and why. None reads a setting of Forewarn.
USES_OF_THE_ENVIRONMENT = {
    "flows/commands/serve.py": "passes --host and --port to the process of the service",
    "flows/demo.py": "passes the demo's settings to the flows and the service",
    "flows/commands/watch.py": "hands the address on to the flows, which read their settings from the environment",
    "flows/environment.py": "sets variables that Prefect reads when it is imported",
    "flows/prefect_server.py": "PREFECT_API_URL and PREFECT_API_AUTH_STRING belong to Prefect",
    "pipelines/processes/cluster.py": "passes PYTHONPATH to a cluster, whose address is a variable of Dask or Ray",
    "pipelines/processes/private_prefect.py": "passes the environment to a Prefect server",
    "pipelines/processes/server_process.py": "passes the environment to servers, with the mark of their parent",
    "pipelines/processes/worker_pool.py": "passes the number of threads to worker processes",
    "pipelines/processes/threads.py": "sets the number of threads, which numerical libraries read",
    "pipelines/common/privacy.py": "turns off the telemetry of libraries",
    "pipelines/stores/mlflow_registry.py": "turns off the progress bars of MLflow",
}


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


def test_only_the_settings_read_the_environment() -> None:
    """Except for variables of libraries, see `USES_OF_THE_ENVIRONMENT`."""
    uses = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if _uses_environment(path.read_text())
    }
    assert uses == set(USES_OF_THE_ENVIRONMENT)
    settings = re.compile(r"environ(\.get\(|\[)\"FOREWARN_|getenv\(\"FOREWARN_")
    assert not [name for name in uses if settings.search((ROOT / name).read_text())]


def _uses_environment(code: str) -> bool:
    names = {"environ", "environb", "getenv", "getenvb", "putenv"}
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in names:
                return True
            case ast.ImportFrom(module="os", names=imported) if names & {one.name for one in imported}:
                return True
    return False


@pytest.mark.parametrize(
    ("code", "uses"),
    [
        ("import os\nos.environ['A'] = 'b'", True),
        ("import os\nos.getenv('A')", True),
        ("from os import environ", True),
        ("import os\nos.cpu_count()  # not os.environ", False),
    ],
)
def test_a_use_of_the_environment_is_found(code: str, uses: bool) -> None:
    assert _uses_environment(code) == uses


def test_make_bench_writes_the_sections_that_the_page_does_not_exempt() -> None:
    run = runpy.run_path(str(ROOT / "tests" / "benchmarks" / "run.py"))
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    introduction = page[: page.index("\n## ")]
    assert introduction == run["INTRODUCTION"]
    assert {name for name in run["COMBINED"] if f"`{name}`" in introduction} == run["COMBINED"]
    benchmarks = {path.stem.removeprefix("bench_") for path in run["FOLDER"].glob("bench_*.py")}
    sections = dict(re.findall(r"^## (\S+)\n\n(.*)", page, flags=re.M))
    assert set(sections) == benchmarks
    for name in benchmarks - run["COMBINED"]:
        written = rf"`python tests/benchmarks/bench_{name}\.py`, [\d-]+, \d+ cores, Python [\d.]+"
        assert re.fullmatch(written, sections[name]), f"`make bench` did not write the section {name}"


def test_the_profile_of_make_soak_has_ten_thousand_examples() -> None:
    (name,) = re.findall(r"--hypothesis-profile=(\w+)", (ROOT / "Makefile").read_text())
    assert settings.get_profile(name).max_examples == 10_000


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


def test_no_file_has_over_four_hundred_lines() -> None:
    packages = ("core", "features", "models", "pipelines", "serving", "flows", "tests")
    files = [path for name in packages for path in (ROOT / name).rglob("*.py")]
    assert [str(path) for path in files if len(path.read_text(encoding="utf-8").splitlines()) > 400] == []
