"""Pass requests and responses through BentoML unchanged.

Admission (`serving/http/admission.py`) has validated the request and left it in the ASGI scope. BentoML's own parsing
would read the body again, convert strings to numbers, log tracebacks of bad input and return errors as a JSON array.
Its batching does not keep from which request, and so from which tenant, an input came. Here the unit of a batch is a
`Call`, which holds its tenant.
"""

from typing import Any, ClassVar

from bentoml import IODescriptor
from starlette.requests import Request
from starlette.responses import Response

from serving.endpoints.route import Call
from serving.http.admission import CALL


class OneCall(IODescriptor):
    """The validated call."""

    # With this, BentoML passes the parsed value as the only argument.
    __root_input__: ClassVar[bool] = True

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> Call:
        call: Call = request.scope[CALL]
        return call


class CallBatch(OneCall):
    """The validated call as a batch of one, which BentoML joins with others."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: Any) -> list[Call]:  # type: ignore[override]
        return [request.scope[CALL]]


class OneResponse(IODescriptor):
    """A finished response."""


class ResponseBatch(OneResponse):
    """The response of this request, taken from the batch."""

    @classmethod
    async def to_http_response(cls, obj: list[Response], serde: Any) -> Response:
        return obj[0]
