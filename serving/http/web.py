"""The endpoints that BentoML does not call, as a Starlette application."""

from collections.abc import Callable, Sequence

from starlette import routing
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from serving.endpoints.route import Call, Route
from serving.http.admission import CALL
from serving.http.pages import FILE_ROUTES
from serving.http.routes import ROUTES
from serving.state.runtime import Runtime


def web_app(runtime: Runtime, routes: Sequence[Route] = ROUTES) -> Starlette:
    """A Starlette application for BentoML to mount."""
    return Starlette(
        routes=[
            routing.Route(route.path, _endpoint(runtime, route), methods=[route.method])
            for route in (*routes, *FILE_ROUTES)
            if route.handler is not None and not route.by_bento
        ]
    )


def _endpoint(runtime: Runtime, route: Route) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        call: Call = request.scope[CALL]
        return route.run(runtime, call)

    return endpoint
