"""Native histograms become the samples of classic ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from fakes.remote_write_2 import STALE, Sent, body_1
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.pipelines.sources.test_native_histograms import histogram_of

from pipelines.sources.buckets import LADDER
from pipelines.sources.classic_buckets import classic_request
from pipelines.sources.remote_write import RemoteWriteReceiver
from pipelines.sources.remote_write_columns import STALE_BITS, WriteRequest

LABELS = {"__name__": "rpc_seconds", "job": "shop"}
VALUES = st.lists(st.floats(-1e3, 1e3), max_size=40)
#: 4 values in (1, 2], 6 in (4, 8].
COUNTED = {
    "count_int": 10, "sum": 42.0, "schema": 0, "zero_threshold": 1e-128,
    "positive_spans": [{"offset": 1, "length": 1}, {"offset": 1, "length": 1}], "positive_deltas": [4, 2],
}  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(VALUES, st.integers(1, 8))
def test_bounds_at_the_ends_of_buckets_count_exactly(values: list[float], schema: int) -> None:
    reached = histogram_of(values, schema).buckets().reached(LADDER)
    inside = LADDER >= 1e-3  # nearer to 0, values lie anywhere in the bucket around 0
    expected = [sum(value <= bound for value in values) for bound in LADDER[inside]]
    assert reached[inside] == pytest.approx(expected)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.integers(-4, 8))
def test_counts_rise_to_that_of_all_values(values: list[float], schema: int) -> None:
    reached = histogram_of(values, schema).buckets().reached(LADDER)
    assert np.all(np.diff(reached) >= -1e-9)
    assert np.all((reached >= 0) & (reached <= len(values) + 1e-9))


def classic(receiver: RemoteWriteReceiver, *histograms: Mapping[str, Any]) -> WriteRequest:
    sent = [{"at_s": 15.0 * number, **one} for number, one in enumerate(histograms)]
    return classic_request(receiver.decode(body_1([Sent(labels=LABELS, histograms=sent)]))).request


def shown(request: WriteRequest) -> list[tuple[str, float]]:
    names = [
        one.labels["__name__"] + (f"{{le={float(one.labels['le']):.3g}}}" if "le" in one.labels else "")
        for one in request.series
    ]
    return list(zip(names, request.values.tolist(), strict=True))


def test_every_histogram_has_the_same_bounds() -> None:
    found = shown(classic(RemoteWriteReceiver("acme"), COUNTED))
    assert len(found) == 2 + len(LADDER) + 1
    around = found[:2] + found[2 + 34 : 2 + 34 + 7] + found[-1:]
    assert around == [
        ("rpc_seconds_count", 10), ("rpc_seconds_sum", 42), ("rpc_seconds_bucket{le=1}", 0),
        ("rpc_seconds_bucket{le=1.41}", pytest.approx(2)), ("rpc_seconds_bucket{le=2}", 4),
        ("rpc_seconds_bucket{le=2.83}", 4), ("rpc_seconds_bucket{le=4}", 4),
        ("rpc_seconds_bucket{le=5.66}", pytest.approx(7)), ("rpc_seconds_bucket{le=8}", 10),
        ("rpc_seconds_bucket{le=inf}", 10),
    ]  # fmt: skip


def test_custom_bounds_stay_as_they_are() -> None:
    custom = {
        "count_int": 5, "sum": 1.0, "schema": -53, "custom_values": [0.1, 0.5],
        "positive_spans": [{"offset": 0, "length": 3}], "positive_deltas": [1, 1, -1],
    }  # fmt: skip
    assert shown(classic(RemoteWriteReceiver("acme"), {**custom, "count_int": 4}))[2:] == [
        ("rpc_seconds_bucket{le=0.1}", 1), ("rpc_seconds_bucket{le=0.5}", 3), ("rpc_seconds_bucket{le=inf}", 4),
    ]  # fmt: skip


def test_the_end_of_a_series_ends_all_that_it_became() -> None:
    receiver = RemoteWriteReceiver("acme")
    first = classic(receiver, COUNTED)
    ended = classic(receiver, {"sum": STALE})
    assert [one.labels for one in ended.series] == [one.labels for one in first.series]
    assert set(ended.values.view(np.uint64).tolist()) == {STALE_BITS}


@pytest.mark.parametrize("histograms", [[{**COUNTED, "reset_hint": 3}]])
def test_a_histogram_of_a_gauge_is_rejected(histograms: Sequence[Mapping[str, Any]]) -> None:
    found = classic(RemoteWriteReceiver("acme"), *histograms)
    assert shown(found) == []
    (reason,) = found.rejected["reason"]
    assert "of a gauge" in reason
