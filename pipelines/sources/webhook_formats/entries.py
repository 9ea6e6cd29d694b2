"""What the webhook formats have in common: fields with their checks, and parsing entry by entry."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import polars as pl
from pydantic import AfterValidator, AwareDatetime, Field, ValidationError

from core.domain import Event, Incident
from core.errors import InputError
from pipelines.stores.dead_letters import REJECTED

Item = TypeVar("Item", Event, Incident)


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time lies outside the calendar") from None


#: A time with a zone, as UTC.
Time = Annotated[AwareDatetime, AfterValidator(_to_utc)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


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
