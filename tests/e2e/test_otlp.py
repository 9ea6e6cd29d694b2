"""The OpenTelemetry SDK's metrics go to the service, which stores them for the tenant of the key."""

import gzip
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import polars as pl
import pytest
from e2e.fleet import Fleet
from fakes.otlp import as_json, gauge, number, request
from fakes.otlp_sdk import request_of
from fakes.remote_write import T0
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader, MetricsData
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from servers.service import environment_of

from core.clock import FixedClock
from core.domain import Series, SeriesKind
from core.settings import Settings
from flows.service_process import start_service
from pipelines.collect.pull import pull
from pipelines.processes.server_process import free_port
from pipelines.stores.store import Store
from pipelines.wiring import open_platform

METRICS = "/v1/metrics"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
GZIP = {"Content-Encoding": "gzip"}
#: Of the points that are built by hand, in seconds after `T0` of the fakes; they lie in the past.
GOOD = gauge("queue.depth", number(3, 0), number(4, 60))
BAD = gauge("", number(1, 0))


def posted(
    fleet: Fleet, tenant: str, body: bytes, headers: dict[str, str], url: str | None = None
) -> httpx.Response:
    key = fleet.keys.get(tenant) or fleet.tenancy.keys.create(tenant)
    return httpx.post(
        f"{url or fleet.url}{METRICS}",
        content=body,
        headers={**headers, "Authorization": f"Bearer {key}"},
        timeout=60,
        trust_env=False,
    )


def stored(store: Store) -> dict[str, tuple[Series, list[float]]]:
    """Metric -> its only series, and its values."""
    values: dict[int, list[float]] = defaultdict(list)
    end = datetime.now(UTC) + timedelta(minutes=1)
    for series_id, _, value in store.samples.read(end - timedelta(hours=1), end).iter_rows():
        values[series_id].append(value)
    return {one.metric: (one, values[one.series_id]) for one in store.series.find()}


def measured(*temporality: AggregationTemporality) -> list[MetricsData]:
    """Two collections of an application that the SDK measures."""
    preferred: dict[type, AggregationTemporality] = {Counter: temporality[0], Histogram: temporality[0]}
    reader = InMemoryMetricReader(preferred_temporality=preferred)
    provider = MeterProvider(
        metric_readers=[reader],
        resource=Resource.create(
            {"service.name": "checkout", "host.name": "web1", "service.instance.id": "a-1"}
        ),
        views=[View(instrument_name="db.duration", aggregation=ExponentialBucketHistogramAggregation())],
    )
    meter = provider.get_meter("shop.metrics", "1.0")
    hits = meter.create_counter("http.server.hits", unit="{hit}")
    active = meter.create_up_down_counter("http.server.active_requests", unit="{request}")
    duration = meter.create_histogram("http.server.request.duration", unit="s")
    queries = meter.create_histogram("db.duration", unit="ms")

    def memory(options: CallbackOptions) -> list[Observation]:
        return [Observation(512_000_000, {"pool": "heap"})]

    meter.create_observable_gauge("process.memory.usage", [memory], unit="By")
    found = []
    for turn in range(2):
        for n in range(100):
            hits.add(1, {"http.route": "/cart"})
            duration.record(0.001 * n, {"http.route": "/cart"})
            queries.record(10.0)
        active.add(1 if turn else 4)
        time.sleep(0.02)
        data = reader.get_metrics_data()
        assert data is not None
        found.append(data)
    provider.shutdown()
    return found


