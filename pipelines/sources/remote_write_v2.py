"""Reads what only version 2 of remote_write has: the table of symbols, references to it, and metadata of series.

References:
    https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/
    https://github.com/prometheus/prometheus/blob/main/prompb/io/prometheus/write/v2/types.proto
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import InputError
from pipelines.sources.protobuf import (
    Parts,
    Value,
    as_integer,
    integers_of,
    packed_varints,
    read_few,
    read_varint,
)
from pipelines.sources.remote_write_series import LABELS, TAIL_BYTES, labels_of

#: Types of metrics, by their numbers in version 2.
TYPES = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")
#: What the name of a series adds to the name of its histogram or summary.
_ENDINGS = ("_bucket", "_count", "_sum", "_gcount", "_gsum")
_TYPE, _HELP, _UNIT = 1, 3, 4
_LABELS_TAG, _METADATA_TAG = LABELS << 3 | 2, 5 << 3 | 2
_MORE = 0x80


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a series tells about its metric.

    Attributes:
        unit: the symbol; empty: not told.
    """

    kind: str
    unit: bytes


NO_METADATA = Metadata("unknown", b"")


@dataclass(frozen=True, slots=True)
class UsualSeries:
    """A message of the usual form: labels, one sample, metadata."""

    place: int
    key: tuple[bytes, ...]
    tail: bytes
    metadata: Metadata


class Symbols:
    """The table of symbols of one request (`pipelines.sources.remote_write_series.LabelReader`)."""

    def __init__(self, symbols: Sequence[bytes]) -> None:
        self._symbols = symbols
        self._metadata: dict[bytes, Metadata] = {b"": NO_METADATA}

    def read(self, raw: Sequence[Value], parts: Parts) -> Mapping[str, str]:
        """The labels of the references."""
        refs = integers_of(raw)
        parts.take(len(refs) // 2)
        return labels_of(self._texts(refs))

    def shown(self, raw: Sequence[Value]) -> object:
        try:
            refs = integers_of(raw)
        except IndexError:
            return [bytes(one).hex() if isinstance(one, memoryview) else one for one in raw]
        known = len(self._symbols)
        return [self._symbols[ref].decode(errors="backslashreplace") if ref < known else ref for ref in refs]

    def key(self, raw: Sequence[Value], metadata: Metadata) -> tuple[bytes, ...]:
        """What identifies the labels and the unit in all requests."""
        return _key(self._texts(integers_of(raw)), metadata)

    def metadata(self, message: bytes) -> Metadata:
        """What a message Metadata tells.

        Raises:
            IndexError, TypeError: it is none.
            InputError: a reference has no symbol.
        """
        found = self._metadata.get(message)
        if found is None:
            fields = read_few(memoryview(message))
            kind, about, unit = (as_integer(fields.get(number, 0)) for number in (_TYPE, _HELP, _UNIT))
            self._require(max(about, unit))
            name = TYPES[kind] if kind < len(TYPES) else "unknown"
            found = self._metadata[message] = Metadata(name, self._symbols[unit] if unit else b"")
        return found

    def usual(self, messages: Sequence[tuple[int, memoryview]]) -> list[UsualSeries]:
        """Those messages that have the usual form.

        Args:
            messages: each with its place in the request.
        """
        found: list[tuple[int, bytes, Metadata]] = []
        packed: list[bytes] = []
        for place, message in messages:
            size, at = _head(message)
            rest = bytes(message[at + size :])
            metadata = self._metadata_after(rest[TAIL_BYTES:])
            if size and metadata is not None and len(rest) >= TAIL_BYTES and message[at + size - 1] < _MORE:
                found.append((place, rest[:TAIL_BYTES], metadata))
                packed.append(bytes(message[at : at + size]))
        if not found:
            return []
        try:
            refs = packed_varints(memoryview(b"".join(packed)))
        except IndexError:
            return []
        if int(refs.max()) >= len(self._symbols):
            return []  # read one by one, so that those with the right references are found
        texts = [self._symbols[ref] for ref in refs.tolist()]
        is_last = np.frombuffer(b"".join(packed), dtype=np.uint8) < _MORE
        ends = np.cumsum(is_last)[np.cumsum([len(one) for one in packed]) - 1].tolist()
        return [
            UsualSeries(place, _key(texts[start:end], metadata), tail, metadata)
            for (place, tail, metadata), start, end in zip(found, [0, *ends[:-1]], ends, strict=True)
            if (end - start) % 2 == 0
        ]

    def _metadata_after(self, message: bytes) -> Metadata | None:
        """The metadata at the end of a series, with their tag and size; null where something else is there."""
        found = self._metadata.get(message[2:])
        if found is not None and (
            message == b"" or (message[0] == _METADATA_TAG and message[1] == len(message) - 2)
        ):
            return found
        if len(message) < 2 or message[0] != _METADATA_TAG or message[1] != len(message) - 2:
            return None
        try:
            return self.metadata(message[2:])
        except (IndexError, TypeError, InputError):
            return None

    def _texts(self, refs: Sequence[int]) -> list[bytes]:
        if len(refs) % 2:
            raise InputError(f"it has {len(refs)} references, and each label needs two")
        self._require(max(refs, default=0))
        return [self._symbols[ref] for ref in refs]

    def _require(self, ref: int) -> None:
        if ref and ref >= len(self._symbols):
            raise InputError(f"the reference {ref} has no symbol; the request has {len(self._symbols)}")


def _key(texts: Sequence[bytes], metadata: Metadata) -> tuple[bytes, ...]:
    return (*texts, metadata.unit) if metadata.unit else tuple(texts)


def _head(message: memoryview) -> tuple[int, int]:
    """Size of the references at the start of a series, and where they begin; the size is 0 where there are none."""
    if len(message) < 2 or message[0] != _LABELS_TAG:
        return 0, 0
    try:
        size, at = (message[1], 2) if message[1] < _MORE else read_varint(message, 1)
    except IndexError:
        return 0, 0
    return (size, at) if at + size <= len(message) else (0, 0)


def declared_type(metric: str, kind: str, *, has_histograms: bool = False) -> tuple[str, str]:
    """The metric whose type a series declares, and the type: a series of a histogram has one of its parts' names.

    Examples:
        >>> declared_type("rpc_seconds_count", "histogram")
        ('rpc_seconds', 'histogram')
    """
    if kind in {"histogram", "gaugehistogram", "summary"} and not has_histograms:
        for ending in _ENDINGS:
            if metric.endswith(ending):
                return metric.removesuffix(ending), kind
    return metric, kind
