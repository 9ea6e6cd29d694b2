"""One service for all end-to-end tests of serving: it takes seconds to start."""

from collections.abc import Iterator

import pytest
from e2e.fleet import Fleet, served_fleet


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    with served_fleet() as running:
        yield running
