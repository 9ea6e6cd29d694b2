"""The repositories on PostgreSQL fit the ports of `core.ports`: mypy checks the types, this test the signatures."""

import inspect
from typing import Any, cast, get_type_hints

import pytest

from core import ports
from pipelines.stores.session import Pool
from pipelines.stores.store import Store


def a_store() -> ports.Store:
    # a session opens a connection at the first query, so no database is needed here
    store: ports.Store = Store(cast(Pool, None), "t")
    return store


REPOSITORIES: dict[str, Any] = {
    name: get_type_hints(member.fget)["return"]
    for name, member in vars(ports.Store).items()
    if isinstance(member, property) and name != "tenant"
}


def test_the_port_names_each_repository() -> None:
    assert {"series", "samples", "signals", "deliveries", "feedback", "diagnoses"} <= set(REPOSITORIES)


@pytest.mark.parametrize("name", REPOSITORIES)
def test_a_repository_has_the_signatures_of_its_port(name: str) -> None:
    port, repository = REPOSITORIES[name], getattr(a_store(), name)
    methods = {key: value for key, value in vars(port).items() if not key.startswith("_")}
    assert methods
    for method, declared in methods.items():
        wanted = [
            (parameter.name, parameter.kind, parameter.default)
            for parameter in inspect.signature(declared).parameters.values()
            if parameter.name != "self"
        ]
        found = [
            (parameter.name, parameter.kind, parameter.default)
            for parameter in inspect.signature(getattr(repository, method)).parameters.values()
        ]
        assert found == wanted, f"{port.__name__}.{method}"
