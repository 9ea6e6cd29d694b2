"""The list of all routes. Register an endpoint here, with one line."""

from collections.abc import Sequence
from http import HTTPStatus

from starlette.responses import JSONResponse, Response

from serving.contract.errors import RefusedError
from serving.endpoints import (
    dead_letters,
    detect,
    feedback,
    forecast,
    intake,
    loki,
    models,
    otlp,
    predict_failure,
    probes,
    remote_write,
    score_hypotheses,
    scrape,
    signals,
)
from serving.endpoints.route import Call, Route
from serving.http import pages
from serving.http.openapi import openapi
from serving.state.runtime import Runtime
from serving.state.work import Lane


def _openapi(runtime: Runtime, call: Call) -> Response:
    return JSONResponse(openapi(ROUTES))


#: The API, in the order of its docs.
ROUTES: tuple[Route, ...] = (
    detect.ROUTE,
    detect.BATCH_ROUTE,
    forecast.ROUTE,
    predict_failure.ROUTE,
    score_hypotheses.ROUTE,
    signals.ROUTE,
    dead_letters.ROUTE,
    models.ROUTE,
    intake.EVENTS_ROUTE,
    intake.DEPLOYS_ROUTE,
    intake.ALERTS_ROUTE,
    remote_write.ROUTE,
    otlp.ROUTE,
    otlp.TRACES_ROUTE,
    otlp.LOGS_ROUTE,
    loki.ROUTE,
    feedback.ROUTE,
    scrape.ROUTE,
    probes.LIVE_ROUTE,
    probes.READY_ROUTE,
    Route(
        method="GET",
        path="/docs.json",
        summary="Show this API as OpenAPI 3.1.",
        handler=_openapi,
        lane=Lane.PAGES,
        public=True,
    ),
    pages.DOCS_ROUTE,
    pages.CONSOLE_ROUTE,
)


class RouteTable:
    """Finds the route of a request by path and method."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._by_path: dict[str, dict[str, Route]] = {}
        for route in (*routes, *pages.FILE_ROUTES):
            self._by_path.setdefault(route.path, {})[route.method] = route

    def find(self, method: str, path: str) -> Route:
        """The route of a request; HEAD is GET without the body.

        Raises:
            RefusedError: 404 when there is no such path, 405 when the path does not have this method.
        """
        methods = self._by_path.get(path)
        if methods is None:
            raise RefusedError(HTTPStatus.NOT_FOUND, "there is no such path; GET /docs.json lists all paths")
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = ", ".join(sorted(methods))
            raise RefusedError(
                HTTPStatus.METHOD_NOT_ALLOWED, f"{path} accepts only {allowed}", {"Allow": allowed}
            )
        return route
