"""The messages that all requests of OTLP have, and how to read protobuf and JSON: both give the same fields.

Messages within a message stay as they came until they are read, so that a bad one costs no other. The classes that
protoc generates cannot do that: one text that is not UTF-8 makes them refuse the whole request.

References:
    https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/common/v1/common.proto
    https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

import base64
import json
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from core.arrays import FloatArray
from core.errors import InputError
from pipelines.sources.protobuf import Value, as_bytes, as_integer, as_signed, packed_varints, read_fields

#: What reading a message raises that is not one.
MALFORMED = (IndexError, TypeError, ValueError, OverflowError, RecursionError, struct.error, InputError)
#: The JSON of a request holds at most so many values; the parser of JSON holds up all other threads.
MAX_JSON_VALUES = 500_000


class Kind(IntEnum):
    """The types of fields."""

    TEXT = auto()
    MESSAGE = auto()
    MESSAGES = auto()
    DOUBLE = auto()
    FIXED64 = auto()
    SFIXED64 = auto()
    INT64 = auto()
    UINT32 = auto()
    SINT32 = auto()
    BOOL = auto()
    BYTES = auto()
    ID = auto()
    DOUBLES = auto()
    FIXED64S = auto()
    UINT64S = auto()


@dataclass(frozen=True, slots=True)
class Field:
    """Number, name (as in JSON) and type of a field."""

    number: int
    name: str
    kind: Kind


class Message:
    """The fields of a message, by number and by name. Other fields are ignored, as protobuf demands."""

    def __init__(self, *fields: tuple[int, str, Kind]) -> None:
        every = [Field(*one) for one in fields]
        self.by_number: Mapping[int, Field] = {one.number: one for one in every}
        self.by_name: Mapping[str, Field] = {
            **{_snake_case(one.name): one for one in every},
            **{one.name: one for one in every},
        }


def _snake_case(name: str) -> str:
    return re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", name)


class RequestForm:
    """What requests of one kind hold: resources, which hold scopes, which hold items.

    Args:
        content: of the request, for errors: metrics, traces or logs.
        parts, scopes, items: the names of the fields.
    """

    def __init__(self, content: str, parts: str, scopes: str, items: str) -> None:
        self.content = content
        self.parts, self.scopes, self.items = parts, scopes, items
        self.request = Message((1, parts, Kind.MESSAGES))
        self.resource = Message((1, "resource", Kind.MESSAGE), (2, scopes, Kind.MESSAGES))
        self.scope = Message((1, "scope", Kind.MESSAGE), (2, items, Kind.MESSAGES))


RESOURCE = Message((1, "attributes", Kind.MESSAGES))
SCOPE = Message((1, "name", Kind.TEXT))
KEY_VALUE = Message((1, "key", Kind.TEXT), (2, "value", Kind.MESSAGE))
ANY_VALUE = Message(
    (1, "stringValue", Kind.TEXT),
    (2, "boolValue", Kind.BOOL),
    (3, "intValue", Kind.INT64),
    (4, "doubleValue", Kind.DOUBLE),
    (5, "arrayValue", Kind.MESSAGE),
    (6, "kvlistValue", Kind.MESSAGE),
    (7, "bytesValue", Kind.BYTES),
)
#: ArrayValue and KeyValueList.
VALUES = Message((1, "values", Kind.MESSAGES))


class Encoding(Protocol):
    """How to read messages."""

    def request(self, body: bytes, form: RequestForm) -> Sequence[Any]:
        """The parts of a request, one for each resource.

        Raises:
            InputError: the body is not a request.
        """
        ...

    def read(self, raw: Any, message: Message) -> dict[str, Any]:
        """The fields of a message that are there, by name.

        Raises:
            MALFORMED: it is not such a message.
        """
        ...

    def key(self, raw: Sequence[Any]) -> str | bytes:
        """Something that is equal for equal messages only."""
        ...

    def text(self, raw: Any) -> str:
        """A message as it came, for people."""
        ...


class Protobuf:
    """The binary encoding; a message is a memoryview."""

    def request(self, body: bytes, form: RequestForm) -> Sequence[memoryview]:
        try:
            found = self.read(memoryview(body), form.request)
        except MALFORMED as error:
            raise InputError(f"the body is not an OTLP request for {form.content} in protobuf") from error
        if body and not found:
            raise InputError(
                f"the body is not an OTLP request for {form.content}: it has no {_snake_case(form.parts)}"
            )
        parts: list[memoryview] = found.get(form.parts, [])
        return parts

    def read(self, raw: memoryview, message: Message) -> dict[str, Any]:
        found: dict[str, Any] = {}
        fields = message.by_number
        for number, value in read_fields(raw):
            field = fields.get(number)
            if field is None:
                continue
            kind = field.kind
            if kind is Kind.MESSAGES:
                found.setdefault(field.name, []).append(as_bytes(value))
            elif kind in _REPEATED:
                found[field.name] = np.concatenate([found.get(field.name, _NONE), _REPEATED[kind](value)])
            else:
                found[field.name] = _SCALARS[kind](value)
        return found

    def key(self, raw: Sequence[memoryview]) -> bytes:
        return b"".join([len(one).to_bytes(4, "big") + one for one in raw])

    def text(self, raw: memoryview) -> str:
        return bytes(raw).decode(errors="backslashreplace")


_NONE: FloatArray = np.empty(0)


def _fixed(value: Value, form: str) -> Any:
    return struct.unpack(form, as_bytes(value))[0]


def _text(value: Value) -> str:
    try:
        return bytes(as_bytes(value)).decode()
    except UnicodeDecodeError:
        raise ValueError("a text is not UTF-8") from None


def _sint32(value: Value) -> int:
    zigzag = as_integer(value)
    return (zigzag >> 1) ^ -(zigzag & 1)


def _uint64s(value: Value) -> npt.NDArray[np.uint64]:
    return np.array([value], dtype=np.uint64) if isinstance(value, int) else packed_varints(value)


_SCALARS: Mapping[Kind, Callable[[Value], Any]] = {
    Kind.TEXT: _text,
    Kind.MESSAGE: as_bytes,
    Kind.BYTES: lambda value: bytes(as_bytes(value)),
    Kind.ID: lambda value: bytes(as_bytes(value)),
    Kind.DOUBLE: lambda value: _fixed(value, "<d"),
    Kind.FIXED64: lambda value: _fixed(value, "<Q"),
    Kind.SFIXED64: lambda value: _fixed(value, "<q"),
    Kind.INT64: lambda value: as_signed(as_integer(value)),
    Kind.UINT32: as_integer,
    Kind.SINT32: _sint32,
    Kind.BOOL: lambda value: as_integer(value) != 0,
}
_REPEATED: Mapping[Kind, Callable[[Value], Any]] = {
    Kind.DOUBLES: lambda value: np.frombuffer(as_bytes(value), dtype="<f8"),
    Kind.FIXED64S: lambda value: np.frombuffer(as_bytes(value), dtype="<u8").astype(np.float64),
    Kind.UINT64S: lambda value: _uint64s(value).astype(np.float64),
}


class Json:
    """OTLP's JSON; a message is an object. Numbers of 64 bits may be texts, and enumerations are numbers."""

    def request(self, body: bytes, form: RequestForm) -> Sequence[Any]:
        if body.count(b",") >= MAX_JSON_VALUES:
            raise InputError(f"the body holds more than {MAX_JSON_VALUES} values; send it in parts")
        try:
            # What is not UTF-8 becomes halves of surrogate pairs, so that only the item that has it is rejected.
            found = json.loads(body.decode(errors="surrogateescape"))
        except (ValueError, RecursionError) as error:
            raise InputError("the body is not JSON") from error
        try:
            fields = self.read(found, form.request)
        except MALFORMED as error:
            raise InputError(f"the body is not an OTLP request for {form.content}: {error}") from error
        if found and not fields:
            raise InputError(f"the body is not an OTLP request for {form.content}: it has no {form.parts}")
        parts: Sequence[Any] = fields.get(form.parts, [])
        return parts

    def read(self, raw: Any, message: Message) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise TypeError(f"an object was expected, not {_shown(raw)}")
        found: dict[str, Any] = {}
        fields, convert = message.by_name, _FROM_JSON
        for name, value in raw.items():
            field = fields.get(name)
            if field is not None and value is not None:
                try:
                    found[field.name] = convert[field.kind](value)
                except MALFORMED as error:
                    raise ValueError(f"{name}: {error}") from error
        return found

    def key(self, raw: Sequence[Any]) -> str:
        return repr(raw)  # several times faster than JSON

    def text(self, raw: Any) -> str:
        try:
            return json.dumps(raw)
        except RecursionError:
            return "values within each other, too deep to show"


