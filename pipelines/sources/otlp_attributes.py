"""Attributes of OpenTelemetry as labels, and which attributes of a resource become labels.

A resource describes its entity with dozens of attributes, such as the version of the SDK or the arguments of the
process. Those that only describe are left out, because a series would change its identity with each of them. All
others stay, because exporters use names of their own for what they measure (`rabbitmq.queue.name`).

References:
    https://opentelemetry.io/docs/specs/semconv/resource/
    https://opentelemetry.io/docs/specs/otel/common/#attribute
"""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import InputError
from pipelines.sources.otlp_messages import ANY_VALUE, KEY_VALUE, MALFORMED, VALUES, Encoding

#: Values within values; deeper ones are errors or attacks.
MAX_DEPTH = 16
#: Attributes of a resource that describe and do not identify, by the start of their names ...
_DESCRIBING = (
    "telemetry.",
    "otel.",
    "os.",
    "process.",
    "webengine.",
    "browser.",
    "user_agent.",
    "server.",
    "net.host.",
    "http.scheme",
    "url.",
    "vcs.",
    "cicd.",
    "oci.",
    "artifact.",
    "cloud.platform",
    "cloud.provider",
    "container.image.",
    "container.command",
    "container.label",
    "container.runtime",
    "deployment.id",
    "deployment.status",
    "host.arch",
    "host.cpu.",
    "host.image.",
    "host.ip",
    "host.mac",
    "host.type",
)
#: ... by a part of them ...
_DESCRIBING_PARTS = (".label.", ".labels.", ".annotation.", ".annotations.", ".tag.", ".tags.")
#: ... or by their last word.
_DESCRIBING_ENDS = (
    ".version",
    ".description",
    ".start_time",
    ".creation_time",
    ".creation_timestamp",
    ".ip",
    ".restart_count",
)
#: They identify what is measured where the resource names no service, as in the metrics of a host's processes.
_OF_PROCESSES = ("process.pid", "process.executable.name")


def is_identifying(name: str, *, names_service: bool) -> bool:
    """Whether an attribute of a resource becomes a label.

    Args:
        names_service: whether the resource has `service.name`.

    Examples:
        >>> [is_identifying(name, names_service=True) for name in ("host.name", "telemetry.sdk.name")]
        [True, False]
    """
    if name in _OF_PROCESSES:
        return not names_service
    return not (
        name.startswith(_DESCRIBING)
        or name.endswith(_DESCRIBING_ENDS)
        or any(part in name for part in _DESCRIBING_PARTS)
    )


def labels_of(encoding: Encoding, attributes: Sequence[Any]) -> dict[str, str]:
    """Attributes as labels. An attribute without a value is the same as no attribute.

    Raises:
        InputError: an attribute cannot be read, has no name, or comes twice.
    """
    labels: dict[str, str] = {}
    for raw in attributes:
        try:
            name, value = _name_and_value(encoding, raw)
        except MALFORMED as error:
            raise InputError(f"an attribute cannot be read: {error}") from error
        if name in labels:
            raise InputError(f"attribute {name!r} comes twice")
        labels[name] = value
    return {name: value for name, value in labels.items() if value}


def resource_labels_of(
    encoding: Encoding, attributes: Sequence[Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """The attributes of a resource that become labels, and all of them.

    Raises:
        InputError: an attribute that may identify the entity cannot be read.
    """
    every: dict[str, str] = {}
    for raw in attributes:
        try:
            every |= labels_of(encoding, [raw])
        except InputError:
            if _may_identify(encoding, raw):
                raise
    names_service = "service.name" in every
    kept = {name: value for name, value in every.items() if is_identifying(name, names_service=names_service)}
    return kept, every


def _may_identify(encoding: Encoding, raw: Any) -> bool:
    try:
        name = encoding.read(raw, KEY_VALUE).get("key", "")
    except MALFORMED:
        return True
    return is_identifying(name, names_service=True)


def text_of(encoding: Encoding, raw: Any) -> str:
    """An AnyValue as text: JSON if it is no text; empty where it is not set.

    Raises:
        MALFORMED: it cannot be read.
    """
    value = None if raw is None else _value(encoding, raw, MAX_DEPTH)
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _name_and_value(encoding: Encoding, raw: Any) -> tuple[str, str]:
    fields = encoding.read(raw, KEY_VALUE)
    name = fields.get("key", "")
    if not name:
        raise InputError("it has no name")
    return name, text_of(encoding, fields.get("value"))


def _value(encoding: Encoding, raw: Any, depth: int) -> Any:
    """An AnyValue as what JSON has; null where it is not set."""
    if raw is None:
        return None
    if not depth:
        raise InputError(f"it has more than {MAX_DEPTH} values within each other")
    fields: Mapping[str, Any] = encoding.read(raw, ANY_VALUE)
    for name in ("stringValue", "boolValue", "intValue", "doubleValue"):
        if name in fields:
            return fields[name]
    if "bytesValue" in fields:
        return base64.b64encode(fields["bytesValue"]).decode()
    if "arrayValue" in fields:
        values = encoding.read(fields["arrayValue"], VALUES).get("values", [])
        return [_value(encoding, one, depth - 1) for one in values]
    if "kvlistValue" in fields:
        pairs = [
            encoding.read(one, KEY_VALUE)
            for one in encoding.read(fields["kvlistValue"], VALUES).get("values", [])
        ]
        return {pair.get("key", ""): _value(encoding, pair.get("value"), depth - 1) for pair in pairs}
    return None
