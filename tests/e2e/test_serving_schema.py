"""Requests that are generated from the service's own OpenAPI document: valid ones and invalid ones, for all routes.

Each response has a status, a type and a shape that the document declares, and none is a failure of the service.
"""

from typing import Any

import pytest
import schemathesis
from e2e.fleet import Fleet
from e2e.soak_sizes import SCHEMA_EXAMPLES, SOAK_SCHEMA_EXAMPLES
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_schema_conformance,
    status_code_conformance,
)

from serving.http.routes import ROUTES

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    ignored_auth,
]


@schemathesis.serializer("application/x-protobuf")
def protobuf(context: Any, value: Any) -> bytes:
    """The bytes of a generated body of remote_write."""
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def api(fleet: Fleet) -> Any:
    return schemathesis.openapi.from_url(f"{fleet.url}/docs.json")


MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
OPERATIONS = [(route.method, route.path) for route in ROUTES]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_route_keeps_what_its_document_declares(
    api: Any, fleet: Fleet, method: str, path: str, mode: GenerationMode
) -> None:
    check_operation(api, fleet, (method, path), mode, SCHEMA_EXAMPLES)


@pytest.mark.soak
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_route_keeps_what_its_document_declares_in_thousands_of_requests(
    api: Any, fleet: Fleet, method: str, path: str, mode: GenerationMode
) -> None:
    check_operation(api, fleet, (method, path), mode, SOAK_SCHEMA_EXAMPLES)


def check_operation(
    api: Any, fleet: Fleet, route: tuple[str, str], mode: GenerationMode, examples: int
) -> None:
    """Send generated requests to one route, and check each response against the document."""
    method, path = route
    operation = api[path][method]
    takes_input = "requestBody" in operation.definition.raw or "parameters" in operation.definition.raw
    if mode is GenerationMode.NEGATIVE and not takes_input:
        return
    headers = {"Authorization": f"Bearer {fleet.keys['acme']}"}

    @settings(
        max_examples=examples if takes_input else 1,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS, timeout=30.0)

    check()
