"""The API docs list every route, and each reference in them has a target."""

import json
import re

from serving.http.openapi import openapi
from serving.http.routes import ROUTES


def test_every_route_is_listed() -> None:
    paths = openapi(ROUTES)["paths"]
    assert {(path, method.upper()) for path, methods in paths.items() for method in methods} == {
        (route.path, route.method) for route in ROUTES
    }


def test_every_reference_has_a_target() -> None:
    document = openapi(ROUTES)
    schemas = document["components"]["schemas"]
    for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)):
        assert name in schemas


def test_a_route_that_is_not_public_needs_a_key_and_lists_its_errors() -> None:
    for route in ROUTES:
        operation = openapi(ROUTES)["paths"][route.path][route.method.lower()]
        assert ("security" in operation) == (not route.public)
        assert ("401" in operation["responses"]) == (not route.public)


def test_requests_refuse_unknown_fields_in_the_docs_too() -> None:
    schemas = openapi(ROUTES)["components"]["schemas"]
    assert schemas["DetectRequest"]["additionalProperties"] is False
    assert schemas["Observation"]["properties"]["ts"]["format"] == "date-time"


def test_old_names_are_marked_as_deprecated() -> None:
    document = openapi(ROUTES)
    schemas = document["components"]["schemas"]
    for schema, name in [
        ("ScoredPoint", "gates"),
        ("ScoredPoint", "stopped_by"),
        ("Signal", "gates"),
        ("FeedbackRequest", "real"),
        ("FeedbackRequest", "who"),
    ]:
        assert schemas[schema]["properties"][name]["deprecated"] is True, (schema, name)
    parameters = {
        one["name"]: one["deprecated"] for one in document["paths"]["/signals"]["get"]["parameters"]
    }
    assert (parameters["stopped"], parameters["suppressed"]) == (True, False)
