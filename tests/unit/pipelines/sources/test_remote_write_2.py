"""Version 2 of remote_write: the same content gives the same batch as version 1, and bad parts cost no good ones."""

import random
from contextlib import suppress
from typing import Any

import pytest
from fakes.remote_write_2 import STALE, Sent, body_1, body_2, request_2, snappy
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from core.batch import Batch
from core.errors import InputError
from pipelines.sources.remote_write import Message, RemoteWriteReceiver

CPU = Sent(labels={"__name__": "cpu_usage", "job": "cart"}, samples=[(0, 1.5), (15, 2.5)])
HITS = Sent(labels={"__name__": "hits", "job": "cart"}, samples=[(0, 7.0)], kind="counter")
HISTOGRAM: dict[str, Any] = {
    "at_s": 0.0,
    "count_int": 6,
    "sum": 9.0,
    "schema": 0,
    "positive_spans": [{"offset": 0, "length": 2}],
    "positive_deltas": [2, 2],
}


def batch_of(body: bytes, message: Message, receiver: RemoteWriteReceiver | None = None) -> Batch:
    receiver = receiver or RemoteWriteReceiver("acme")
    request = receiver.decode(body, message)
    return receiver.batch(request, request.metric_types)


def read_2(request: Any, receiver: RemoteWriteReceiver | None = None) -> Batch:
    return batch_of(snappy(request.SerializeToString()), Message.VERSION_2, receiver)


def reasons(batch: Batch) -> list[str]:
    assert batch.rejected is not None
    return batch.rejected["reason"].to_list()


def assert_same(one: Batch, other: Batch) -> None:
    assert {own.series_id: own for own in one.series} == {own.series_id: own for own in other.series}
    assert one.metric_types == other.metric_types
    for name in ("samples", "counts", "ends", "histograms", "rejected"):
        assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True)


VALUES = st.floats(allow_nan=False) | st.just(STALE)
SENT = st.builds(
    lambda metric, labels, samples, kind, histograms: Sent(
        labels={"__name__": metric, **labels},
        samples=[] if histograms else samples,
        kind="histogram" if histograms else kind,
        histograms=[{**HISTOGRAM, "at_s": at_s} for at_s in histograms],
    ),
    st.sampled_from(["depth", "hits_total", "rpc_seconds", "jobs"]),
    st.dictionaries(
        st.sampled_from(["job", "pod", "mount"]),
        st.text('aä"{/', max_size=5),
    ),
    st.lists(st.tuples(st.floats(-1e6, 1e6), VALUES), min_size=1, max_size=3),
    st.sampled_from(["", "counter", "gauge"]),
    st.lists(st.integers(0, 1000), max_size=1),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(SENT, max_size=6), st.lists(st.text("ab", max_size=3), max_size=200))
def test_both_versions_give_the_same_batch(sent: list[Sent], others: list[str]) -> None:
    """Also when the receiver knows the series already, and the references have two bytes."""
    receivers = RemoteWriteReceiver("acme"), RemoteWriteReceiver("acme")
    for _ in range(2):
        first = batch_of(body_1(sent), Message.VERSION_1, receivers[0])
        second = batch_of(body_2(sent, symbols=["", *others]), Message.VERSION_2, receivers[1])
        assert_same(first, second)


def test_a_known_series_is_read_the_same_wherever_its_symbols_are() -> None:
    receiver = RemoteWriteReceiver("acme")
    rng = random.Random(7)
    for turn in range(4):
        sent = [
            Sent(labels={"__name__": "depth", "n": str(n)}, samples=[(15 * turn, float(n))])
            for n in range(150)
        ]
        rng.shuffle(sent)
        body = body_2(sent, symbols=["", *(f"other {n}" for n in range(rng.randrange(100)))])
        fresh = batch_of(body, Message.VERSION_2)
        assert_same(batch_of(body, Message.VERSION_2, receiver), fresh)


