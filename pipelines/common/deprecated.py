"""Old field names of signals, which receivers still get for one release beside the new ones.

| old | new |
|---|---|
| `gates`, with items `{gate, passed, reason}` | `filters`, with items `{name, passed, reason}` |
| `stopped_by` | `suppressed_by` |
"""

from collections.abc import Callable
from typing import Annotated, Any, cast

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from core.domain import Signal


def add_old_names(finding: dict[str, Any]) -> dict[str, Any]:
    """A signal or a scored point as JSON data, with the old names added."""
    if "filters" in finding:
        finding["gates"] = [
            {"gate": one["name"], "passed": one["passed"], "reason": one["reason"]}
            for one in finding["filters"]
        ]
    if "suppressed_by" in finding:
        finding["stopped_by"] = finding["suppressed_by"]
    return finding


class WithOldNames:
    """Pydantic annotation: serializes a dataclass with the old names as well, and describes them as deprecated."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        serialization = core_schema.wrap_serializer_function_ser_schema(_serialize)
        return cast(core_schema.CoreSchema, {**handler(source), "serialization": serialization})

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        described = handler(schema)
        properties = handler.resolve_ref_schema(described)["properties"]
        if "filters" in properties:
            properties["gates"] = {
                "type": "array",
                "items": {"type": "object"},
                "deprecated": True,
                "description": "The same as `filters`, with `gate` for `name`. It is removed in the next release.",
            }
        if "suppressed_by" in properties:
            properties["stopped_by"] = {
                **properties["suppressed_by"],
                "title": "Stopped By",
                "deprecated": True,
                "description": "The same as `suppressed_by`. It is removed in the next release.",
            }
        return described


def _serialize(value: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    return add_old_names(handler(value))


#: A signal as receivers get it.
SentSignal = Annotated[Signal, WithOldNames()]
