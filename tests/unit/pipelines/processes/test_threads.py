"""A platform in a notebook uses as many threads as a command does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.processes.threads import THREADS

ROOT = Path(__file__).resolve().parents[4]
NOTEBOOK = """
import json, logging, os, sys
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
import numpy
from threadpoolctl import threadpool_info
from pipelines.processes.threads import limit_threads
limit_threads()
limit_threads()
import scipy.linalg
print(json.dumps([one["num_threads"] for one in threadpool_info()]))
"""


def threads(**variables: str) -> tuple[set[int], str]:
    """The threads of each library of a notebook that opened a platform, and what it logged."""
    environment = {name: value for name, value in os.environ.items() if name not in THREADS}
    environment |= {"PYTHONPATH": str(ROOT), **variables}
    ended = subprocess.run(
        [sys.executable, "-c", NOTEBOOK], env=environment, capture_output=True, text=True, check=True
    )
    return set(json.loads(ended.stdout)), ended.stderr


@pytest.mark.skipif(os.cpu_count() == 1, reason="one core has one thread anyhow")
def test_libraries_that_are_imported_and_those_to_come_use_one_thread_which_is_logged_once() -> None:
    found, logged = threads()
    assert found == {1}
    assert logged.count("use one thread in this process") == 1


def test_what_the_user_has_set_stays() -> None:
    found, logged = threads(OPENBLAS_NUM_THREADS="2")
    assert (found, logged) == ({2}, "")
