"""The API docs say what there is, and nothing in them points nowhere."""

import json
import re

from serving.http.openapi import openapi
from serving.http.routes import ROUTES


def test_every_route_is_there() -> None:
    paths = openapi()["paths"]
    assert {(path, method.upper()) for path, methods in paths.items() for method in methods} == {
        (route.path, route.method) for route in ROUTES
    }


def test_every_reference_leads_somewhere() -> None:
    document = openapi()
    schemas = document["components"]["schemas"]
    for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)):
        assert name in schemas


def test_what_is_not_public_needs_a_key_and_says_what_can_go_wrong() -> None:
    for route in ROUTES:
        operation = openapi()["paths"][route.path][route.method.lower()]
        assert ("security" in operation) == (not route.public)
        assert ("401" in operation["responses"]) == (not route.public)


def test_requests_refuse_unknown_fields_in_the_docs_too() -> None:
    schemas = openapi()["components"]["schemas"]
    assert schemas["DetectRequest"]["additionalProperties"] is False
    assert schemas["Observation"]["properties"]["ts"]["format"] == "date-time"
