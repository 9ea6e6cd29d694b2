"""Every route of the service, in one table: the door checks against it and the API docs are made from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from pydantic import BaseModel

from serving.contract import requests, responses
from serving.contract.errors import RefusedError

JSON = "application/json"
PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One way in.

    Attributes:
        request: what the body must be; null when there is none.
        media_type: JSON, or protobuf, which Prometheus sends compressed with snappy.
        answer: the dataclass that is answered; null for what is not JSON.
        public: answers without a key, and must say nothing of any tenant.
        query: name -> description of the query parameters.
    """

    method: str
    path: str
    summary: str
    request: type[BaseModel] | None = None
    media_type: str = JSON
    answer: type | None = None
    public: bool = False
    query: Mapping[str, str] = field(default_factory=dict)


ROUTES = (
    Route(
        method="POST",
        path="/detect",
        summary="Judge one value or several, now.",
        request=requests.DetectRequest,
        answer=responses.DetectResponse,
    ),
    Route(
        method="POST",
        path="/detect_batch",
        summary="Judge stretches of many series at once.",
        request=requests.DetectBatchRequest,
        answer=responses.DetectResponse,
    ),
    Route(
        method="POST",
        path="/forecast",
        summary="How one series will go on, with intervals.",
        request=requests.ForecastRequest,
        answer=responses.ForecastResponse,
    ),
    Route(
        method="POST",
        path="/predict_failure",
        summary="Whether services will fail, when and why.",
        request=requests.PredictFailureRequest,
        answer=responses.PredictFailureResponse,
    ),
    Route(
        method="POST",
        path="/score_hypotheses",
        summary="Score the possible causes of one incident.",
        request=requests.ScoreHypothesesRequest,
        answer=responses.ScoreHypothesesResponse,
    ),
    Route(
        method="GET",
        path="/signals",
        summary="Findings, newest first.",
        answer=responses.SignalsResponse,
        query={
            "id": "only this one, whatever else is asked; 404 when there is none",
            "kind": "anomaly, missing, breach or failure_risk",
            "service": "only of this service",
            "since": "only those that started at or after this ISO 8601 time",
            "stopped": "true: only those that a filter suppressed; false: only those that were sent",
            "limit": "how many to a page, 1 to 1000 (100)",
            "cursor": "next_cursor of the page before",
        },
    ),
    Route(
        method="GET",
        path="/models",
        summary="Which versions answer now.",
        answer=responses.ModelsResponse,
    ),
    Route(
        method="POST",
        path="/events",
        summary="Tell of deploys, config changes and maintenance windows.",
        request=requests.EventsRequest,
        answer=responses.EventsResponse,
    ),
    Route(
        method="POST",
        path="/webhooks/deploys",
        summary="The webhook of a deploy tool, as GitHub sends it or in the plain form.",
        request=requests.DeploysWebhook,
        answer=responses.WebhookResponse,
    ),
    Route(
        method="POST",
        path="/webhooks/alerts",
        summary="The webhook of Alertmanager: incidents to learn from.",
        request=requests.AlertsWebhook,
        answer=responses.WebhookResponse,
    ),
    Route(
        method="POST",
        path="/api/v1/write",
        summary="What Prometheus pushes by remote_write, version 1; 204 when it is stored.",
        request=requests.RemoteWrite,
        media_type=PROTOBUF,
    ),
    Route(
        method="POST",
        path="/feedback",
        summary="Give feedback on a signal: was it real?",
        request=requests.FeedbackRequest,
        answer=responses.FeedbackResponse,
    ),
    Route(
        method="GET",
        path="/metrics",
        summary="Prometheus metrics: the service's own health; with a key, the tenant's scores too.",
        public=True,
    ),
    Route(method="GET", path="/livez", summary="The process is alive.", public=True),
    Route(method="GET", path="/readyz", summary="The database answers and the service can too.", public=True),
    Route(method="GET", path="/docs.json", summary="This API as OpenAPI 3.1.", public=True),
    Route(method="GET", path="/docs", summary="This API to read and to try.", public=True),
    Route(method="GET", path="/", summary="The console.", public=True),
)

#: Path -> our own page or script, in `serving/console`.
PAGES = {
    "/": "console.html",
    "/console.js": "console.js",
    "/docs": "docs.html",
    "/docs/start.js": "docs.js",
}
#: Swagger UI as BentoML ships it: nothing is fetched from elsewhere.
SWAGGER_FILES = ("swagger-ui.css", "swagger-ui-bundle.js")
_FILE_PATHS = [path for path in PAGES if path.endswith(".js")] + [f"/docs/{name}" for name in SWAGGER_FILES]
_FILES = tuple(
    Route(method="GET", path=path, summary="A file of a page.", public=True) for path in _FILE_PATHS
)

_BY_PATH: dict[str, dict[str, Route]] = {}
for _route in ROUTES + _FILES:
    _BY_PATH.setdefault(_route.path, {})[_route.method] = _route


def route_of(method: str, path: str) -> Route:
    """The route of a request; HEAD is GET without the body.

    Raises:
        RefusedError: 404 when there is no such path, 405 when it is not to be used in this way.
    """
    methods = _BY_PATH.get(path)
    if methods is None:
        raise RefusedError(
            HTTPStatus.NOT_FOUND, "there is no such path; GET /docs.json lists all that there are"
        )
    route = methods.get("GET" if method == "HEAD" else method)
    if route is None:
        allowed = ", ".join(sorted(methods))
        raise RefusedError(
            HTTPStatus.METHOD_NOT_ALLOWED, f"{path} answers {allowed} only", {"Allow": allowed}
        )
    return route
