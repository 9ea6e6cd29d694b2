"""Requests become calls of one tenant's detector, and each result goes back to its place in the response."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fakes.serving import NOW, FakeRegistry, fake_context

from core.domain import Series
from core.errors import ForewarnError, InputError, ModelUnavailableError, UnknownSeriesError
from serving.contract.requests import DetectBatchRequest, DetectRequest
from serving.contract.responses import DetectResponse
from serving.endpoints.detect import LOOKBACK, detect_batch, detect_each

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


def response(found: DetectResponse | ForewarnError) -> DetectResponse:
    assert isinstance(found, DetectResponse), found
    return found


def test_results_come_in_the_order_of_the_observations_and_the_detector_sees_time_in_order() -> None:
    context, detector, _ = fake_context([LATENCY, DISK])
    given = request(
        observation(LATENCY, -5, 2.0),
        observation(DISK, -5, 7.0),
        observation(LATENCY, -10, 1.0),
        observation(LATENCY, -1, None),
    )
    results = response(detect_each(context, [given])[0]).results
    assert [(point.series, point.value) for point in results] == [
        ("checkout/latency", 2.0),
        ("checkout/disk{mount=/}", 7.0),
        ("checkout/latency", 1.0),
        ("checkout/latency", None),
    ]
    assert detector.calls[0][2] == [1.0, 2.0, None]


def test_the_slo_of_the_store_counts_and_not_that_of_the_training() -> None:
    context, detector, _ = fake_context([replace(LATENCY, slo_threshold=0.5)], learned=[LATENCY])
    detect_each(context, [request(observation(LATENCY, -5, 2.0))])
    assert detector.limits == [0.5]


def test_the_model_is_named() -> None:
    context, _, _ = fake_context([LATENCY])
    model = response(detect_each(context, [request(observation(LATENCY, -5, 2.0))])[0]).model
    assert (model.name, model.version, model.run_id) == ("acme.detector", 3, "run-3")


def test_a_series_that_the_model_has_not_learned_is_null_with_the_reason() -> None:
    context, _, _ = fake_context([LATENCY, DISK], learned=[LATENCY])
    results = response(
        detect_each(context, [request(observation(DISK, -5, 2.0), observation(LATENCY, -5, 1.0))])[0]
    ).results
    assert results[0].score is None
    assert "has not learned" in (results[0].note or "")
    assert results[1].score is not None


def test_each_value_is_scored_after_the_stored_ones_of_the_day_before_it() -> None:
    first = NOW - timedelta(minutes=10)
    stored = [
        (LATENCY.series_id, first - LOOKBACK - timedelta(minutes=5), 1.0),
        (LATENCY.series_id, first - LOOKBACK, 2.0),
        (LATENCY.series_id, first - timedelta(minutes=5), 3.0),
        (LATENCY.series_id, first, 4.0),
    ]
    context, detector, _ = fake_context([LATENCY], samples=stored)
    detect_each(context, [request(observation(LATENCY, -10, 9.0))])
    assert detector.calls[0][3][1].tolist() == [2.0, 3.0]


def test_requests_of_one_batch_share_one_read() -> None:
    context, _, samples = fake_context([LATENCY, DISK])
    detect_each(context, [request(observation(LATENCY, -5, 2.0)), request(observation(DISK, -5, 2.0))])
    assert samples.reads == 1


def test_a_request_that_is_wrong_does_not_touch_the_others_of_its_batch() -> None:
    context, _, _ = fake_context([LATENCY])
    stranger = Series(tenant="acme", service="nobody", metric="latency")
    found = detect_each(
        context,
        [
            request(observation(stranger, -5, 1.0)),
            request(observation(LATENCY, -5, 1.0)),
            request(observation(LATENCY, 60, 1.0)),
            request(observation(LATENCY, -5, 1.0), observation(LATENCY, -5, 2.0)),
        ],
    )
    assert isinstance(found[0], UnknownSeriesError)
    assert "nobody/latency" in str(found[0])
    assert isinstance(found[1], DetectResponse)
    assert isinstance(found[2], InputError)
    assert "future" in str(found[2])
    assert isinstance(found[3], InputError)
    assert "two values" in str(found[3])


def test_the_error_lists_the_matching_series_when_the_labels_are_missing() -> None:
    mounts = [replace(DISK, labels={"mount": f"/{letter}"}) for letter in "abcd"]
    context, _, _ = fake_context([LATENCY, *mounts])
    nameless = replace(DISK, labels={})
    found = detect_each(context, [request(observation(nameless, -5, 1.0))])[0]
    assert isinstance(found, UnknownSeriesError)
    assert str(found) == (
        "there is no series checkout/disk; give its labels as well; matching series: checkout/disk{mount=/a}, "
        "checkout/disk{mount=/b}, checkout/disk{mount=/c} and 1 more"
    )


def test_another_tenants_series_is_unknown_by_name_and_by_id() -> None:
    theirs = Series(tenant="globex", service="checkout", metric="latency")
    context, _, _ = fake_context([])
    by_id = DetectRequest.model_validate_json(
        json.dumps({"observations": [{"series_id": theirs.series_id, "ts": NOW.isoformat(), "value": 1.0}]})
    )
    for given in (by_id, request(observation(theirs, -5, 1.0))):
        assert isinstance(detect_each(context, [given])[0], UnknownSeriesError)


def test_clocks_may_differ_by_a_few_minutes() -> None:
    context, _, _ = fake_context([LATENCY])
    assert isinstance(detect_each(context, [request(observation(LATENCY, 4, 1.0))])[0], DetectResponse)


def test_without_a_model_the_error_names_it() -> None:
    context, _, _ = fake_context([LATENCY], registry=FakeRegistry())
    assert isinstance(
        detect_each(context, [request(observation(LATENCY, -5, 1.0))])[0], ModelUnavailableError
    )


def test_a_batch_returns_results_series_by_series() -> None:
    context, _, _ = fake_context([LATENCY, DISK])
    points = [{"ts": (NOW - timedelta(minutes=m)).isoformat(), "value": float(m)} for m in (5, 10)]
    given = DetectBatchRequest.model_validate_json(
        json.dumps({"series": [{"series_id": one.series_id, "points": points} for one in (DISK, LATENCY)]})
    )
    results = detect_batch(context, given).results
    assert [(point.series_id, point.value) for point in results] == [
        (DISK.series_id, 5.0),
        (DISK.series_id, 10.0),
        (LATENCY.series_id, 5.0),
        (LATENCY.series_id, 10.0),
    ]


def test_a_batch_refuses_what_lies_in_the_future() -> None:
    context, _, _ = fake_context([LATENCY])
    late = {"ts": (NOW + timedelta(hours=1)).isoformat(), "value": 1.0}
    given = DetectBatchRequest.model_validate_json(
        json.dumps({"series": [{"series_id": LATENCY.series_id, "points": [late]}]})
    )
    with pytest.raises(InputError, match="future"):
        detect_batch(context, given)
