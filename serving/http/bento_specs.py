"""How BentoML hands a request to an endpoint and takes its answer, without touching either.

The door (`serving/http/admission.py`) has validated the request already and left it in the ASGI scope. BentoML's own
parsing would read the body again, coerce strings to numbers, log whole tracebacks of bad input and answer
them as a JSON array; and its batching forgets which request, and so which tenant, an input came from.
Here the unit that is batched is a `Call`, which carries its tenant with it.
"""

from typing import Any, ClassVar

from bentoml import IODescriptor
from starlette.requests import Request
from starlette.responses import Response

from serving.http.admission import CALL, Call


class OneCall(IODescriptor):
    """The validated call."""

    # BentoML passes what is parsed as the only argument when this is set.
    __root_input__: ClassVar[bool] = True

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Call:
        call: Call = request.scope[CALL]
        return call


class CallBatch(OneCall):
    """The validated call as a batch of one, for BentoML to join with others."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> list[Call]:  # type: ignore[override]
        return [request.scope[CALL]]


class OneResponse(IODescriptor):
    """A finished response."""


class ResponseBatch(OneResponse):
    """This request's share of a batch: one finished response."""

    @classmethod
    async def to_http_response(cls, obj: list[Response], serde: Any) -> Response:
        return obj[0]
