"""`GET /signals`: findings of one tenant, newest first, page by page."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import QueryParams

from core.domain import Signal, SignalKind
from core.errors import InputError
from models.words.page import signal_page
from serving.contract.errors import sentence_of
from serving.contract.requests import Moment, Name
from serving.contract.responses import SignalsResponse
from serving.state.tenants import TenantContext


class SignalsQuery(BaseModel):
    """The query string; texts are read as what they stand for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Name | None = None
    kind: SignalKind | None = None
    service: Name | None = None
    since: Moment | None = None
    stopped: bool | None = None
    limit: Annotated[int, Field(ge=1, le=1_000)] = 100
    cursor: Annotated[str, Field(max_length=500)] | None = None


def query_of(params: QueryParams) -> SignalsQuery:
    """The query string, checked.

    Raises:
        InputError: a parameter is unknown, is there twice, or has a wrong value.
    """
    pairs = params.multi_items()
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name}: is given more than once")
    try:
        return SignalsQuery.model_validate(dict(pairs))
    except ValidationError as error:
        raise InputError(sentence_of(error)) from None


def list_signals(context: TenantContext, query: SignalsQuery) -> SignalsResponse:
    """One page.

    Raises:
        InputError: the cursor is not one that this service gave.
        NotFoundError: an id was asked for and this tenant has no such signal.
    """
    if query.id is not None:
        signal = context.platform.store.signals.get(query.id)
        return SignalsResponse(signals=(signal,), next_cursor=None, in_words=signal_page(signal))
    after = None if query.cursor is None else _position_of(query.cursor)
    found = context.platform.store.signals.find(
        kind=query.kind,
        service=query.service,
        since=query.since,
        suppressed=query.stopped,
        limit=query.limit + 1,
        after=after,
    )
    page = tuple(found[: query.limit])
    more = len(found) > query.limit
    return SignalsResponse(signals=page, next_cursor=_cursor_after(page[-1]) if more else None)


def _cursor_after(signal: Signal) -> str:
    """Where a page ends, as a text that callers need not understand."""
    text = f"{signal.started_at.isoformat()}|{signal.signal_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _position_of(cursor: str) -> tuple[datetime, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        moment, _, signal_id = text.partition("|")
        position = datetime.fromisoformat(moment).astimezone(UTC), signal_id
    except (binascii.Error, ValueError, OverflowError):
        raise InputError("cursor: should be the next_cursor of the page before") from None
    if not signal_id.isalnum() or position[0].year < 1970:
        raise InputError("cursor: should be the next_cursor of the page before")
    return position
