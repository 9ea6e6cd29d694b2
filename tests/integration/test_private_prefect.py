"""The Prefect server of a cluster's workers needs a password, and ends with the process that started it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from integration.test_left_behind import gone, linux, wait_for
from servers.commands import ROOT

#: A thread starts the server, and ends.
PARENT = """
import time
from threading import Thread
from pipelines.processes.private_prefect import private_server
server = private_server()
thread = Thread(target=lambda: print(server.__enter__()[0], flush=True))
thread.start()
thread.join()
time.sleep(300)
"""


@linux
@pytest.mark.timeout(400)
def test_it_needs_a_password_and_ends_with_its_parent_not_with_a_thread(tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            url = parent.stdout.readline().strip()
            time.sleep(1)  # the thread has ended
            assert httpx.get(f"{url}/api/admin/version", timeout=60).status_code == 401
            assert httpx.post(f"{url}/api/flows/filter", json={}, timeout=60).status_code in (401, 403)
            foreign = {"Origin": "http://evil.example"}
            assert httpx.get(f"{url}/api/health", headers=foreign, timeout=60).status_code == 403
            tasks = Path(f"/proc/{parent.pid}/task").glob("*/children")
            children = [int(pid) for task in tasks for pid in task.read_text().split()]
        finally:
            parent.kill()
    wait_for(lambda: all(gone(pid) for pid in children))
    assert children
