"""Requests of remote_write in both versions, written by the protobuf runtime from the published definitions.

References:
    https://github.com/prometheus/prometheus/blob/main/prompb/types.proto
    https://github.com/prometheus/prometheus/blob/main/prompb/io/prometheus/write/v2/types.proto
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from fakes.remote_write import T0
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

STALE: float = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
START_MS = round(T0.timestamp() * 1000)
TYPES = {"": 0, "counter": 1, "gauge": 2, "histogram": 3}

_SCALARS = {"double": 1, "int64": 3, "uint64": 4, "string": 9, "uint32": 13, "sint32": 17, "sint64": 18}
_HISTOGRAM = """
    uint64 count_int 1, double count_float 2, double sum 3, sint32 schema 4, double zero_threshold 5,
    uint64 zero_count_int 6, double zero_count_float 7, *Span negative_spans 8, *sint64 negative_deltas 9,
    *double negative_counts 10, *Span positive_spans 11, *sint64 positive_deltas 12, *double positive_counts 13,
    uint32 reset_hint 14, int64 timestamp 15, *double custom_values 16, int64 start_timestamp 17
"""
_SHARED = {"Span": "sint32 offset 1, uint32 length 2", "Histogram": _HISTOGRAM}
_VERSION_1 = {
    **_SHARED,
    "Label": "string name 1, string value 2",
    "Sample": "double value 1, int64 timestamp 2",
    "TimeSeries": "*Label labels 1, *Sample samples 2, *Histogram histograms 4",
    "Metadata": "uint32 type 1, string metric_family_name 2, string help 4, string unit 5",
    "Request": "*TimeSeries timeseries 1, *Metadata metadata 3",
}
_VERSION_2 = {
    **_SHARED,
    "Sample": "double value 1, int64 timestamp 2, int64 start_timestamp 3",
    "Metadata": "uint32 type 1, uint32 help_ref 3, uint32 unit_ref 4",
    "Exemplar": "*uint32 labels_refs 1, double value 2, int64 timestamp 3",
    "TimeSeries": """*uint32 labels_refs 1, *Sample samples 2, *Histogram histograms 3, *Exemplar exemplars 4,
        Metadata metadata 5, int64 created_timestamp 6""",
    "Request": "*string symbols 4, *TimeSeries timeseries 5",
}


def _classes(package: str, messages: Mapping[str, str]) -> Any:
    """The classes of messages, each described as `type name number`; * is repeated."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for one in fields.split(","):
            kind, field_name, number = one.split()
            added = message.field.add(name=field_name, number=int(number), label=3 if kind[0] == "*" else 1)
            kind = kind.lstrip("*")
            if kind in _SCALARS:
                added.type = _SCALARS[kind]
            else:
                added.type, added.type_name = 11, f".{package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    get = message_factory.GetMessageClass
    return {name: get(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


VERSION_1, VERSION_2 = _classes("prompb", _VERSION_1), _classes("writev2", _VERSION_2)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A series as its sender has it.

    Attributes:
        samples: seconds after `T0`, value.
        created_s: seconds after `T0`; only version 2 sends it.
        histograms: fields of the message Histogram, with `at_s`.
    """

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]] = ()
    kind: str = ""
    unit: str = ""
    created_s: float | None = None
    histograms: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


def body_1(series: Sequence[Sent]) -> bytes:
    """A request of version 1."""
    request = VERSION_1["Request"]()
    for one in series:
        added = request.timeseries.add()
        for name, value in sorted(one.labels.items()):
            added.labels.add(name=name, value=value)
        _add_values(added, one)
        if one.kind:
            request.metadata.add(type=TYPES[one.kind], metric_family_name=one.labels["__name__"])
    return snappy(request.SerializeToString())


def request_2(series: Sequence[Sent], *, symbols: Sequence[str] = ("",)) -> Any:
    """The message of version 2; the table begins with some symbols."""
    request = VERSION_2["Request"](symbols=symbols)

    def ref(text: str) -> int:
        if text not in request.symbols:
            request.symbols.append(text)
        return list(request.symbols).index(text)

    for one in series:
        added = request.timeseries.add()
        for name, value in sorted(one.labels.items()):
            added.labels_refs.extend([ref(name), ref(value)])
        _add_values(added, one)
        added.metadata.type = TYPES[one.kind]
        added.metadata.unit_ref = ref(one.unit)
        if one.created_s is not None:
            added.created_timestamp = _ms(one.created_s)
    return request


def body_2(series: Sequence[Sent], *, symbols: Sequence[str] = ("",)) -> bytes:
    """A request of version 2."""
    return snappy(request_2(series, symbols=symbols).SerializeToString())


def snappy(content: bytes) -> bytes:
    return bytes(pa.Codec("snappy").compress(content))


def _add_values(added: Any, one: Sent) -> None:
    for at_s, value in one.samples:
        added.samples.add(timestamp=_ms(at_s), value=value)
    for histogram in one.histograms:
        fields = dict(histogram)
        added.histograms.add(timestamp=_ms(fields.pop("at_s")), **fields)


def _ms(at_s: float) -> int:
    return START_MS + round(at_s * 1000)
