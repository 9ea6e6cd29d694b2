"""Real databases: the embedded one always, TimescaleDB where Debian has it, or the one given by DSN."""

import os
from collections.abc import Iterator

import pytest
from fakes.platform import FakePager, FakeSink
from servers.postgres import embedded_server, fresh_database, timescale_programs, timescale_server

from pipelines.stores.migrate import migrate
from pipelines.stores.session import Pool, open_pool
from pipelines.stores.store import Store

GIVEN = "FOREWARN_TEST_DATABASE_URL"


@pytest.fixture(scope="session", params=["embedded", "timescale"])
def server_dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server that databases may be made on; each test runs on every one that there is."""
    if given := os.environ.get(GIVEN):
        if request.param != "embedded":
            pytest.skip(f"the tests run on the server of {GIVEN} alone")
        yield given
    elif request.param == "embedded":
        with embedded_server() as dsn:
            yield dsn
    elif (programs := timescale_programs()) is None:
        pytest.skip("no PostgreSQL of Debian's has the timescaledb extension installed")
    else:
        with timescale_server(programs) as dsn:
            yield dsn


@pytest.fixture(scope="module")
def dsn(server_dsn: str) -> Iterator[str]:
    """A migrated database for one test module."""
    with fresh_database(server_dsn) as dsn:
        migrate(dsn)
        yield dsn


@pytest.fixture(scope="module")
def pool(dsn: str) -> Iterator[Pool]:
    with open_pool(dsn) as pool:
        yield pool


@pytest.fixture
def store(pool: Pool, request: pytest.FixtureRequest) -> Store:
    """The store of a tenant that no other test has."""
    return Store(pool, _tenant_of(request))


def _tenant_of(request: pytest.FixtureRequest) -> str:
    name = "".join(letter if letter.isalnum() else "_" for letter in request.node.name)
    return name.strip("_")[:60]


@pytest.fixture
def machine() -> FakeSink:
    """A receiver for programs."""
    return FakeSink()


@pytest.fixture
def pager() -> FakePager:
    """A receiver for people."""
    return FakePager()