def test_what_the_sdk_measures_cumulatively_is_stored(fleet: Fleet) -> None:
    for data in measured(AggregationTemporality.CUMULATIVE):
        answer = posted(fleet, "otlp-cumulative", request_of(data).SerializeToString(), PROTOBUF)
        assert (answer.status_code, answer.content) == (200, b"")
    store = Store(fleet.tenancy.pool, "otlp-cumulative")
    found = stored(store)
    hits, rates = found["http.server.hits"]
    assert hits.name == ("checkout/http.server.hits{host.name=web1,http.route=/cart,service.instance.id=a-1}")
    assert (hits.kind, hits.unit, len(rates)) == (SeriesKind.COUNTER, "hits/s", 1)
    assert found["http.server.active_requests"][1] == [4.0, 5.0]
    memory, values = found["process.memory.usage"]
    assert (memory.unit, memory.labels["pool"], values) == ("bytes", "heap", [512e6, 512e6])
    assert len(found["http.server.request.duration_count"][1]) == 1
    assert "http.server.request.duration_p99" not in found
    assert store.dead_letters.count() == 0


def test_what_the_sdk_measures_as_deltas_has_quantiles(fleet: Fleet) -> None:
    for data in measured(AggregationTemporality.DELTA):
        answer = posted(fleet, "otlp-delta", gzip.compress(as_json(request_of(data))), {**JSON, **GZIP})
        assert (answer.status_code, answer.json()) == (200, {})
    found = stored(Store(fleet.tenancy.pool, "otlp-delta"))
    assert len(found["http.server.hits"][1]) == 2
    series, quantiles = found["http.server.request.duration_p90"]
    assert series.unit == "seconds"
    assert quantiles == [pytest.approx(0.09, abs=0.01)] * 2
    assert found["db.duration_p50"][1] == [pytest.approx(10.0, rel=0.01)] * 2


@pytest.fixture(scope="module")
def with_signals(fleet: Fleet) -> Iterator[tuple[Settings, str]]:
    """A service that computes golden signals."""
    settings = fleet.settings.model_copy(update={"serve_port": free_port(), "golden_signals": True})
    with start_service(settings, env=environment_of(settings)) as service:
        yield settings, service.url


@pytest.mark.parametrize("is_delta", [False, True], ids=["cumulative protobuf", "deltas in json"])
def test_golden_signals_are_computed_of_what_the_sdk_measures(
    fleet: Fleet, with_signals: tuple[Settings, str], is_delta: bool
) -> None:
    settings, url = with_signals
    tenant = f"otlp-signals-{is_delta}".lower()
    temporality = AggregationTemporality.DELTA if is_delta else AggregationTemporality.CUMULATIVE
    last = datetime.now(UTC) + timedelta(seconds=settings.prometheus_step_s + 90)
    later = gauge("queue.depth", number(1, (last - T0).total_seconds()))
    sent = [*map(request_of, measured(temporality)), request(later)]
    for message in sent:
        body = gzip.compress(as_json(message)) if is_delta else message.SerializeToString()
        answer = posted(fleet, tenant, body, {**JSON, **GZIP} if is_delta else PROTOBUF, url)
        assert answer.status_code == 200
        assert answer.content == (b"{}" if is_delta else b"")
    with open_platform(settings, tenant=tenant, clock=FixedClock(last)) as platform:
        pull(platform)
        step = timedelta(seconds=settings.prometheus_step_s)
        samples = platform.store.samples.read(last - 2 * step, last)
        found = {one.metric: one for one in platform.store.series.find()}
    requests = found["http_server_requests_per_second"]
    assert (requests.service, requests.unit) == ("checkout", "requests/s")
    values = {
        name: samples.filter(pl.col("series_id") == one.series_id)["value"].to_list()
        for name, one in found.items()
    }
    (traffic,) = values["http_server_requests_per_second"]
    (p90,) = values["http_server_request_duration_p90_seconds"]
    assert values["http_server_active_requests"] == [5.0]
    # an exponential histogram: all queries took 10 ms, in the half octave from 8 to 11.3
    (queries,) = values["db_duration_p50_milliseconds"]
    assert 8 < queries < 11.4
    # 1 of 100 requests took 0 s, and the SDK's next bound is 5
    assert p90 == pytest.approx(5 * (90 - 1) / 99, rel=1e-9)
    if is_delta:  # both collections
        assert traffic * settings.prometheus_step_s == pytest.approx(200, rel=1e-9)
    assert traffic > 0


