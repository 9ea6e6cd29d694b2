"""Reads the wire format of protocol buffers, without generated classes.

References:
    https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from itertools import islice

#: The content of a field: a number, or bytes.
Value = memoryview | int

#: Fields in a small message; larger ones are errors or attacks.
MAX_FIELDS = 16
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


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
