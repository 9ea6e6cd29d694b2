"""The API as OpenAPI 3.1, made from the table of routes and the types that check the requests."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import TypeAdapter

from serving.contract.responses import ErrorResponse
from serving.http.routes import JSON, ROUTES, Route

_REF = "#/components/schemas/{model}"
#: What a caller may do wrong, on every route that needs a key.
_REFUSALS = {
    "400": "The request is not what it should be.",
    "401": "No API key, or not a valid one.",
    "404": "No such series, signal or path for this tenant.",
    "409": "Too little history, or no model trained yet.",
    "413": "The body is too large.",
    "415": "The body is not of the right type.",
    "429": "Too many requests; Retry-After says when to come back.",
    "503": "A server behind the service does not answer; Retry-After says when to come back.",
}


@cache
def openapi() -> dict[str, Any]:
    """The whole document."""
    kinds: dict[type, str] = {ErrorResponse: "serialization"}
    for route in ROUTES:
        if route.request is not None:
            kinds[route.request] = "validation"
        if route.answer is not None:
            kinds[route.answer] = "serialization"
    refs, shared = TypeAdapter.json_schemas(
        [(kind, mode, TypeAdapter(kind)) for kind, mode in kinds.items()],  # type: ignore[misc]
        ref_template=_REF,
    )
    schemas = {kind: refs[(kind, mode)] for kind, mode in kinds.items()}  # type: ignore[index]
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Forewarn",
            "version": _version(),
            "description": "Anomaly detection, forecasting and failure prediction on infrastructure metrics. "
            "Every answer names the model that gave it; what is wrong with a request is said in one sentence.",
        },
        "paths": paths,
        "components": {
            "schemas": shared.get("$defs", {}),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The API key of a tenant."},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _version() -> str:
    try:
        return version("forewarn")
    except PackageNotFoundError:
        return "source"


def _operation(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "The answer."}
    if route.answer is not None:
        answer["content"] = {JSON: {"schema": schemas[route.answer]}}
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()}{route.path.replace('/', '_').replace('.', '_')}",
        "responses": {"200": answer},
    }
    if not route.public:
        error = {JSON: {"schema": schemas[ErrorResponse]}}
        operation["security"] = [{"bearer": []}, {"header": []}]
        operation["responses"] |= {
            code: {"description": text, "content": error} for code, text in _REFUSALS.items()
        }
    if route.request is not None:
        body = {route.media_type: {"schema": schemas[route.request]}}
        operation["requestBody"] = {"required": True, "content": body}
    if route.query:
        operation["parameters"] = [
            {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
            for name, text in route.query.items()
        ]
    return operation
