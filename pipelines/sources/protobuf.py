"""Reads and writes the wire format of protocol buffers, without generated classes.

References:
    https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from core.errors import InputError

#: The content of a field: a number, or bytes.
Value = memoryview | int

#: Fields in a small message; larger ones are errors or attacks.
MAX_FIELDS = 16
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


class TooManyPartsError(InputError):
    """A request has so many parts that reading them would hold up all others."""


class Parts:
    """Counts the parts of a request.

    Args:
        most: so many are accepted.
        remedy: what is counted and what the sender can do, for the error.
    """

    def __init__(self, most: int, remedy: str) -> None:
        self._left = self._most = most
        self._remedy = remedy

    def take(self, count: int) -> None:
        """Count some parts.

        Raises:
            TooManyPartsError: there are more than may come in all.
        """
        self._left -= count
        if self._left < 0:
            raise TooManyPartsError(f"the request has more than {self._most} {self._remedy}")

    def counted(self, fields: Iterator[tuple[int, Value]]) -> list[tuple[int, Value]]:
        """The same fields; raises as `take`. No more than may still come are read."""
        found = list(islice(fields, self._left + 1))
        self.take(len(found))
        return found


def read_few(message: memoryview) -> dict[int, Value]:
    """The fields of a small message.

    Raises:
        IndexError: the message has more than `MAX_FIELDS` or ends in the middle of one.
    """
    found = list(islice(read_fields(message), MAX_FIELDS + 1))
    if len(found) > MAX_FIELDS:
        raise IndexError(f"a part of the series has more than {MAX_FIELDS} fields")
    return dict(found)


def read_fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of each field: an integer for a varint, else its bytes.

    Raises:
        IndexError: the message ends in the middle of a field.
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = (message[at], at + 1) if message[at] < 0x80 else read_varint(message, at)
        field, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = read_varint(message, at)
            yield field, value
            continue
        if wire == _LENGTH:
            size, at = (message[at], at + 1) if message[at] < 0x80 else read_varint(message, at)
        elif wire in {_FIXED64, _FIXED32}:
            size = 8 if wire == _FIXED64 else 4
        else:
            raise IndexError(f"version 1 has no wire type {wire}")
        start, at = at, at + size
        if at > end:
            raise IndexError("the message ends too early")
        yield field, message[start:at]


def read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number at a position (seven bits in each byte), and the position after it."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError("a number has more than 64 bits")


def as_bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise TypeError("the field is a number, but bytes were expected")
    return value


def as_integer(value: Value) -> int:
    if not isinstance(value, int):
        raise TypeError("the field has bytes, but a number was expected")
    return value


def as_signed(value: int) -> int:
    """The signed number of a 64-bit two's complement."""
    return value - (1 << 64) if value >= 1 << 63 else value


def as_zigzag(value: int) -> int:
    """The signed number of a zigzag encoding (sint32, sint64)."""
    return (value >> 1) ^ -(value & 1)


def integers_of(values: Sequence[Value]) -> list[int]:
    """The numbers of a repeated field, packed or one by one.

    Raises:
        IndexError: the last number is cut, or one has more than 64 bits.
    """
    found: list[int] = []
    for one in values:
        found += [one] if isinstance(one, int) else packed_varints(one).tolist()
    return found


def doubles_of(values: Sequence[Value]) -> npt.NDArray[np.float64]:
    """The numbers of a repeated field of doubles, packed or one by one.

    Raises:
        IndexError: the last number is cut.
    """
    content = b"".join(bytes(as_bytes(one)) for one in values)
    if len(content) % 8:
        raise IndexError("the message ends too early")
    return np.frombuffer(content, dtype="<f8").astype(np.float64)


def packed_varints(message: memoryview) -> npt.NDArray[np.uint64]:
    """The numbers of a packed field.

    Raises:
        IndexError: the last number is cut, or one has more than 64 bits.
    """
    raw = np.frombuffer(message, dtype=np.uint8)
    last = raw < 0x80
    if not len(raw):
        return np.empty(0, dtype=np.uint64)
    if not last[-1]:
        raise IndexError("the message ends too early")
    starts = np.concatenate([[0], np.flatnonzero(last)[:-1] + 1])
    places = np.arange(len(raw)) - np.repeat(starts, np.diff(np.append(starts, len(raw))))
    if places.max() > 9:
        raise IndexError("a number has more than 64 bits")
    shifted = (raw & 0x7F).astype(np.uint64) << (7 * places).astype(np.uint64)
    return np.add.reduceat(shifted, starts)


def varint_field(number: int, value: int) -> bytes:
    """A field with a number that is not negative."""
    return _varint(number << 3 | _VARINT) + _varint(value)


def bytes_field(number: int, content: bytes) -> bytes:
    """A field with bytes, a text or a message."""
    return _varint(number << 3 | _LENGTH) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
