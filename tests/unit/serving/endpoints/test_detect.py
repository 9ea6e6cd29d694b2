"""Requests become questions to one tenant's detector, and its answers go back where they belong."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fakes.serving import NOW, FakeRegistry, fake_room

from core.domain import Series
from core.errors import ForewarnError, InputError, ModelUnavailableError, UnknownSeriesError
from serving.contract.requests import DetectBatchRequest, DetectRequest
from serving.contract.responses import DetectAnswer
from serving.endpoints.detect import CONTEXT, detect_batch, detect_each

LATENCY = Series(tenant="acme", service="checkout", metric="latency")
DISK = Series(tenant="acme", service="checkout", metric="disk", labels={"mount": "/"})


def observation(series: Series, minutes: float, value: float | None) -> dict[str, Any]:
    return {
        "service": series.service,
        "metric": series.metric,
        "labels": dict(series.labels),
        "ts": (NOW + timedelta(minutes=minutes)).isoformat(),
        "value": value,
    }


def request(*observations: dict[str, Any]) -> DetectRequest:
    return DetectRequest.model_validate_json(json.dumps({"observations": observations}))


def answer(found: DetectAnswer | ForewarnError) -> DetectAnswer:
    assert isinstance(found, DetectAnswer), found
    return found


def test_answers_come_in_the_order_of_the_observations_and_the_detector_sees_time_in_order() -> None:
    room, detector, _ = fake_room([LATENCY, DISK])
    asked = request(
        observation(LATENCY, -5, 2.0),
        observation(DISK, -5, 7.0),
        observation(LATENCY, -10, 1.0),
        observation(LATENCY, -1, None),
    )
    results = answer(detect_each(room, [asked])[0]).results
    assert [(point.series, point.value) for point in results] == [
        ("checkout/latency", 2.0),
        ("checkout/disk{mount=/}", 7.0),
        ("checkout/latency", 1.0),
        ("checkout/latency", None),
    ]
    assert detector.asked[0][2] == [1.0, 2.0, None]


def test_the_model_is_named() -> None:
    room, _, _ = fake_room([LATENCY])
    model = answer(detect_each(room, [request(observation(LATENCY, -5, 2.0))])[0]).model
    assert (model.name, model.version, model.run_id) == ("acme.detector", 3, "run-3")


def test_a_series_that_the_model_has_not_learned_is_null_with_the_reason() -> None:
    room, _, _ = fake_room([LATENCY, DISK], learned=[LATENCY])
    results = answer(
        detect_each(room, [request(observation(DISK, -5, 2.0), observation(LATENCY, -5, 1.0))])[0]
    ).results
    assert results[0].score is None
    assert "has not learned" in (results[0].note or "")
    assert results[1].score is not None


def test_each_value_is_judged_after_the_stored_ones_of_the_day_before_it() -> None:
    first = NOW - timedelta(minutes=10)
    stored = [
        (LATENCY.series_id, first - CONTEXT - timedelta(minutes=5), 1.0),
        (LATENCY.series_id, first - CONTEXT, 2.0),
        (LATENCY.series_id, first - timedelta(minutes=5), 3.0),
        (LATENCY.series_id, first, 4.0),
    ]
    room, detector, _ = fake_room([LATENCY], samples=stored)
    detect_each(room, [request(observation(LATENCY, -10, 9.0))])
    assert detector.asked[0][3][1].tolist() == [2.0, 3.0]


def test_requests_of_one_batch_share_one_read() -> None:
    room, _, samples = fake_room([LATENCY, DISK])
    detect_each(room, [request(observation(LATENCY, -5, 2.0)), request(observation(DISK, -5, 2.0))])
    assert samples.reads == 1


def test_a_request_that_is_wrong_does_not_touch_the_others_of_its_batch() -> None:
    room, _, _ = fake_room([LATENCY])
    stranger = Series(tenant="acme", service="nobody", metric="latency")
    found = detect_each(
        room,
        [
            request(observation(stranger, -5, 1.0)),
            request(observation(LATENCY, -5, 1.0)),
            request(observation(LATENCY, 60, 1.0)),
            request(observation(LATENCY, -5, 1.0), observation(LATENCY, -5, 2.0)),
        ],
    )
    assert isinstance(found[0], UnknownSeriesError)
    assert "nobody/latency" in str(found[0])
    assert isinstance(found[1], DetectAnswer)
    assert isinstance(found[2], InputError)
    assert "future" in str(found[2])
    assert isinstance(found[3], InputError)
    assert "two values" in str(found[3])


def test_who_forgot_the_labels_is_told_which_series_there_are() -> None:
    mounts = [replace(DISK, labels={"mount": f"/{letter}"}) for letter in "abcd"]
    room, _, _ = fake_room([LATENCY, *mounts])
    nameless = replace(DISK, labels={})
    found = detect_each(room, [request(observation(nameless, -5, 1.0))])[0]
    assert isinstance(found, UnknownSeriesError)
    assert str(found) == (
        "there is no series checkout/disk; with other labels there is checkout/disk{mount=/a}, "
        "checkout/disk{mount=/b}, checkout/disk{mount=/c} and 1 more: labels are part of the name"
    )


def test_another_tenants_series_is_unknown_by_name_and_by_id() -> None:
    theirs = Series(tenant="globex", service="checkout", metric="latency")
    room, _, _ = fake_room([])
    by_id = DetectRequest.model_validate_json(
        json.dumps({"observations": [{"series_id": theirs.series_id, "ts": NOW.isoformat(), "value": 1.0}]})
    )
    for asked in (by_id, request(observation(theirs, -5, 1.0))):
        assert isinstance(detect_each(room, [asked])[0], UnknownSeriesError)


def test_clocks_may_differ_by_a_few_minutes() -> None:
    room, _, _ = fake_room([LATENCY])
    assert isinstance(detect_each(room, [request(observation(LATENCY, 4, 1.0))])[0], DetectAnswer)


def test_without_a_model_the_answer_says_so() -> None:
    room, _, _ = fake_room([LATENCY], registry=FakeRegistry())
    assert isinstance(detect_each(room, [request(observation(LATENCY, -5, 1.0))])[0], ModelUnavailableError)


def test_a_batch_answers_series_by_series() -> None:
    room, _, _ = fake_room([LATENCY, DISK])
    points = [{"ts": (NOW - timedelta(minutes=m)).isoformat(), "value": float(m)} for m in (5, 10)]
    asked = DetectBatchRequest.model_validate_json(
        json.dumps({"series": [{"series_id": one.series_id, "points": points} for one in (DISK, LATENCY)]})
    )
    results = detect_batch(room, asked).results
    assert [(point.series_id, point.value) for point in results] == [
        (DISK.series_id, 5.0),
        (DISK.series_id, 10.0),
        (LATENCY.series_id, 5.0),
        (LATENCY.series_id, 10.0),
    ]


def test_a_batch_refuses_what_lies_in_the_future() -> None:
    room, _, _ = fake_room([LATENCY])
    late = {"ts": (NOW + timedelta(hours=1)).isoformat(), "value": 1.0}
    asked = DetectBatchRequest.model_validate_json(
        json.dumps({"series": [{"series_id": LATENCY.series_id, "points": [late]}]})
    )
    with pytest.raises(InputError, match="future"):
        detect_batch(room, asked)
