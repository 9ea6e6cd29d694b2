"""The BentoML service: BentoML starts and stops the application that it mounts, and admission stands before it."""

from typing import Any

import bentoml
from bentoml._internal.server.http.traffic import TimeoutMiddleware
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

from core.settings import read_settings
from serving.http.admission import REQUEST_TIMEOUT_S, Admission
from serving.http.signatures import BodyDigests
from serving.http.web import web_app
from serving.state.runtime import Runtime

#: It is opened when the service starts; the import of this module connects to nothing.
runtime = Runtime()


@bentoml.service(
    name="forewarn",
    # Longer than our own timeout, so that clients get our error and not BentoML's.
    traffic={"timeout": 2 * REQUEST_TIMEOUT_S},
    # We have our own metrics. BentoML's have the path of each request as a label, so any client can add series.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Forewarn:
    """Anomaly detection, forecasting and failure prediction."""

    def __init__(self) -> None:
        if not runtime.is_open:
            runtime.open(read_settings())

    @bentoml.on_shutdown
    def close(self) -> None:
        runtime.close()


# The object that the decorator returns; BentoML's decorators have no types.
_service: Any = Forewarn
_service.mount_asgi_app(web_app(runtime), path="/", name="web")
# The first one gets a request first.
_service.add_asgi_middleware(BodyDigests, runtime=runtime)
_service.add_asgi_middleware(Admission, runtime=runtime)


def application() -> Any:
    """The ASGI application, as `bentoml serve` builds it, without BentoML's timeout and traces.

    BentoML starts a timer for each request and never cancels it, so the objects of each request would stay in memory
    for the whole timeout. Admission has a timeout of its own. Its traces go nowhere, and take a third of the time of
    the event loop under load.
    """
    app = _service.to_asgi()
    unused = (TimeoutMiddleware, OpenTelemetryMiddleware)
    app.user_middleware = [one for one in app.user_middleware if one.cls not in unused]
    return app
