"""`GET /livez` and `GET /readyz`: the probes of an orchestrator. They wait for no other request."""

from http import HTTPStatus

from starlette.responses import PlainTextResponse, Response

from serving.contract.errors import error_response
from serving.endpoints.route import Route
from serving.state.runtime import Runtime

#: Probes come every few seconds.
_RETRY_AFTER_S = 5


async def _live(runtime: Runtime) -> Response:
    return PlainTextResponse("\n")


async def _ready(runtime: Runtime) -> Response:
    if await runtime.ready_soon():
        return PlainTextResponse("\n")
    return error_response(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the service is not ready, because the database does not respond",
        {"Retry-After": str(_RETRY_AFTER_S)},
    )


LIVE_ROUTE = Route(
    method="GET", path="/livez", summary="Status 200 while the process runs.", probe=_live, public=True
)
READY_ROUTE = Route(
    method="GET",
    path="/readyz",
    summary="Status 200 while the database responds, else 503.",
    probe=_ready,
    public=True,
)
