"""Reads one TimeSeries of a remote_write request, field by field, and all usual ones of a request at once."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from core.errors import InputError
from pipelines.sources.protobuf import (
    Parts,
    TooManyPartsError,
    as_bytes,
    as_integer,
    as_signed,
    read_few,
    read_fields,
    read_varint,
)

#: The years 1 to 9999: times that a calendar can show.
OLDEST_MS, NEWEST_MS = -62_135_596_800_000, 253_402_300_799_000
#: Series, labels and samples in one request. A usual request has some ten thousand.
MAX_PARTS = 300_000

_LABEL, _SAMPLE, _HISTOGRAM = 1, 2, 4
#: The first bytes of the two fields of a Sample: their numbers and wire types.
_VALUE, _TIME = 1 << 3 | 1, 2 << 3
_NOTHING = memoryview(b"")
#: The usual end of a TimeSeries is one sample with a time of 42 bits, which reaches from 2004 to 2109:
#: tag and size of the sample, tag and 8 bytes of its value, tag and 6 bytes of its time.
TAIL_BYTES = 18
_TAIL = np.dtype([("start", "u1", 3), ("value", "<f8"), ("time_tag", "u1"), ("time", "u1", 6)])
_TAIL_START = bytes([_SAMPLE << 3 | 2, TAIL_BYTES - 2, _VALUE])
_MORE = 0x80


def parts_of_request() -> Parts:
    """Counts the parts of one request."""
    return Parts(MAX_PARTS, "series, labels and samples; lower max_samples_per_send of the sender")


@dataclass(frozen=True, slots=True)
class LabelledSeries:
    """What the labels of a TimeSeries tell.

    Attributes:
        parts: how many labels were sent.
    """

    metric: str
    labels: Mapping[str, str]
    parts: int


@dataclass(frozen=True, slots=True)
class WrittenSeries:
    """Some samples of one series.

    Attributes:
        start: the bytes of the message before its samples, when it has nothing but labels there; else null.
    """

    series: LabelledSeries
    start: bytes | None
    times_ms: Sequence[int]
    values: Sequence[float]


def read_tails(tails: Sequence[bytes]) -> tuple[IntArray, FloatArray, BoolArray]:
    """Times in ms and values of samples, each with its tag and size; and which of them have the usual form.

    Args:
        tails: of `TAIL_BYTES` each.
    """
    found = np.frombuffer(b"".join(tails), dtype=_TAIL)
    time = found["time"].astype(np.int64)
    usual = (
        np.all(found["start"] == np.frombuffer(_TAIL_START, dtype=np.uint8), axis=1)
        & (found["time_tag"] == _TIME)
        & np.all(time[:, :5] >= _MORE, axis=1)
        & (time[:, 5] < _MORE)
    )
    times_ms = ((time & ~_MORE) << np.arange(0, 42, 7)).sum(axis=1)
    return times_ms, found["value"].astype(np.float64), usual


def read_series(message: memoryview, parts: Parts, rejected: list[tuple[str, str]]) -> WrittenSeries | None:
    """One TimeSeries; what of it cannot be stored is added to `rejected`. Null: it has no samples."""
    raw: list[memoryview] = []
    samples: list[memoryview] = []
    histograms = 0
    in_order = True
    try:
        for field, value in parts.counted(read_fields(message)):
            if field == _LABEL:
                raw.append(as_bytes(value))
                in_order &= not samples
            elif field == _SAMPLE:
                samples.append(as_bytes(value))
            else:
                in_order = False
                histograms += field == _HISTOGRAM
        labels = _labels(raw)
    except TooManyPartsError:
        raise
    except (IndexError, TypeError, InputError) as error:
        row = json.dumps({"labels": [bytes(label).decode(errors="backslashreplace") for label in raw]})
        rejected.append((row, f"the series cannot be read: {error}"))
        return None
    if histograms:
        rejected.append(
            (
                json.dumps({"labels": labels}),
                "native histograms are not supported; send classic buckets as well",
            )
        )
    times_ms: list[int] = []
    values: list[float] = []
    for sample in samples:
        try:
            time_ms, number = _sample(sample)
        except (IndexError, TypeError, struct.error, InputError) as error:
            rejected.append((json.dumps({"labels": labels}), f"a sample cannot be read: {error}"))
        else:
            times_ms.append(time_ms)
            values.append(number)
    if not values:
        return None
    start = _start(message, samples) if in_order else None
    return WrittenSeries(LabelledSeries(labels["__name__"], labels, len(raw)), start, times_ms, values)


def _start(message: memoryview, samples: Sequence[memoryview]) -> bytes | None:
    """The part of a message before its only sample, if that has the usual size; null otherwise."""
    if [len(one) for one in samples] != [TAIL_BYTES - 2] or message[
        -TAIL_BYTES : 2 - TAIL_BYTES
    ] != _TAIL_START[:2]:
        return None
    return bytes(message[:-TAIL_BYTES])


def _sample(message: memoryview) -> tuple[int, float]:
    """Time in ms and value of a Sample."""
    if len(message) > 10 and message[0] == _VALUE and message[9] == _TIME:  # as all senders write it
        raw_time, end = read_varint(message, 10)
    else:
        raw_time, end = 0, 0
    value = message[1:9]
    if end != len(message):
        fields = read_few(message)
        raw_time, value = as_integer(fields.get(2, 0)), as_bytes(fields.get(1, memoryview(bytes(8))))
    time_ms = as_signed(raw_time)
    if not OLDEST_MS <= time_ms <= NEWEST_MS:
        raise InputError(f"the time {time_ms} ms is outside the calendar: is its unit milliseconds?")
    return time_ms, struct.unpack("<d", value)[0]


def _labels(messages: Sequence[memoryview]) -> Mapping[str, str]:
    """The labels of a series. A label without a value is the same as no label.

    Raises:
        IndexError, TypeError: a message is not a Label.
        InputError: a label is not UTF-8 or comes twice, or the series has no name.
    """
    labels: dict[str, str] = {}
    for message in messages:
        fields = read_few(message)
        raw_name, raw_value = (bytes(as_bytes(fields.get(field, _NOTHING))) for field in (1, 2))
        try:
            name, value = raw_name.decode(), raw_value.decode()
        except UnicodeDecodeError as error:
            raise InputError("a label is not UTF-8") from error
        if name in labels:
            raise InputError(f"label {name!r} comes twice")
        if value:
            labels[name] = value
    if not labels.get("__name__"):
        raise InputError("it has no name")
    return labels
