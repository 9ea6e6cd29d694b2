"""How an endpoint is declared: its route holds all that the service and its API docs need to know.

`serving/http/routes.py` lists the routes, one line each.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar, cast

from pydantic import BaseModel
from starlette.responses import Response

from core.errors import ForewarnError
from core.intake import PriorityLane
from serving.contract.deprecated import deprecation_headers
from serving.contract.errors import response_to
from serving.contract.responses import respond
from serving.state.intake import Receipt
from serving.state.runtime import Runtime
from serving.state.tenants import TenantContext
from serving.state.work import Lane

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

JSON = "application/json"
PROTOBUF = "application/x-protobuf"

Body = TypeVar("Body", bound=BaseModel)
#: What a handler takes: a request, or null on a route without one.
Input = TypeVar("Input", bound=BaseModel | None)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that passed admission.

    Attributes:
        tenant: null on a public route without a key.
        request: the validated body or query string; null when the route takes none.
        media_type, compression: of the body, as it was sent.
        message: the name of the protobuf message in the body, on a route that takes several.
        lane: where it is not the lane of the route.
        receipt: the handler of a route with a source counts there what it stored.
    """

    tenant: str | None
    request: BaseModel | None
    media_type: str = JSON
    compression: str = "identity"
    message: str = ""
    lane: PriorityLane | None = None
    receipt: Receipt = field(default_factory=Receipt, compare=False)

    @property
    def tenant_name(self) -> str:
        """The tenant, on a route that needs a key."""
        if self.tenant is None:
            raise RuntimeError("a route that needs a tenant was called without one")
        return self.tenant

    def request_as(self, kind: type[Body]) -> Body:
        """The validated request, as the type that the route declares."""
        if not isinstance(self.request, kind):
            raise TypeError(f"this route takes {kind.__name__}, not {type(self.request).__name__}")
        return self.request


Handler = Callable[[Runtime, Call], Response]
Probe = Callable[[Runtime], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How the calls of a route that arrive together are handled together.

    Attributes:
        run: the responses to several calls, in order.
        weigh: the size of a call.
        most: the size of a batch.
    """

    run: Callable[[Runtime, Sequence[Call]], Sequence[Response]]
    weigh: Callable[[Call], int]
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path.

    Attributes:
        summary: what the endpoint does; the API docs show it.
        handler: makes the response, in a thread of the pool `lane`.
        request: the type of the JSON body of a POST, or of the query string of a GET; null when there is none.
        media_type: of the body: JSON or protobuf.
        json_form: describes the body in JSON, where the route takes that beside `media_type`; else null.
        compressions: of the body; "identity" is none.
        messages: names of protobuf messages, one of which `proto` in the Content-Type may name; without it, the body is
            the first one. Empty: `proto` means nothing.
        response: the dataclass of the JSON response; null when the response is not JSON.
        errors: gives an error response the form that a protocol demands, for the type of the request; null: JSON.
        public: needs no key; its response must contain no data of a tenant.
        source: what the requests come from, where they bring input: it is counted under this name.
        lane_of: the lane of a request, where it depends on the body.
        optional_key: a public route that shows a tenant's data to the tenant's own key.
        batching: handles the calls that have arrived together, instead of `handler`.
        probe: makes the response at once, on the event loop, instead of `handler`.
    """

    method: str
    path: str
    summary: str
    handler: Handler | None = None
    request: type[BaseModel] | None = None
    media_type: str = JSON
    json_form: type[BaseModel] | None = None
    compressions: tuple[str, ...] = ("identity",)
    messages: tuple[str, ...] = ()
    response: type | None = None
    errors: Callable[[Response, str], Response] | None = None
    public: bool = False
    optional_key: bool = False
    lane: Lane | PriorityLane = Lane.READS
    source: str = ""
    lane_of: Callable[[BaseModel], PriorityLane] | None = None
    batching: Batching | None = None
    probe: Probe | None = None

    @property
    def media_types(self) -> tuple[str, ...]:
        """All types of a body that the route takes."""
        return (self.media_type,) if self.json_form is None else (self.media_type, JSON)

    @property
    def has_body(self) -> bool:
        return self.method == "POST" and self.request is not None

    def run(self, runtime: Runtime, call: Call) -> Response:
        """The response to a call; an expected error becomes an error response."""
        if self.handler is None:
            raise RuntimeError(f"{self.path} has no handler")
        try:
            return self.handler(runtime, call)
        except ForewarnError as error:
            return self.error(response_to(error), call.media_type)

    def error(self, response: Response, media_type: str) -> Response:
        """An error response in the form that the route has for it."""
        return response if self.errors is None else self.errors(response, media_type)


def for_tenant(handler: Callable[[TenantContext, Input], "DataclassInstance | None"]) -> Handler:
    """The handler of a route that needs the key of a tenant.

    Args:
        handler: gets the context of the tenant, and the validated request (null on a route without one). It returns
            the response as a dataclass; null becomes status 204.
    """

    def handle(runtime: Runtime, call: Call) -> Response:
        context = runtime.context(call.tenant_name)
        result = handler(context, cast(Input, call.request))
        return (
            Response(status_code=HTTPStatus.NO_CONTENT)
            if result is None
            else respond(result, deprecation_headers(call.request))
        )

    return handle