def _shown(value: object) -> str:
    return repr(value)[:80]


def _json_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text was expected, not {_shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("a text is not UTF-8") from None
    return value


def _json_integer(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, str):
            whole = len(value) <= 21 and value.removeprefix("-").isdecimal()
        else:
            whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
        if not whole:
            raise ValueError(f"a whole number was expected, not {_shown(value)}")
        number = int(value)
        if not low <= number <= high:
            raise ValueError(f"the number {number} is out of range")
        return number

    return read


def _json_double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"a number was expected, not {_shown(value)}")
    return float(value)


def _json_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"true or false was expected, not {_shown(value)}")
    return value


def _json_enum(value: Any) -> int:
    return _ENUMERATIONS[value] if isinstance(value, str) and value in _ENUMERATIONS else _UINT32(value)


def _json_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"a list was expected, not {_shown(value)}")
    return value


def _json_numbers(read: Callable[[Any], float]) -> Callable[[Any], FloatArray]:
    return lambda value: np.array([read(one) for one in _json_list(value)], dtype=np.float64)


_UINT32 = _json_integer(0, 2**32 - 1)
_UINT64 = _json_integer(0, 2**64 - 1)
_INT64 = _json_integer(-(2**63), 2**63 - 1)
#: protobuf's own JSON writes the names of enumerations.
_ENUMERATIONS = {
    f"{prefix}_{name}": number
    for prefix, names in (
        ("AGGREGATION_TEMPORALITY", "UNSPECIFIED DELTA CUMULATIVE"),
        ("SPAN_KIND", "UNSPECIFIED INTERNAL SERVER CLIENT PRODUCER CONSUMER"),
        ("STATUS_CODE", "UNSET OK ERROR"),
    )
    for number, name in enumerate(names.split())
} | {
    f"SEVERITY_NUMBER_{name}{n or ''}": 4 * place + (n or 1)
    for place, name in enumerate(["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"])
    for n in (0, 2, 3, 4)
}
_FROM_JSON: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.TEXT: _json_text,
    Kind.MESSAGE: lambda value: value,
    Kind.MESSAGES: _json_list,
    Kind.DOUBLE: _json_double,
    Kind.FIXED64: _UINT64,
    Kind.SFIXED64: _INT64,
    Kind.INT64: _INT64,
    Kind.UINT32: _json_enum,
    Kind.SINT32: _json_integer(-(2**31), 2**31 - 1),
    Kind.BOOL: _json_bool,
    Kind.BYTES: lambda value: base64.b64decode(_json_text(value), validate=True),
    Kind.ID: lambda value: bytes.fromhex(_json_text(value)),
    Kind.DOUBLES: _json_numbers(_json_double),
    Kind.FIXED64S: _json_numbers(_UINT64),
    Kind.UINT64S: _json_numbers(_UINT64),
}
