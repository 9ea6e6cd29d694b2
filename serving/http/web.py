"""The routes that are not model endpoints: signals, intake, metrics, docs and the console."""

from collections.abc import Callable
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from core.errors import ForewarnError
from serving.contract.errors import response_to
from serving.contract.requests import (
    AlertsWebhook,
    DeploysWebhook,
    EventsRequest,
    FeedbackRequest,
    RemoteWrite,
)
from serving.contract.responses import ModelsResponse, respond
from serving.endpoints.intake import take_alerts, take_deploys, take_events, take_feedback, take_remote_write
from serving.endpoints.scrape import tenant_metrics
from serving.endpoints.signals import list_signals, query_of
from serving.http.admission import CALL, Call
from serving.http.openapi import openapi
from serving.http.routes import PAGES, SWAGGER_FILES
from serving.state.runtime import Runtime

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: The pages load nothing from elsewhere and cannot be framed.
_PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def web_app(runtime: Runtime) -> Starlette:
    """A Starlette application for BentoML to mount."""

    def signals(request: Request) -> Response:
        query = query_of(request.query_params)
        return respond(list_signals(runtime.context(_call(request).holder), query))

    def models(request: Request) -> Response:
        return respond(ModelsResponse(models=runtime.context(_call(request).holder).models.in_use()))

    def events(request: Request) -> Response:
        call = _call(request)
        return respond(take_events(runtime.context(call.holder), call.asked(EventsRequest)))

    def deploys(request: Request) -> Response:
        call = _call(request)
        return respond(take_deploys(runtime.context(call.holder), call.asked(DeploysWebhook)))

    def alerts(request: Request) -> Response:
        call = _call(request)
        return respond(take_alerts(runtime.context(call.holder), call.asked(AlertsWebhook)))

    def remote_write(request: Request) -> Response:
        call = _call(request)
        take_remote_write(runtime.context(call.holder), call.asked(RemoteWrite))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    def feedback(request: Request) -> Response:
        call = _call(request)
        return respond(take_feedback(runtime.context(call.holder), call.asked(FeedbackRequest)))

    def metrics(request: Request) -> Response:
        text = runtime.metrics.text()
        tenant = _call(request).tenant
        if tenant is not None:
            text += tenant_metrics(runtime.context(tenant))
        return Response(text, headers={"Content-Type": METRICS_TYPE})

    def docs_json(request: Request) -> Response:
        return JSONResponse(openapi())

    return Starlette(
        routes=[
            Route("/signals", _answered(signals)),
            Route("/models", _answered(models)),
            Route("/events", _answered(events), methods=["POST"]),
            Route("/webhooks/deploys", _answered(deploys), methods=["POST"]),
            Route("/webhooks/alerts", _answered(alerts), methods=["POST"]),
            Route("/api/v1/write", _answered(remote_write), methods=["POST"]),
            Route("/feedback", _answered(feedback), methods=["POST"]),
            Route("/metrics", _answered(metrics)),
            Route("/docs.json", docs_json),
            *(Route(path, _page(name)) for path, name in PAGES.items()),
            *(Route(f"/docs/{name}", _swagger(name)) for name in SWAGGER_FILES),
        ]
    )


def _call(request: Request) -> Call:
    call: Call = request.scope[CALL]
    return call


def _answered(endpoint: Callable[[Request], Response]) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        try:
            return endpoint(request)
        except ForewarnError as error:
            return response_to(error)

    return answer


def _page(name: str) -> Callable[[Request], Response]:
    kind = "text/javascript" if name.endswith(".js") else "text/html"

    def page(request: Request) -> Response:
        return Response(_page_text(name), media_type=kind, headers=_PAGE_HEADERS)

    return page


@cache
def _page_text(name: str) -> str:
    return (files("serving") / "console" / name).read_text(encoding="utf-8")


def _swagger(name: str) -> Callable[[Request], Response]:
    """A file of Swagger UI as BentoML ships it; BentoML's own page around it calls an analytics service."""

    def swagger(request: Request) -> Response:
        import bentoml

        folder = Path(bentoml.__file__).parent / "_internal" / "server" / "static_content"
        return FileResponse(folder / name, headers=_PAGE_HEADERS)

    return swagger
