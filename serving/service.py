"""The BentoML service: BentoML calls the endpoints that use models, and mounts the application with all others."""

from collections.abc import Sequence
from typing import Any

import bentoml
from starlette.responses import Response

from core.errors import ForewarnError
from core.settings import read_settings
from serving.contract.errors import response_to
from serving.contract.requests import DetectRequest
from serving.contract.responses import DetectResponse, respond
from serving.endpoints.detect import BATCH_ROUTE as DETECT_BATCH
from serving.endpoints.detect import ROUTE as DETECT
from serving.endpoints.detect import detect_each
from serving.endpoints.forecast import ROUTE as FORECAST
from serving.endpoints.predict_failure import ROUTE as PREDICT_FAILURE
from serving.endpoints.route import Call
from serving.endpoints.score_hypotheses import ROUTE as SCORE_HYPOTHESES
from serving.http.admission import Admission
from serving.http.bento_specs import CallBatch, OneCall, OneResponse, ResponseBatch
from serving.http.web import web_app
from serving.state.runtime import Runtime

#: It is opened when the service starts; the import of this module connects to nothing.
runtime = Runtime()


def detect_calls(runtime: Runtime, calls: Sequence[Call]) -> list[Response]:
    """The responses to the calls of one batch, tenant by tenant: no model or store sees the data of another tenant."""
    responses: list[Response | None] = [None] * len(calls)
    by_tenant: dict[str, list[int]] = {}
    for position, call in enumerate(calls):
        by_tenant.setdefault(call.tenant_name, []).append(position)
    for tenant, positions in by_tenant.items():
        requests = [calls[position].request_as(DetectRequest) for position in positions]
        outcomes = detect_each(runtime.context(tenant), requests)
        for position, outcome in zip(positions, outcomes, strict=True):
            if isinstance(outcome, DetectResponse):
                runtime.metrics.points.inc(len(outcome.results))
            responses[position] = (
                response_to(outcome) if isinstance(outcome, ForewarnError) else respond(outcome)
            )
    return [response for response in responses if response is not None]


@bentoml.service(
    name="forewarn",
    # Requests that only compute do not wait for those that read the database.
    threads=8,
    traffic={"timeout": 60},
    # We have our own metrics. BentoML's have the path of each request as a label, so any client can add series.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Forewarn:
    """Anomaly detection, forecasting and failure prediction."""

    def __init__(self) -> None:
        if not runtime.is_open:
            runtime.open(read_settings())

    async def __is_ready__(self) -> bool:
        return await runtime.ready_soon()

    @bentoml.on_shutdown
    def close(self) -> None:
        runtime.close()

    @bentoml.api(
        route=DETECT.path,
        batchable=True,
        max_batch_size=256,
        # Far above the service time, because BentoML refuses (503) requests that it expects to take longer.
        max_latency_ms=10_000,
        input_spec=CallBatch,
        output_spec=ResponseBatch,
    )
    def detect(self, calls: list[Call]) -> list[Response]:
        """Score the calls of one batch, each with the model of its own tenant."""
        runtime.metrics.batch_size.observe(len(calls))
        return detect_calls(runtime, calls)

    @bentoml.api(route=DETECT_BATCH.path, input_spec=OneCall, output_spec=OneResponse)
    def detect_batch(self, call: Call) -> Response:
        return DETECT_BATCH.run(runtime, call)

    @bentoml.api(route=FORECAST.path, input_spec=OneCall, output_spec=OneResponse)
    def forecast(self, call: Call) -> Response:
        return FORECAST.run(runtime, call)

    @bentoml.api(route=PREDICT_FAILURE.path, input_spec=OneCall, output_spec=OneResponse)
    def predict_failure(self, call: Call) -> Response:
        return PREDICT_FAILURE.run(runtime, call)

    @bentoml.api(route=SCORE_HYPOTHESES.path, input_spec=OneCall, output_spec=OneResponse)
    def score_hypotheses(self, call: Call) -> Response:
        return SCORE_HYPOTHESES.run(runtime, call)


# The object that the decorator returns; BentoML's decorators have no types.
_service: Any = Forewarn
_service.mount_asgi_app(web_app(runtime), path="/", name="web")
_service.add_asgi_middleware(Admission, runtime=runtime)


def application() -> Any:
    """The ASGI application, as `bentoml serve` builds it."""
    return _service.to_asgi()
