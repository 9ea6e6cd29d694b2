"""What the webhook formats have in common: fields with their checks, and parsing entry by entry."""

import json
from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar

import polars as pl
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ValidationError

from core.alert_changes import AlertChange
from core.domain import Event, Incident
from core.errors import InputError
from core.storable import NAME_BYTES, Name, name_problem, storable_time
from pipelines.stores.dead_letters import REJECTED

Item = TypeVar("Item", Event, Incident, AlertChange)


def _null_if_unset(value: object) -> object:
    return None if isinstance(value, str) and value.startswith("0001-01-01T00:00:00") else value


#: A time with a zone, as UTC.
Time = Annotated[AwareDatetime, AfterValidator(storable_time)]
#: The same; null where a program written in Go has not set it.
OptionalTime = Annotated[Time | None, BeforeValidator(_null_if_unset)]


def _short(value: object) -> object:
    """One line that is short enough for a name."""
    if not isinstance(value, str):
        return value
    line = " ".join(value.split())
    # so many characters have at most `NAME_BYTES` in UTF-8
    return line if name_problem(line) is None else line[: NAME_BYTES // 4]


#: What people wrote as the title of an alert: line breaks become spaces, and long titles are cut.
Title = Annotated[Name, BeforeValidator(_short)]


def parse_entries(
    entries: Iterable[object], parse: Callable[[object], Item | None]
) -> tuple[tuple[Item, ...], pl.DataFrame]:
    """Parse each entry by itself, so that an invalid one does not keep the others out.

    Args:
        parse: returns null for an entry that is valid but changes nothing; raises ValidationError or InputError
            for an invalid one.
    Returns:
        The items, and the rejected entries (columns `row`, `reason`).
    """
    items: list[Item] = []
    rejected = []
    for entry in entries:
        try:
            item = parse(entry)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "entry"
            rejected.append((json.dumps(entry, sort_keys=True), f"{place}: {first['msg']}"))
        except InputError as error:
            rejected.append((json.dumps(entry, sort_keys=True), str(error)))
        else:
            items += [item] if item is not None else []
    return tuple(items), pl.DataFrame(rejected, schema=REJECTED, orient="row")
