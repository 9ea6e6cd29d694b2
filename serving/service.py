"""The BentoML service: each endpoint hands a validated call to one plain function."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import bentoml
from starlette.responses import Response

from core.errors import ForewarnError
from core.settings import read_settings
from serving.contract.errors import response_to
from serving.contract.requests import (
    DetectBatchRequest,
    DetectRequest,
    ForecastRequest,
    PredictFailureRequest,
    ScoreHypothesesRequest,
)
from serving.contract.responses import DetectResponse, respond
from serving.endpoints.detect import detect_batch, detect_each
from serving.endpoints.forecast import forecast
from serving.endpoints.predict_failure import predict_failure
from serving.endpoints.score_hypotheses import score_hypotheses
from serving.http.admission import Admission, Call
from serving.http.bento_specs import CallBatch, OneCall, OneResponse, ResponseBatch
from serving.http.web import web_app
from serving.state.runtime import Runtime

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

#: Opened when the service starts; importing this module connects to nothing.
runtime = Runtime()


def detect_calls(runtime: Runtime, calls: Sequence[Call]) -> list[Response]:
    """Answer the calls of one batch, tenant by tenant, so that no model and no store sees another's."""
    responses: list[Response | None] = [None] * len(calls)
    by_tenant: dict[str, list[int]] = {}
    for position, call in enumerate(calls):
        by_tenant.setdefault(call.holder, []).append(position)
    for tenant, positions in by_tenant.items():
        requests = [calls[position].asked(DetectRequest) for position in positions]
        for position, answer in zip(positions, detect_each(runtime.context(tenant), requests), strict=True):
            if isinstance(answer, DetectResponse):
                runtime.metrics.points.inc(len(answer.results))
            responses[position] = (
                response_to(answer) if isinstance(answer, ForewarnError) else respond(answer)
            )
    return [response for response in responses if response is not None]


def answered(answer: Callable[[], "DataclassInstance"]) -> Response:
    """What `answer` returns as JSON, or the one sentence of why not."""
    try:
        return respond(answer())
    except ForewarnError as error:
        return response_to(error)


@bentoml.service(
    name="forewarn",
    # Requests that wait for the database do not hold up those that only compute.
    threads=8,
    traffic={"timeout": 60},
    # Ours instead: BentoML's carry the path as it was sent as a label, so anyone can make them grow.
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
        route="/detect",
        batchable=True,
        max_batch_size=256,
        # Far above the service time: BentoML answers 503 to what it thinks cannot make it.
        max_latency_ms=10_000,
        input_spec=CallBatch,
        output_spec=ResponseBatch,
    )
    def detect(self, calls: list[Call]) -> list[Response]:
        """Judge the calls of one batch, each by the model of its own tenant."""
        runtime.metrics.batch_size.observe(len(calls))
        return detect_calls(runtime, calls)

    @bentoml.api(route="/detect_batch", input_spec=OneCall, output_spec=OneResponse)
    def detect_batch(self, call: Call) -> Response:
        return answered(lambda: detect_batch(runtime.context(call.holder), call.asked(DetectBatchRequest)))

    @bentoml.api(route="/forecast", input_spec=OneCall, output_spec=OneResponse)
    def forecast(self, call: Call) -> Response:
        return answered(lambda: forecast(runtime.context(call.holder), call.asked(ForecastRequest)))

    @bentoml.api(route="/predict_failure", input_spec=OneCall, output_spec=OneResponse)
    def predict_failure(self, call: Call) -> Response:
        return answered(
            lambda: predict_failure(runtime.context(call.holder), call.asked(PredictFailureRequest))
        )

    @bentoml.api(route="/score_hypotheses", input_spec=OneCall, output_spec=OneResponse)
    def score_hypotheses(self, call: Call) -> Response:
        return answered(lambda: score_hypotheses(call.holder, call.asked(ScoreHypothesesRequest)))


# What the decorator makes of the class; BentoML's decorators carry no types.
_service: Any = Forewarn
_service.mount_asgi_app(web_app(runtime), path="/", name="web")
_service.add_asgi_middleware(Admission, runtime=runtime)


def application() -> Any:
    """The ASGI application, as `bentoml serve` builds it."""
    return _service.to_asgi()
