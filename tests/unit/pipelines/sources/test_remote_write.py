"""Requests of Prometheus's remote_write: what is good is read, what is bad is rejected with its reason."""

import struct
from contextlib import suppress
from datetime import timedelta

import pytest
from fakes.remote_write import T0, compressed, field, metadata, sample, time_series, varint
from hypothesis import given
from hypothesis import strategies as st

from core.batch import Batch
from core.domain import SeriesKind
from core.errors import InputError
from pipelines.sources.remote_write import RemoteWriteReceiver

CPU: dict[str, str | bytes] = {"__name__": "cpu_usage", "service": "cart", "instance": "a:1"}
GOOD = time_series(CPU, [(0, 1.5), (15, 2.5)])


def read(*parts: bytes) -> Batch:
    receiver = RemoteWriteReceiver("acme")
    request = receiver.decode(compressed(*parts))
    return receiver.batch(request, request.metric_types)


def reasons(batch: Batch) -> list[str]:
    assert batch.rejected is not None
    return batch.rejected["reason"].to_list()


def values(batch: Batch) -> list[float]:
    assert batch.samples is not None
    return batch.samples["value"].to_list()


def test_a_request_becomes_series_and_samples() -> None:
    batch = read(GOOD)
    (series,) = batch.series
    assert (series.tenant, series.name) == ("acme", "cart/cpu_usage{instance=a:1}")
    assert batch.samples is not None
    assert batch.samples.rows() == [
        (series.series_id, T0, 1.5),
        (series.series_id, T0 + timedelta(seconds=15), 2.5),
    ]
    assert reasons(batch) == []


def test_counts_are_kept_apart_because_rates_need_the_stored_counts() -> None:
    batch = read(time_series({"__name__": "hits_total", "service": "cart"}, [(0, 100.0)]), GOOD)
    assert batch.counts is not None
    assert batch.counts["value"].to_list() == [100.0]
    assert values(batch) == [1.5, 2.5]
    assert [one.kind for one in batch.series] == [SeriesKind.COUNTER, SeriesKind.GAUGE]


def test_metadata_tell_a_counter_without_the_usual_name() -> None:
    batch = read(
        time_series({"__name__": "jobs_done", "job": "worker"}, [(0, 1.0)]), metadata("jobs_done", 1)
    )
    assert batch.metric_types == {"jobs_done": "counter"}
    assert batch.series[0].kind is SeriesKind.COUNTER


def test_stale_markers_are_no_samples() -> None:
    stale = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
    assert values(read(time_series(CPU, [(0, stale), (15, 1.0)]))) == [1.0]


def test_an_empty_request_is_an_empty_batch() -> None:
    batch = read()
    assert values(batch) == []
    assert reasons(batch) == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (time_series({"job": "x"}, [(0, 1.0)]), "it has no name"),
        (time_series({"__name__": "", "job": "x"}, [(0, 1.0)]), "it has no name"),
        (time_series({"__name__": "bad", "msg": "a\0b"}, [(0, 1.0)]), "not contain"),
        (time_series({"__name__": "bad", "job": "a\0b"}, [(0, 1.0)]), "should not contain"),
        (time_series({"__name__": "bad\0"}, [(0, 1.0)]), "should not contain"),
        (time_series({"__name__": "bad", "msg": b"caf\xe9"}, [(0, 1.0)]), "not UTF-8"),
        (time_series({"__name__": "bad", "msg": b"\xed\xa0\x80"}, [(0, 1.0)]), "not UTF-8"),
        (time_series({"__name__": b"\xff"}, [(0, 1.0)]), "not UTF-8"),
        (time_series({"__name__": "bad", "job": "x" * 8000}, [(0, 1.0)]), "at most"),
        (time_series({"__name__": "bad" * 4000, "job": "x"}, [(0, 1.0)]), "at most"),
        (time_series({"__name__": "rpc_seconds"}, [], field(4, b"\x08\x03")), "native histogram"),
        (field(1, b"\x0a\xff"), "cannot be read"),
        (field(1, field(1, b"\x08\x01")), "cannot be read"),
        (field(3, field(2, b"\xff")), "metadata cannot be read"),
    ],
)
def test_a_bad_series_costs_no_good_one(bad: bytes, reason: str) -> None:
    for parts in ((bad, GOOD), (GOOD, bad)):
        batch = read(*parts)
        assert values(batch) == [1.5, 2.5]
        assert [one.metric for one in batch.series] == ["cpu_usage"]
        (why,) = reasons(batch)
        assert reason in why


def raw_time(value: int) -> bytes:
    return varint(1 << 3 | 1) + struct.pack("<d", 9.0) + varint(2 << 3) + varint(value)


@pytest.mark.parametrize(
    "bad",
    [
        raw_time(1 << 62),  # beyond the calendar
        raw_time(-(1 << 63)),
        varint(2 << 3) + b"\xff" * 10 + b"\x01",  # 70 bits
        b"\x0d\x00\x00\x00\x00",  # a value of 32 bits
        b"\x12\x00",  # a time that is text
    ],
)
def test_a_bad_sample_costs_no_other_sample_of_its_series(bad: bytes) -> None:
    content = field(1, field(1, b"__name__") + field(2, b"up")) + field(2, bad) + field(2, sample(3.0, 0))
    batch = read(field(1, content), GOOD)
    assert values(batch) == [3.0, 1.5, 2.5]
    assert len(reasons(batch)) == 1


def test_samples_beside_a_native_histogram_are_kept() -> None:
    batch = read(time_series(CPU, [(0, 1.0)], field(4, b"\x08\x03")))
    assert values(batch) == [1.0]
    assert len(reasons(batch)) == 1


def test_a_label_without_a_value_is_no_label() -> None:
    (with_empty,) = read(time_series({**CPU, "pod": ""}, [(0, 1.0)])).series
    assert with_empty == read(GOOD).series[0]


def test_bytes_that_are_no_text_are_shown_in_the_dead_letter() -> None:
    batch = read(time_series({"__name__": "bad", "msg": b"caf\xe9"}, [(0, 1.0)]))
    assert batch.rejected is not None
    assert r"caf\\xe9" in batch.rejected["row"][0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not a remote_write request"),
        (b"nonsense", "snappy"),
        (compressed(b"\x0a\xff"), "not a remote_write request"),
        (compressed(b"\x08\x01"), "not a remote_write request"),
        (varint(1 << 40) + b"x", "at most"),
    ],
)
def test_a_body_that_is_none_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RemoteWriteReceiver("acme").decode(body)


@given(st.binary(max_size=200))
def test_whatever_comes_is_taken_or_refused_but_never_breaks(body: bytes) -> None:
    for parts in ((body,), (field(1, body),), (field(1, field(2, body)),), (field(3, body),)):
        with suppress(InputError):
            read(*parts)


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.floats(width=64))
def test_any_time_and_value_is_read_or_rejected(time_ms: int, value: float) -> None:
    raw = varint(1 << 3 | 1) + struct.pack("<d", value) + varint(2 << 3) + varint(time_ms)
    batch = read(field(1, field(1, field(1, b"__name__") + field(2, b"up")) + field(2, raw)))
    assert len(values(batch)) + len(reasons(batch)) == (0 if value != value and not reasons(batch) else 1)
