"""`GET /dead_letters`: the rows of one tenant that were refused, by source and reason, and the newest of them."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from core.counts import DeadLetterCount
from core.dead_letters import DeadLetter, DeadLetterFilter
from core.storable import Text
from serving.contract.requests import Moment
from serving.endpoints.route import Route, for_tenant
from serving.state.tenants import TenantContext

#: Longer rows (bodies of webhooks) are cut, so that a response has a bounded size.
MAX_ROW_CHARS = 2_000


class DeadLettersQuery(BaseModel):
    """The query string of `/dead_letters`; values are converted from text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Text | None = Field(None, description="Only rows of this source, such as remote_write.")
    reason: Text | None = Field(None, description="Only rows whose reason contains this text.")
    since: Moment | None = Field(
        None, description="Only rows that were refused at or after this ISO 8601 time."
    )
    limit: Annotated[
        int, Field(ge=1, le=1_000, description="At most so many groups, and at most so many rows.")
    ] = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLettersResponse:
    """Refused rows.

    Attributes:
        groups: how many rows there are for each source and reason, the most frequent first.
        rows: the newest rows; long ones are cut.
    """

    groups: tuple[DeadLetterCount, ...]
    rows: tuple[DeadLetter, ...]


def list_dead_letters(context: TenantContext, query: DeadLettersQuery) -> DeadLettersResponse:
    """The refused rows that match the query."""
    which = DeadLetterFilter(source=query.source, reason=query.reason, since=query.since)
    dead_letters = context.platform.store.dead_letters
    return DeadLettersResponse(
        groups=tuple(dead_letters.by_reason(which, query.limit)),
        rows=tuple(dead_letters.list(query.limit, which, MAX_ROW_CHARS)),
    )


ROUTE = Route(
    method="GET",
    path="/dead_letters",
    summary="List the rows that were refused, by source and reason.",
    handler=for_tenant(list_dead_letters),
    request=DeadLettersQuery,
    response=DeadLettersResponse,
)
