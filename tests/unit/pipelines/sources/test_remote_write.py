"""Requests of Prometheus's remote_write, put together by hand."""

import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain import SeriesKind
from core.errors import InputError
from core.ports import Batch
from pipelines.sources.remote_write import RemoteWriteReceiver

T0 = datetime(2026, 1, 5, tzinfo=UTC)


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def sample(value: float, at_s: float) -> bytes:
    ms = round((T0.timestamp() + at_s) * 1000)
    return varint(1 << 3 | 1) + struct.pack("<d", value) + varint(2 << 3) + varint(ms)


def time_series(labels: Mapping[str, str], samples: Sequence[tuple[float, float]]) -> bytes:
    content = b"".join(
        field(1, field(1, name.encode()) + field(2, value.encode())) for name, value in sorted(labels.items())
    )
    return field(1, content + b"".join(field(2, sample(value, at)) for at, value in samples))


def compressed(*parts: bytes) -> bytes:
    raw = b"".join(parts)
    return bytes(pa.Codec("snappy").compress(raw))


def values(batch: Batch) -> list[float]:
    assert batch.samples is not None
    return batch.samples["value"].to_list()


CPU = {"__name__": "cpu_usage", "service": "cart", "instance": "a:1"}
HITS = {"__name__": "hits_total", "service": "cart"}


def test_a_request_becomes_series_and_samples() -> None:
    batch = RemoteWriteReceiver("acme").batch(compressed(time_series(CPU, [(0, 1.5), (15, 2.5)])))
    (series,) = batch.series
    assert (series.tenant, series.name, series.step_s) == ("acme", "cart/cpu_usage{instance=a:1}", 15)
    assert batch.samples is not None
    assert batch.samples.rows() == [
        (series.series_id, T0, 1.5),
        (series.series_id, T0 + timedelta(seconds=15), 2.5),
    ]


def test_counters_become_rates_from_one_request_to_the_next() -> None:
    receiver = RemoteWriteReceiver("acme")
    assert values(receiver.batch(compressed(time_series(HITS, [(0, 100.0)])))) == []
    again = receiver.batch(compressed(time_series(HITS, [(15, 130.0), (30, 15.0)])))
    assert values(again) == [2.0, 1.0]
    assert (again.series[0].kind, again.series[0].step_s) == (SeriesKind.COUNTER, 15)


def test_metadata_tell_a_counter_without_the_usual_name() -> None:
    receiver = RemoteWriteReceiver("acme")
    labels = {"__name__": "jobs_done", "job": "worker"}
    assert receiver.batch(compressed(time_series(labels, [(0, 1.0)]))).series[0].kind is SeriesKind.GAUGE
    receiver.batch(compressed(field(3, varint(1 << 3) + varint(1) + field(2, b"jobs_done"))))
    assert receiver.batch(compressed(time_series(labels, [(15, 1.0)]))).series[0].kind is SeriesKind.COUNTER


def test_stale_markers_are_no_samples() -> None:
    stale = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
    assert values(
        RemoteWriteReceiver("acme").batch(compressed(time_series(CPU, [(0, stale), (15, 1.0)])))
    ) == [1.0]


def test_an_empty_request_is_an_empty_batch() -> None:
    assert values(RemoteWriteReceiver("acme").batch(compressed())) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not a remote_write request"),
        (b"nonsense", "snappy"),
        (compressed(b"\x0a\xff"), "not a remote_write request"),
        (compressed(b"\x08\x01"), "not a remote_write request"),
        (compressed(time_series({"job": "x"}, [])), "has no name"),
        (varint(1 << 40) + b"x", "at most"),
    ],
)
def test_a_body_that_is_none_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RemoteWriteReceiver("acme").batch(body)


@given(st.binary(max_size=200))
def test_whatever_comes_is_taken_or_refused_but_never_breaks(body: bytes) -> None:
    for sent in (body, compressed(body)):
        with suppress(InputError):
            RemoteWriteReceiver("acme").batch(sent)
