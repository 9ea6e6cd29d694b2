"""`GET /signals`: the signals of one tenant, newest first, page by page."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.domain import Signal, SignalKind
from core.errors import InputError
from core.storable import Name
from models.words.page import signal_page
from serving.contract.requests import Moment
from serving.contract.responses import SignalsResponse
from serving.endpoints.route import Route, for_tenant
from serving.state.tenants import TenantContext


class SignalsQuery(BaseModel):
    """The query string of `/signals`; values are converted from text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Name | None = Field(
        None, description="Only the signal with this id (or its beginning). Other parameters are ignored."
    )
    kind: SignalKind | None = Field(None, description="Only signals of this kind.")
    service: Name | None = Field(None, description="Only signals of this service.")
    since: Moment | None = Field(
        None, description="Only signals that started, or still lasted, at or after this ISO 8601 time."
    )
    suppressed: bool | None = Field(
        None, description="true: only signals that a filter suppressed; false: only signals that passed."
    )
    stopped: bool | None = Field(
        None,
        description="The old name of `suppressed`. It is removed in the next release.",
        json_schema_extra={"deprecated": True},
    )
    limit: Annotated[int, Field(ge=1, le=1_000, description="How many signals a page holds.")] = 100
    cursor: Annotated[
        str | None, Field(max_length=500, description="`next_cursor` of the previous page.")
    ] = None

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if self.suppressed is not None and self.stopped is not None:
            raise ValueError("should have `suppressed` or its old name `stopped`, not both")
        return self

    @property
    def deprecation(self) -> str | None:
        return None if self.stopped is None else "The parameter stopped is deprecated; use suppressed."


def list_signals(context: TenantContext, query: SignalsQuery) -> SignalsResponse:
    """One page of signals.

    Raises:
        InputError: the cursor is not one that this service returned.
        NotFoundError: this tenant has no signal with the given id.
    """
    if query.id is not None:
        signal = context.platform.store.signals.get(query.id)
        return SignalsResponse(signals=(signal,), next_cursor=None, in_words=signal_page(signal))
    after = None if query.cursor is None else _position_of(query.cursor)
    found = context.platform.store.signals.find(
        kind=query.kind,
        service=query.service,
        since=query.since,
        suppressed=query.stopped if query.suppressed is None else query.suppressed,
        limit=query.limit + 1,
        after=after,
    )
    page = tuple(found[: query.limit])
    more = len(found) > query.limit
    return SignalsResponse(signals=page, next_cursor=_cursor_after(page[-1]) if more else None)


def _cursor_after(signal: Signal) -> str:
    """The position of the last signal of a page, as text without a documented format."""
    text = f"{signal.started_at.isoformat()}|{signal.signal_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _position_of(cursor: str) -> tuple[datetime, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        moment, _, signal_id = text.partition("|")
        position = datetime.fromisoformat(moment).astimezone(UTC), signal_id
    except (binascii.Error, ValueError, OverflowError):
        raise InputError("cursor: should be the next_cursor of the previous page") from None
    if not signal_id.isalnum() or position[0].year < 1970:
        raise InputError("cursor: should be the next_cursor of the previous page")
    return position


ROUTE = Route(
    method="GET",
    path="/signals",
    summary="List signals, newest first.",
    handler=for_tenant(list_signals),
    request=SignalsQuery,
    response=SignalsResponse,
)
