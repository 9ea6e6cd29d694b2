"""What every test shares: numerical libraries are imported as the commands import them."""

from pathlib import Path

import pytest

from flows.environment import one_thread_in_a_process

# Before any test imports NumPy: with as many threads as cores, small matrices mostly wait for one another.
one_thread_in_a_process()

#: Tests below these folders start servers and commands, which use several cores by themselves.
SERVER_TESTS = ("e2e", "integration")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process run the tests that start servers, one after the other. Unit tests run in the other processes."""
    for item in items:
        if item.path.relative_to(Path(__file__).parent).parts[0] in SERVER_TESTS:
            item.add_marker(pytest.mark.xdist_group("servers"))
