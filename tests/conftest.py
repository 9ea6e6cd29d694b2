"""What every test shares: threads as the commands set them, profiles of Hypothesis, and which process runs a test."""

from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from pipelines.processes.threads import one_thread_in_a_process

# Before any test imports NumPy: with as many threads as cores, small matrices mostly wait for one another.
one_thread_in_a_process()

# `make soak` runs many other examples each time, besides those that failed before.
settings.register_profile("soak", settings.get_profile("ci"), max_examples=10_000, derandomize=False)

#: Tests below these folders start servers and commands, which use several cores by themselves.
SERVER_TESTS = ("tests/e2e/", "tests/integration/")


class OneFolderAfterTheOther(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """A process runs all tests of a folder with servers, one after the other. Unit tests go wherever time is left."""

    def _split_scope(self, nodeid: str) -> str:
        folder = next((one for one in SERVER_TESTS if nodeid.startswith(one)), None)
        return folder or nodeid.split("::", maxsplit=1)[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneFolderAfterTheOther:
    return OneFolderAfterTheOther(config, log)
