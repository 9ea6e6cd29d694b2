"""What every test shares: numerical libraries are imported as the commands import them."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from flows.environment import one_thread_in_a_process

# Before any test imports NumPy: with as many threads as cores, small matrices mostly wait for one another.
one_thread_in_a_process()

#: Tests below these folders start servers and commands, which use several cores by themselves.
SERVER_TESTS = ("tests/e2e/", "tests/integration/")


class ServersTogether(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """One process runs all tests that start servers, one after the other; the others run unit tests, by module."""

    def _split_scope(self, nodeid: str) -> str:
        return "servers" if nodeid.startswith(SERVER_TESTS) else nodeid.split("::", maxsplit=1)[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ServersTogether:
    return ServersTogether(config, log)