def test_metadata_of_a_series_declare_its_metric_and_its_unit() -> None:
    parts = [
        Sent(labels={"__name__": f"rpc_{part}"}, samples=[(0, 1.0)], kind="histogram")
        for part in ("bucket", "count", "sum")
    ]
    batch = batch_of(
        body_2([HITS, *parts, Sent(labels={"__name__": "level"}, samples=[(0, 1.0)], unit="volts")]),
        Message.VERSION_2,
    )
    assert batch.metric_types == {"hits": "counter", "rpc": "histogram"}
    assert {one.metric: one.unit for one in batch.series}["level"] == "volts"
    assert batch.counts is not None
    assert batch.counts.height == 4


def _refs(*refs: int) -> Any:
    request = request_2([CPU, HITS])
    del request.timeseries[1].labels_refs[:]
    request.timeseries[1].labels_refs.extend(refs)
    return request


def _changed(**fields: Any) -> Any:
    request = request_2([CPU, HITS])
    for name, value in fields.items():
        setattr(request.timeseries[1].metadata, name, value)
    return request


NAMELESS = Sent(labels={"job": "cart"}, samples=[(0, 1.0)])


@pytest.mark.parametrize(
    ("request_of", "reason"),
    [
        (lambda: _refs(1, 2, 99, 2), "the reference 99 has no symbol"),
        (lambda: _refs(1, 2, 4_294_967_295, 2), "has no symbol"),
        (lambda: _refs(1, 2, 3), "3 references, and each label needs two"),
        (lambda: _refs(), "it has no name"),
        (lambda: _refs(1, 2, 1, 2), "comes twice"),
        (lambda: request_2([CPU, NAMELESS]), "it has no name"),
        (
            lambda: request_2([CPU, Sent(labels={"__name__": "a\0b"}, samples=[(0, 1.0)])]),
            "should not contain",
        ),
        (lambda: request_2([CPU, Sent(labels={"__name__": "empty"})]), "neither samples nor histograms"),
        (lambda: request_2([CPU, Sent(labels=HITS.labels, samples=[(9e15, 1.0)])]), "outside the calendar"),
        (lambda: _changed(unit_ref=99), "the reference 99 has no symbol"),
        (lambda: _changed(help_ref=99), "the reference 99 has no symbol"),
    ],
)
@pytest.mark.parametrize("known", [False, True])
def test_a_bad_series_of_version_2_costs_no_good_one(request_of: Any, reason: str, known: bool) -> None:
    receiver = RemoteWriteReceiver("acme")
    if known:
        for _ in range(2):
            read_2(request_2([CPU, HITS]), receiver)
    batch = read_2(request_of(), receiver)
    assert batch.samples is not None
    assert batch.samples["value"].to_list() == [1.5, 2.5]
    (why,) = reasons(batch)
    assert reason in why


@pytest.mark.parametrize(
    ("body", "message"), [(body_1([CPU]), Message.VERSION_2), (body_2([CPU]), Message.VERSION_1)]
)
def test_a_body_of_the_other_version_is_refused_and_not_read_as_empty(body: bytes, message: Message) -> None:
    with pytest.raises(InputError, match="which its Content-Type names"):
        RemoteWriteReceiver("acme").decode(body, message)


def test_exemplars_and_unknown_fields_change_nothing() -> None:
    request = request_2([CPU, HITS])
    request.timeseries[0].exemplars.add(labels_refs=[1, 2], value=3.0, timestamp=5)
    later = snappy(request.SerializeToString() + b"\x32\x02\x08\x01")
    assert_same(batch_of(later, Message.VERSION_2), read_2(request_2([CPU, HITS])))


FUZZED = request_2(
    [CPU, HITS, Sent(labels={"__name__": "rpc"}, histograms=[HISTOGRAM], created_s=-9)]
).SerializeToString()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(FUZZED)), st.integers(0, len(FUZZED)), st.binary(max_size=12))
def test_a_damaged_body_of_version_2_is_taken_or_refused_but_never_breaks(
    start: int, end: int, other: bytes
) -> None:
    receiver = RemoteWriteReceiver("acme")
    for body in (FUZZED, FUZZED[:start] + other + FUZZED[end:], other):
        with suppress(InputError):
            batch_of(snappy(body), Message.VERSION_2, receiver)
