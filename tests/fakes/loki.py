"""Pushes of Loki, in JSON and in protobuf."""

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa

from pipelines.sources.protobuf import bytes_field, varint_field

#: Labels of a stream, and time in ns, text and metadata of its lines.
Streams = Sequence[tuple[Mapping[str, str], Sequence[tuple[int, str, Mapping[str, str]]]]]


def json_push(streams: Streams) -> bytes:
    parts = [
        {
            "stream": labels,
            "values": [[str(at), text, *([dict(more)] if more else [])] for at, text, more in lines],
        }
        for labels, lines in streams
    ]
    return json.dumps({"streams": parts}).encode()


def protobuf_push(streams: Streams) -> bytes:
    """Compressed with snappy, as Promtail sends it."""
    content = b"".join(bytes_field(1, _stream(labels, lines)) for labels, lines in streams)
    return bytes(pa.Codec("snappy").compress(content))


def _stream(labels: Mapping[str, str], lines: Sequence[tuple[int, str, Mapping[str, str]]]) -> bytes:
    text = "{" + ", ".join(f"{name}={json.dumps(value)}" for name, value in labels.items()) + "}"
    entries = b"".join(bytes_field(2, _entry(*line)) for line in lines)
    return bytes_field(1, text.encode()) + entries


def _entry(at_ns: int, text: str, metadata: Mapping[str, str]) -> bytes:
    time = varint_field(1, at_ns // 10**9) + varint_field(2, at_ns % 10**9)
    pairs = [
        bytes_field(3, bytes_field(1, name.encode()) + bytes_field(2, value.encode()))
        for name, value in metadata.items()
    ]
    return bytes_field(1, time) + bytes_field(2, text.encode()) + b"".join(pairs)
