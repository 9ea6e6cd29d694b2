"""Requests of Prometheus's remote_write, version 1, put together by hand."""

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pyarrow as pa

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
    """A Sample, `at_s` seconds after `T0`."""
    ms = round((T0.timestamp() + at_s) * 1000)
    return varint(1 << 3 | 1) + struct.pack("<d", value) + varint(2 << 3) + varint(ms)


def label(name: str | bytes, value: str | bytes) -> bytes:
    raw_name, raw_value = (text if isinstance(text, bytes) else text.encode() for text in (name, value))
    return field(1, field(1, raw_name) + field(2, raw_value))


def time_series(
    labels: Mapping[str, str | bytes], samples: Sequence[tuple[float, float]], more: bytes = b""
) -> bytes:
    """A TimeSeries with samples of (seconds after `T0`, value).

    Args:
        more: further fields of the message, such as native histograms.
    """
    content = b"".join(label(name, value) for name, value in sorted(labels.items()))
    return field(1, content + b"".join(field(2, sample(value, at_s)) for at_s, value in samples) + more)


def metadata(metric: str, kind: int) -> bytes:
    """A MetricMetadata; kind 1 is a counter, 2 a gauge, 3 a histogram."""
    return field(3, varint(1 << 3) + varint(kind) + field(2, metric.encode()))


def compressed(*parts: bytes) -> bytes:
    return bytes(pa.Codec("snappy").compress(b"".join(parts)))
