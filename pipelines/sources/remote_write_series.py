"""Reads one TimeSeries of a remote_write request, field by field, and all usual ones of a request at once."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from core.errors import InputError
from pipelines.sources.native_histograms import NativeHistogram, read_histogram
from pipelines.sources.protobuf import (
    Parts,
    TooManyPartsError,
    Value,
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

_SAMPLE = 2
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
class Form:
    """Numbers of the fields of a TimeSeries in a version of the protocol. Labels and samples have the same in both.

    Attributes:
        metadata, created: 0 where the version has no such field.
    """

    histogram: int
    metadata: int = 0
    created: int = 0


LABELS, SAMPLES = 1, _SAMPLE
VERSION_1, VERSION_2 = Form(histogram=4), Form(histogram=3, metadata=5, created=6)


class LabelReader(Protocol):
    """Reads the labels of a series in a version of the protocol."""

    def read(self, raw: Sequence[Value], parts: Parts) -> Mapping[str, str]:
        """The labels. A label without a value is the same as no label.

        Raises:
            IndexError, TypeError: a field is not of labels.
            InputError: a label is not UTF-8 or comes twice, or the series has no name.
        """
        ...

    def shown(self, raw: Sequence[Value]) -> object:
        """The labels as they came, for a dead letter."""
        ...


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
    """Samples and histograms of one series.

    Attributes:
        start: the bytes of the message before its samples, when it has nothing but labels there; else null.
        times_ms, values, created_ms: of the samples; a counter began to count at `created_ms`, 0 if that is not known.
        histograms: each with its message.
        metadata: the message; empty where there is none.
        refs: the fields of the labels, as they came.
    """

    series: LabelledSeries
    start: bytes | None
    times_ms: Sequence[int]
    values: Sequence[float]
    created_ms: Sequence[int]
    histograms: Sequence[tuple[NativeHistogram, bytes]]
    metadata: memoryview
    refs: Sequence[Value]


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


@dataclass(slots=True)
class _Fields:
    """The fields of a TimeSeries by their meaning."""

    labels: list[Value] = field(default_factory=list)
    samples: list[memoryview] = field(default_factory=list)
    histograms: list[memoryview] = field(default_factory=list)
    metadata: memoryview = _NOTHING
    created_ms: int = 0
    in_order: bool = True

    def read(self, message: memoryview, form: Form, parts: Parts) -> None:
        for number, value in parts.counted(read_fields(message)):
            if number == LABELS:
                self.labels.append(value)
                self.in_order &= not self.samples
            elif number == SAMPLES:
                self.samples.append(as_bytes(value))
            else:
                self.in_order = False
                if number == form.histogram:
                    self.histograms.append(as_bytes(value))
                elif number == form.metadata:
                    self.metadata = as_bytes(value)
                elif number == form.created:
                    self.created_ms = in_calendar(as_signed(as_integer(value)))


def read_series(
    message: memoryview, form: Form, reader: LabelReader, parts: Parts, rejected: list[tuple[str, str]]
) -> WrittenSeries | None:
    """One TimeSeries; what of it cannot be stored is added to `rejected`. Null: it has no samples."""
    found = _Fields()
    try:
        found.read(message, form, parts)
        labels = reader.read(found.labels, parts)
        if form.metadata and not found.samples and not found.histograms:
            raise InputError("it has neither samples nor histograms")
    except TooManyPartsError:
        raise
    except (IndexError, TypeError, InputError) as error:
        row = json.dumps({"labels": reader.shown(found.labels)})
        rejected.append((row, f"the series cannot be read: {error}"))
        return None
    shown = json.dumps({"labels": labels})
    samples: list[tuple[int, float, int]] = []
    for one in found.samples:
        try:
            samples.append(_sample(one, found.created_ms))
        except (IndexError, TypeError, struct.error, InputError) as error:
            rejected.append((shown, f"a sample cannot be read: {error}"))
    histograms: list[tuple[NativeHistogram, bytes]] = []
    for one in found.histograms:
        try:
            histogram = read_histogram(one, parts)
            in_calendar(histogram.time_ms)
            in_calendar(histogram.start_ms)
        except TooManyPartsError:
            raise
        except (IndexError, TypeError, struct.error, InputError) as error:
            rejected.append((shown, f"a native histogram cannot be stored: {error}"))
        else:
            since_ms = histogram.start_ms or found.created_ms
            histograms.append((replace(histogram, start_ms=since_ms), bytes(one)))
    if not samples and not histograms:
        return None
    times_ms, values, created_ms = zip(*samples, strict=True) if samples else ((), (), ())
    start = _start(message, found.samples) if found.in_order else None
    series = LabelledSeries(labels["__name__"], labels, len(found.labels))
    return WrittenSeries(
        series, start, times_ms, values, created_ms, histograms, found.metadata, found.labels
    )


def in_calendar(time_ms: int) -> int:
    """The same time.

    Raises:
        InputError: no calendar has it.
    """
    if not OLDEST_MS <= time_ms <= NEWEST_MS:
        raise InputError(f"the time {time_ms} ms is outside the calendar: is its unit milliseconds?")
    return time_ms


def _start(message: memoryview, samples: Sequence[memoryview]) -> bytes | None:
    """The part of a message before its only sample, if that has the usual size; null otherwise."""
    if [len(one) for one in samples] != [TAIL_BYTES - 2] or message[
        -TAIL_BYTES : 2 - TAIL_BYTES
    ] != _TAIL_START[:2]:
        return None
    return bytes(message[:-TAIL_BYTES])


def _sample(message: memoryview, created_ms: int) -> tuple[int, float, int]:
    """Time in ms and value of a Sample, and since when it counts.

    Args:
        created_ms: of the series; a later version of the protocol has it in each sample.
    """
    if len(message) > 10 and message[0] == _VALUE and message[9] == _TIME:  # as all senders write it
        raw_time, end = read_varint(message, 10)
    else:
        raw_time, end = 0, 0
    value = message[1:9]
    if end != len(message):
        fields = read_few(message)
        raw_time, value = as_integer(fields.get(2, 0)), as_bytes(fields.get(1, memoryview(bytes(8))))
        created_ms = in_calendar(as_signed(as_integer(fields.get(3, 0)))) or created_ms
    return in_calendar(as_signed(raw_time)), struct.unpack("<d", value)[0], created_ms


class LabelMessages:
    """Labels as version 1 sends them: each is a message (`LabelReader`)."""

    def read(self, raw: Sequence[Value], parts: Parts) -> Mapping[str, str]:
        fields = [read_few(as_bytes(one)) for one in raw]
        return labels_of([bytes(as_bytes(one.get(number, _NOTHING))) for one in fields for number in (1, 2)])

    def shown(self, raw: Sequence[Value]) -> object:
        return [
            str(one) if isinstance(one, int) else bytes(one).decode(errors="backslashreplace") for one in raw
        ]


def labels_of(texts: Sequence[bytes]) -> Mapping[str, str]:
    """The labels of a series, from names and values in turn. A label without a value is the same as no label.

    Raises:
        InputError: a label is not UTF-8 or comes twice, or the series has no name.
    """
    labels: dict[str, str] = {}
    for raw_name, raw_value in zip(texts[::2], texts[1::2], strict=True):
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
