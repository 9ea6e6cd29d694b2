"""Servers end with the process that started them, however it dies; `status` finds those that did not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from servers.commands import ROOT, Forewarn

from pipelines.processes.end_with_parent import _watched, guarded
from pipelines.processes.strays import SERVER_DATA, STARTED_BY, find_strays, mark, process_mark

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")

PARENT = """
import sys, time
from pathlib import Path
from pipelines.processes.server_process import start_server
server = start_server(
    "sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], url="", log=Path(sys.argv[1]) / "logs/log",
    data_dir=Path(sys.argv[1]),
)
print(server.process.pid, flush=True)
time.sleep(60)
"""


WORKERS = """
import sys, time
from pipelines.processes.parallel import map_chunks
def nap(_):
    import os
    open(f"{sys.argv[1]}/{os.getpid()}", "w").close()
    time.sleep(60)
if __name__ == "__main__":
    list(map_chunks(nap, [1, 2], workers=2))
"""


def wait_for(happened: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen within {seconds:.0f} s"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    return process_mark(pid) == ""


@linux
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_server_ends_with_its_parent_however_that_dies(tmp_path: Path, sign: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    parent = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert parent.stdout is not None
    server = int(parent.stdout.readline())
    assert not gone(server)
    assert list(find_strays(tmp_path)) == []
    parent.send_signal(sign)
    parent.communicate()
    wait_for(lambda: gone(server))


@linux
def test_the_workers_of_a_killed_training_end(tmp_path: Path) -> None:
    script, started = tmp_path / "train.py", tmp_path / "started"
    script.write_text(WORKERS)
    started.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, str(script), str(started)], env=environment)
    wait_for(lambda: len(list(started.iterdir())) == 2, 60)
    workers = [int(path.name) for path in started.iterdir()]
    parent.kill()
    parent.wait()
    wait_for(lambda: all(gone(worker) for worker in workers))


@linux
def test_a_server_whose_parent_died_before_it_began_does_not_start() -> None:
    done = subprocess.run(
        guarded([sys.executable, "-c", "print('started')"], 1), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")


def test_where_the_kernel_sends_no_signal_the_script_watches() -> None:
    assert _watched(os.getppid(), [sys.executable, "-c", "raise SystemExit(3)"]) == 3
    began = time.monotonic()
    assert _watched(1_234_567, [sys.executable, "-c", "import time; time.sleep(60)"]) == -signal.SIGTERM
    assert time.monotonic() - began < 30


@linux
def test_a_server_that_was_left_behind_is_found(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    variables = {**os.environ, **mark("Prefect", tmp_path), STARTED_BY: f"{dead.pid}:1"}
    dead.wait()
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    stray = subprocess.Popen(sleep, env=variables, start_new_session=True)
    other = subprocess.Popen(sleep, env={**variables, SERVER_DATA: "/elsewhere"}, start_new_session=True)
    try:
        wait_for(lambda: [one.pid for one in find_strays(tmp_path)] == [stray.pid])
        (found,) = find_strays(tmp_path)
        assert found.name == "Prefect"
        assert found.memory_mb > 0
    finally:
        for process in (stray, other):
            process.kill()
            process.wait()
    assert list(find_strays(tmp_path)) == []


@linux
@pytest.mark.timeout(300)
def test_a_killed_run_of_a_flow_leaves_no_prefect_server_behind(tmp_path: Path) -> None:
    command = Forewarn(tmp_path)
    run = command.start("flows", "run", "watch")
    data = str((tmp_path / "data").resolve())

    def servers() -> list[int]:
        return [
            int(folder.name)
            for folder in Path("/proc").glob("[0-9]*")
            if _read(folder / "environ").count(f"{SERVER_DATA}={data}")
            and "prefect_app" in _read(folder / "cmdline")
        ]

    try:
        wait_for(lambda: bool(servers()), 200)
        (server,) = servers()
    finally:
        run.kill()
        run.communicate()
    wait_for(lambda: gone(server))
    command.run("db", "down")


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