@pytest.mark.parametrize("is_json", [False, True], ids=["protobuf", "json"])
def test_good_points_are_stored_and_bad_ones_counted_in_the_response(fleet: Fleet, is_json: bool) -> None:
    message = request(GOOD, BAD)
    body, headers = (as_json(message), JSON) if is_json else (message.SerializeToString(), PROTOBUF)
    answer = posted(fleet, f"otlp-partial-{'json' if is_json else 'protobuf'}", body, headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == headers["Content-Type"]
    if is_json:
        partial = answer.json()["partialSuccess"]
        assert partial["rejectedDataPoints"] == "1"
        assert "no name" in partial["errorMessage"]
    else:
        success = ExportMetricsServiceResponse.FromString(answer.content).partial_success
        assert success.rejected_data_points == 1
        assert "no name" in success.error_message


BOMB = gzip.compress(bytes(40_000_000))
OK = request(GOOD).SerializeToString()


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"nonsense", PROTOBUF, 400, "not an OTLP request"),
        (b"nonsense", JSON, 400, "not JSON"),
        (b'{"resourceSpans": []}', JSON, 400, "no resourceMetrics"),
        (OK, {**PROTOBUF, **GZIP}, 400, "not compressed with gzip"),
        (gzip.compress(OK)[:-9], {**PROTOBUF, **GZIP}, 400, "ends too early"),
        (BOMB, {**PROTOBUF, **GZIP}, 400, "bytes uncompressed"),
        (OK, {**PROTOBUF, "Content-Encoding": "zstd"}, 415, "compressed with gzip, or not at all"),
        (OK, {"Content-Type": "text/plain"}, 415, "application/x-protobuf or application/json"),
        (b"x" * 300_000, PROTOBUF, 413, "larger than"),
    ],
    ids=["protobuf", "json", "traces", "no gzip", "cut gzip", "bomb", "zstd", "text", "large"],
)
def test_what_is_no_request_is_refused_with_one_sentence(
    fleet: Fleet, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    answer = posted(fleet, "empty", body, headers)
    assert answer.status_code == status
    if headers["Content-Type"] == PROTOBUF["Content-Type"]:
        # a google.rpc.Status: its fields have the numbers and types of the fields of a partial success
        assert said in ExportMetricsPartialSuccess.FromString(answer.content).error_message
    else:
        assert said in answer.json()["error"]
        assert answer.json()["message"] == answer.json()["error"]


def test_nobody_writes_without_a_key(fleet: Fleet) -> None:
    assert httpx.post(f"{fleet.url}{METRICS}", content=OK, headers=PROTOBUF).status_code == 401


def test_forty_thousand_points_in_one_request_are_stored(fleet: Fleet) -> None:
    points = [number(n, at_s, {"path": f"/{n}"}) for at_s in range(100) for n in range(400)]
    body = gzip.compress(request(gauge("queue.depth", *points)).SerializeToString())
    answer = posted(fleet, "otlp-many", body, {**PROTOBUF, **GZIP})
    assert (answer.status_code, answer.content) == (200, b"")
    assert Store(fleet.tenancy.pool, "otlp-many").samples.read(T0, T0 + timedelta(hours=1)).height == 40_000


def test_json_may_hold_what_only_json_has(fleet: Fleet) -> None:
    point = {"timeUnixNano": "1769860800000000000", "asDouble": "NaN"}
    body = {
        "resourceMetrics": [
            {"scopeMetrics": [{"metrics": [{"name": "x", "gauge": {"dataPoints": [point]}}]}]}
        ]
    }
    answer = posted(fleet, "otlp-json", json.dumps(body).encode(), JSON)
    assert (answer.status_code, answer.json()) == (200, {})
