"""The metrics of the service itself for Prometheus, in base units.

No label contains a tenant, a key, or a path that is not in the list of routes.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from serving.state.intake import Intake

#: From a tenth of the promised median of 50 ms to well beyond the promised p99 of 200 ms.
_LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0)
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The metrics of one service process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "forewarn_http_requests",
            "Finished requests.",
            ["method", "route", "code"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "forewarn_http_request_duration_seconds",
            "Time from the request line to the last byte of the response.",
            ["route"],
            buckets=_LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        self.in_progress = Gauge(
            "forewarn_http_requests_in_progress", "Requests in progress.", registry=self._registry
        )
        self.batch_size = Histogram(
            "forewarn_detect_batch_size",
            "How many /detect requests were scored in one batch.",
            buckets=_BATCH_BUCKETS,
            registry=self._registry,
        )
        self.points = Counter("forewarn_points_scored", "Values that were scored.", registry=self._registry)
        self.model_loads = Counter(
            "forewarn_model_loads",
            "Loads of model bundles.",
            ["kind", "outcome"],
            registry=self._registry,
        )
        self.intake = Intake(self._registry)
        self.tenants = Gauge("forewarn_tenants_open", "Tenants in memory.", registry=self._registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one response; `route` is a path of the list of routes, never the path that a client sent."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """The exposition format of Prometheus."""
        return generate_latest(self._registry)
