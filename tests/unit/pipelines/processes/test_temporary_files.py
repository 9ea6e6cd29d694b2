"""Temporary files end with their process, however it dies."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
CHILD = """
import os, signal, sys, tempfile
from pipelines.processes.temporary_files import own_temporary_folder
folder = own_temporary_folder()
open(f"{tempfile.mkdtemp()}/large", "w").write("x")
print(folder, flush=True)
sys.stdin.readline()
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""
WITH_MULTIPROCESSING = """
from multiprocessing.util import get_temp_dir
from pipelines.processes.temporary_files import own_temporary_folder
own_temporary_folder()
get_temp_dir()
"""


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}


def child(folder: Path, end: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CHILD, end]
    return subprocess.Popen(
        command, env=environment(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def started(folder: Path, end: str) -> tuple[subprocess.Popen[str], Path]:
    process = child(folder, end)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


@pytest.mark.parametrize("end", ["usual", "killed"])
def test_the_next_process_removes_what_a_killed_one_left(tmp_path: Path, end: str) -> None:
    running, of_running = started(tmp_path, "usual")
    process, of_ended = started(tmp_path, end)
    assert len(list(of_ended.rglob("large"))) == 1
    process.communicate("\n")
    assert of_ended.exists() == (end == "killed")
    following, of_following = started(tmp_path, "usual")
    assert set(tmp_path.iterdir()) == {of_running, of_following}
    for one in (running, following):
        one.communicate("\n")
    assert list(tmp_path.iterdir()) == []


def test_what_multiprocessing_removes_at_the_end_is_still_there(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITH_MULTIPROCESSING]
    ended = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    assert list(tmp_path.iterdir()) == []
