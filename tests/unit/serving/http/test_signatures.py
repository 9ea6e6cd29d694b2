"""Signatures of webhooks, through admission and the application behind it."""

import hmac
import json
from collections.abc import Mapping
from typing import Any, cast

import httpx
import pytest
from fakes.sender_bodies import flagsmith, launchdarkly
from fakes.web import post as post_to
from fakes.web import runtime_with

from core.settings import Settings

SECRETS: Mapping[str, Any] = {
    "pagerduty_webhook_secret": "pager",
    "github_webhook_secret": "hub",
    "gitlab_webhook_token": "lab",
    "launchdarkly_webhook_secret": "dark",
    "flagsmith_webhook_secret": "smith",
}
PAGERDUTY = {
    "event": {
        "event_type": "incident.triggered",
        "resource_type": "incident",
        "occurred_at": "2026-03-02T12:00:00Z",
        "data": {
            "type": "incident",
            "title": "slow",
            "created_at": "2026-03-02T12:00:00Z",
            "service": {"summary": "checkout"},
        },
    }
}
GITHUB = {
    "deployment": {"ref": "v2", "created_at": "2026-03-02T12:00:00Z"},
    "repository": {"name": "checkout"},
    "text": "x" * 100_000,
}
GITLAB = {
    "object_kind": "deployment",
    "status": "success",
    "status_changed_at": "2026-03-02 12:00:00 UTC",
    "project": {"name": "checkout"},
}
PLAIN = {"service": "checkout", "at": "2026-03-02T12:00:00Z"}


def post(
    path: str, body: object, headers: Mapping[str, str], settings: Mapping[str, Any] = SECRETS
) -> httpx.Response:
    """Post a body that is spaced as its sender spaces it, in parts."""
    return post_to(runtime_with(settings), path, body if isinstance(body, bytes) else sent(body), headers)


def sent(body: object) -> bytes:
    return json.dumps(body, indent=3).encode()


def signature(secret: str, body: object) -> str:
    return hmac.new(secret.encode(), sent(body), "sha256").hexdigest()


SIGNED = [
    ("alerts", PAGERDUTY, "X-PagerDuty-Signature", "v1=" + signature("pager", PAGERDUTY)),
    ("deploys", GITHUB, "X-Hub-Signature-256", "sha256=" + signature("hub", GITHUB)),
    ("deploys", GITLAB, "X-Gitlab-Token", "lab"),
    ("deploys", launchdarkly(), "X-LD-Signature", signature("dark", launchdarkly())),
    ("deploys", flagsmith(), "X-Flagsmith-Signature", signature("smith", flagsmith())),
]


@pytest.mark.parametrize(("path", "body", "header", "value"), SIGNED)
def test_a_valid_signature_is_accepted(path: str, body: object, header: str, value: str) -> None:
    response = post(path, body, {header: value})
    assert response.status_code == 200, response.text
    assert response.json()["events"] + response.json()["incidents"] == 1


@pytest.mark.parametrize(("path", "body", "header", "value"), SIGNED)
@pytest.mark.parametrize("change", ["missing", "empty", "other", "bare", "short", "not ascii"])
def test_another_signature_gets_401(path: str, body: object, header: str, value: str, change: str) -> None:
    wrong = {
        "missing": {},
        "empty": {header: ""},
        "other": {header: value[:-1] + ("0" if value[-1] != "0" else "1")},
        "bare": {header: value.partition("=")[2] or "Lab"},
        "short": {header: value[:-1]},
        "not ascii": {header: "v1=é"},
    }[change]
    encoded = {name.encode(): text.encode("latin-1") for name, text in wrong.items()}
    response = post(path, body, cast(Any, {k.decode(): v for k, v in encoded.items()}))
    assert response.status_code == 401
    assert header in response.json()["error"]


def test_a_changed_body_gets_401() -> None:
    path, body, header, value = SIGNED[0]
    changed = sent(body).replace(b"checkout", b"checkin1")
    assert post(path, changed, {header: value}).status_code == 401


def test_one_right_signature_among_several_is_enough() -> None:
    path, body, header, value = SIGNED[0]
    assert post(path, body, {header: f"v1={'0' * 64}, {value}"}).status_code == 200


@pytest.mark.parametrize(("path", "body", "header", "value"), SIGNED)
def test_without_a_secret_no_signature_is_needed(path: str, body: object, header: str, value: str) -> None:
    assert post(path, body, {}, settings={}).status_code == 200
    assert post(path, body, {header: "wrong"}, settings={}).status_code == 200


def test_other_senders_need_no_signature_and_a_signature_replaces_no_key() -> None:
    assert post("deploys", PLAIN, {}).status_code == 200
    path, body, header, value = SIGNED[0]
    assert post(path, body, {header: value, "X-API-Key": "wrong"}).status_code == 401


def test_an_empty_secret_is_a_wrong_setting() -> None:
    with pytest.raises(ValueError, match="github_webhook_secret"):
        Settings(_env_file=None, github_webhook_secret="")
