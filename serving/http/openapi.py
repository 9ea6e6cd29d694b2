"""The API as OpenAPI 3.1, made from the routes and from the types that check the requests."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import TypeAdapter

from serving.contract.responses import ErrorResponse
from serving.endpoints.route import JSON, Route

_REF = "#/components/schemas/{model}"
_BINARY = {"type": "string", "format": "binary"}
#: The error responses of every route that needs a key.
_ERRORS = {
    "400": "The request is invalid.",
    "401": "The API key is missing or not valid.",
    "404": "This tenant has no such series, signal or path.",
    "409": "The history is too short, or no model is trained yet.",
    "413": "The body is too large.",
    "415": "The body has the wrong type.",
    "429": "Too many requests. Wait for the seconds in Retry-After.",
    "503": "A server behind the service does not respond. Wait for the seconds in Retry-After.",
}

Schemas = Mapping[type, dict[str, Any]]


@cache
def openapi(routes: tuple[Route, ...]) -> dict[str, Any]:
    """The whole document."""
    kinds: dict[type, str] = {ErrorResponse: "serialization"}
    for route in routes:
        if route.request is not None:
            kinds[route.request] = "validation"
        if route.json_form is not None:
            kinds[route.json_form] = "validation"
        if route.response is not None:
            kinds[route.response] = "serialization"
    refs, shared = TypeAdapter.json_schemas(
        [(kind, mode, TypeAdapter(kind)) for kind, mode in kinds.items()],  # type: ignore[misc]
        ref_template=_REF,
    )
    schemas: Schemas = {kind: refs[(kind, mode)] for kind, mode in kinds.items()}  # type: ignore[index]
    components = shared.get("$defs", {})
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Forewarn",
            "version": _version(),
            "description": "Anomaly detection, forecasting and failure prediction on infrastructure metrics. "
            "Each prediction names the model version that made it. Each error is one sentence. Names that are "
            "marked as deprecated work until the next release; a response to a request that uses one has the "
            "header `Deprecation`, and the header `Warning` names the replacement.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
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


def _operation(route: Route, schemas: Schemas, components: Mapping[str, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "The response."}
    if not _has_content(route):
        success["description"] = "The body was stored; the response is empty."
    if route.response is not None:
        success["content"] = {JSON: {"schema": schemas[route.response]}}
        if route.json_form is not None:
            success["content"][route.media_type] = {"schema": _BINARY}  # in the encoding of the request
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()}{route.path.replace('/', '_').replace('.', '_')}",
        "responses": {"200" if _has_content(route) else "204": success},
    }
    if not route.public:
        error = {JSON: {"schema": schemas[ErrorResponse]}}
        if route.json_form is not None:
            error[route.media_type] = {"schema": _BINARY}
        operation["security"] = [{"bearer": []}, {"header": []}]
        operation["responses"] |= {
            code: {"description": text, "content": error} for code, text in _ERRORS.items()
        }
    if route.request is not None:
        schema = schemas[route.request]
        if route.has_body:
            content = {route.media_type: {"schema": schema}}
            if route.json_form is not None:
                content[JSON] = {"schema": schemas[route.json_form]}
            operation["requestBody"] = {"required": True, "content": content}
        else:
            operation["parameters"] = _parameters(schema, components)
    return operation


def _has_content(route: Route) -> bool:
    """Whether the response has a body: JSON of a declared type, or a page or text of a GET."""
    return route.response is not None or route.method == "GET"


def _parameters(schema: Mapping[str, Any], components: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fields of a query type as parameters of the query string."""
    if "$ref" in schema:
        schema = components[schema["$ref"].rpartition("/")[2]]
    return [
        {
            "name": name,
            "in": "query",
            "description": field.get("description", ""),
            "deprecated": field.get("deprecated", False),
            "schema": {
                key: value for key, value in field.items() if key not in ("description", "deprecated")
            },
        }
        for name, field in schema["properties"].items()
    ]
