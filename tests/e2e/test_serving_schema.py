"""Requests that are generated from the service's own OpenAPI document: valid ones and invalid ones, for all routes.

Each response has a status, a type and a shape that the document declares, and none is a failure of the service.
"""

import os
from typing import Any

import pytest
import schemathesis
from e2e.fleet import Fleet
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
#: In CI about 60 s for all routes; `make soak` sets more.
EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "20"))


@schemathesis.serializer("application/x-protobuf")
def protobuf(context: Any, value: Any) -> bytes:
    """The bytes of a generated body of remote_write."""
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def api(fleet: Fleet) -> Any:
    return schemathesis.openapi.from_url(f"{fleet.url}/docs.json")


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("method", "path"), [(route.method, route.path) for route in ROUTES])
def test_every_route_keeps_what_its_document_declares(
    api: Any, fleet: Fleet, method: str, path: str, mode: GenerationMode
) -> None:
    operation = api[path][method]
    takes_input = "requestBody" in operation.definition.raw or "parameters" in operation.definition.raw
    if mode is GenerationMode.NEGATIVE and not takes_input:
        return
    headers = {"Authorization": f"Bearer {fleet.keys['acme']}"}

    @settings(
        max_examples=EXAMPLES if takes_input else 1,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS, timeout=30.0)

    check()
