"""Valid requests, and the one sentence of the error for each kind of invalid request."""

import json
from typing import Any

import pytest
from pydantic import BaseModel

from core.errors import InputError
from serving.contract.requests import (
    DetectBatchRequest,
    DetectRequest,
    EventsRequest,
    FeedbackRequest,
    ForecastRequest,
)
from serving.endpoints.route import JSON
from serving.http.admission import parsed
from serving.http.routes import ROUTES

GOOD = {"service": "checkout", "metric": "latency", "ts": "2026-01-31T12:00:00Z", "value": 0.7}


def detect(**changes: Any) -> str:
    observation = {key: value for key, value in {**GOOD, **changes}.items() if value != "absent"}
    return json.dumps({"observations": [observation]})


BAD: dict[str, tuple[type[BaseModel], str | bytes, str]] = {
    "empty": (DetectRequest, "", "not valid JSON"),
    "broken": (DetectRequest, '{"observations": [', "not valid JSON"),
    "trailing text": (DetectRequest, "{} {}", "not valid JSON"),
    "invalid UTF-8": (DetectRequest, b'{"observations": "\xff"}', "not valid JSON"),
    "lone surrogate": (DetectRequest, '{"observations": "\\ud800"}', "not valid JSON"),
    "deep nesting": (DetectRequest, "[" * 100_000, "recursion limit"),
    "huge integer": (DetectRequest, detect(value=1).replace("1}", "9" * 5_000 + "}"), "out of range"),
    "an array": (DetectRequest, "[]", "should be an object"),
    "null": (DetectRequest, "null", "should be an object"),
    "a string": (DetectRequest, '"x"', "should be an object"),
    "no observations": (DetectRequest, "{}", "observations: is required"),
    "empty list": (DetectRequest, '{"observations": []}', "at least 1 item"),
    "too many": (DetectRequest, json.dumps({"observations": [GOOD] * 1_001}), "at most 1000 items"),
    "unknown field": (DetectRequest, detect(extra=1), "observations[0].extra: is not a known field"),
    "NaN": (DetectRequest, detect(value=float("nan")), "finite number"),
    "infinity": (DetectRequest, detect(value=float("-inf")), "finite number"),
    "overflow": (DetectRequest, detect(value=1).replace("1}", "1e999}"), "finite number"),
    "number in quotes": (DetectRequest, detect(value="0.7"), "observations[0].value: should be a valid number"),
    "truth value": (DetectRequest, detect(value=True), "should be a valid number"),
    "object for a number": (DetectRequest, detect(value={}), "should be a valid number"),
    "no value": (DetectRequest, detect(value="absent"), "observations[0].value: is required"),
    "naive time": (DetectRequest, detect(ts="2026-01-31T12:00:00"), "should have a time zone"),
    "date alone": (DetectRequest, detect(ts="2026-01-31"), "ISO 8601"),
    "seconds": (DetectRequest, detect(ts=1_769_860_800), "ISO 8601"),
    "quoted seconds": (DetectRequest, detect(ts="1769860800"), "ISO 8601"),
    "no such day": (DetectRequest, detect(ts="2026-02-30T12:00:00Z"), "day value is outside"),
    "edge of the calendar": (DetectRequest, detect(ts="0001-01-01T00:00:00+14:00"), "between the years"),
    "far future": (DetectRequest, detect(ts="9999-12-31T23:59:59-12:00"), "between the years"),
    "no series": (DetectRequest, detect(service="absent"), "should name a series"),
    "two names": (DetectRequest, detect(series_id=1), "should name a series"),
    "empty name": (DetectRequest, detect(service=""), "at least 1 character"),
    "NUL in a name": (DetectRequest, detect(service="a\x00b"), "control characters"),
    "NUL in a label": (DetectRequest, detect(labels={"a": "\x00"}), "NUL"),
    "a name of 8 KB": (DetectRequest, detect(service="a" * 8_192), "at most 400 characters"),
    "a name of 1,200 bytes": (DetectRequest, detect(service="\u20ac" * 400), "at most 800 bytes"),
    "a label of 1 MB": (DetectRequest, detect(labels={"a": "b" * 1_000_000}), "at most 2000 characters"),
    "label of another type": (DetectRequest, detect(labels={"a": 1}), "labels.a: should be a valid string"),
    "id too large": (DetectRequest, detect(service="absent", metric="absent", series_id=2**63), "less than"),
    "id as text": (DetectRequest, detect(service="absent", metric="absent", series_id="7"), "valid integer"),
    "too many points": (
        DetectBatchRequest,
        json.dumps({"series": [{"series_id": i, "points": [{"ts": GOOD["ts"], "value": 1}] * 30_000} for i in (1, 2)]}),
        "at most 50000 points",
    ),
    "horizon of zero": (ForecastRequest, '{"series_id": 1, "horizon_s": 0}', "horizon_s"),
    "level of one": (ForecastRequest, '{"series_id": 1, "levels": [1.0]}', "levels[0]"),
    "unknown kind": (
        EventsRequest,
        '{"events": [{"service": "a", "kind": "party", "at": "2026-01-31T12:00:00Z"}]}',
        "events[0].kind",
    ),
    "feedback on nothing": (FeedbackRequest, '{"value": "true_positive", "by": "ada"}', "one subject"),
    "feedback on two subjects": (
        FeedbackRequest,
        '{"signal_id": "a", "subject_id": "b", "value": "accepted", "by": "ada"}',
        "one subject",
    ),
    "feedback without a value": (FeedbackRequest, '{"signal_id": "a", "by": "ada"}', "should have a `value`"),
    "feedback of nobody": (FeedbackRequest, '{"signal_id": "a", "value": "true_positive"}', "should have `by`"),
    "feedback with an empty name": (
        FeedbackRequest,
        '{"signal_id": "a", "value": "true_positive", "by": ""}',
        "by: ",
    ),
    "feedback with the old name of by": (
        FeedbackRequest,
        '{"signal_id": "a", "value": "true_positive", "who": "ada"}',
        "should have `by`",
    ),
    "a hypothesis as a signal": (
        FeedbackRequest,
        '{"subject_id": "a", "value": "true_positive", "by": "ada"}',
        "accepted or rejected with subject_id",
    ),
    "a signal as a hypothesis": (
        FeedbackRequest,
        '{"signal_id": "a", "value": "accepted", "by": "ada"}',
        "true_positive or false_positive with signal_id",
    ),
    "both forms of feedback": (
        FeedbackRequest,
        '{"signal_id": "a", "value": "true_positive", "real": true, "by": "ada"}',
        "either `value` and `by`",
    ),
    "the old form on a hypothesis": (
        FeedbackRequest,
        '{"subject_id": "a", "real": true}',
        "either `value` and `by`",
    ),
    "unknown feedback": (
        FeedbackRequest,
        '{"signal_id": "a", "value": "maybe", "by": "ada"}',
        "value: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_sentence(name: str) -> None:
    kind, body, expected = BAD[name]
    with pytest.raises(InputError) as caught:
        parsed(kind, body.encode() if isinstance(body, str) else body)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("value", [0.7, -3, 0, None])
def test_a_value_is_a_number_or_missing(value: float | None) -> None:
    request = parsed(DetectRequest, detect(value=value).encode())
    assert isinstance(request, DetectRequest)
    assert request.observations[0].value == value


@pytest.mark.parametrize(
    "text", ["2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00Z", "2026-01-31 12:00:00+00:00"]
)
def test_times_of_any_zone_become_utc(text: str) -> None:
    request = parsed(DetectRequest, detect(ts=text).encode())
    assert isinstance(request, DetectRequest)
    assert request.observations[0].ts.isoformat() == "2026-01-31T12:00:00+00:00"


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.has_body and route.media_type == JSON],
    ids=lambda route: route.path,
)
def test_every_example_of_the_docs_is_good_input(route: Any) -> None:
    examples = route.request.model_json_schema()["examples"]
    assert examples
    for example in examples:
        parsed(route.request, json.dumps(example).encode())
