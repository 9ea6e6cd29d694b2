"""Golden signals of OTLP equal those of a real Prometheus that has the same values by remote_write."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest
from fakes.otlp import (
    CUMULATIVE,
    DELTA,
    gauge,
    histogram,
    latency,
    ns,
    number,
    request,
    resource_metrics,
    total,
)
from fakes.platform import platform_of
from fakes.promql_values import compared_values
from fakes.remote_write import T0, compressed, time_series
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
)
from servers.prometheus import missing_programs, prometheus

from core.arrays import FloatArray
from core.clock import FixedClock
from core.settings import Settings
from models.metrics.conventions import request_recipes
from models.metrics.evaluate import Evaluator
from models.metrics.plain import plain_recipes
from pipelines.collect.pull import pull
from pipelines.collect.stage import Kept, Staging
from pipelines.common.tenant_platform import Platform
from pipelines.sources.otlp import OtlpReceiver
from pipelines.sources.otlp_messages import Protobuf
from pipelines.sources.prometheus_api import PrometheusApi
from pipelines.sources.pushed_span import raw_samples, stored_samples
from pipelines.stores.store import Store

MINUTES = 32
EVERY_S = 15
STEP_S = 30
WINDOW_S = 300
NOW = T0 + timedelta(minutes=MINUTES)
SETTINGS = Settings(_env_file=None, golden_signals=True)
BOUNDS = (0.05, 0.1, 0.5, 1.0)
CODE = "http.response.status_code"
DURATION = "http_server_request_duration_seconds"
#: Service -> how it counts.
TEMPORALITIES = {"shop": CUMULATIVE, "cart": DELTA}
RECIPES = [
    *request_recipes(
        [f"{DURATION}_bucket", f"{DURATION}_count"], {f"{DURATION}_count": "http_response_status_code"}
    ),
    *plain_recipes(["orders_total", "queue_depth", "jvm_memory_used_bytes"], {}),
]


@dataclass(frozen=True)
class Requests:
    """What a service counted of the requests with one code, between `times_s` of its samples.

    Attributes:
        counts: (intervals, buckets).
        seconds: of all requests, in each interval.
    """

    code: int
    counts: FloatArray
    seconds: FloatArray


def counted(count: int) -> list[Requests]:
    random = np.random.default_rng(5)
    found = []
    for code, rate in ((200, 9.0), (404, 0.4), (503, 0.05)):
        counts = random.poisson(rate, (count, len(BOUNDS) + 1)).astype(np.float64)
        found.append(Requests(code, counts, counts @ np.array([0.03, 0.07, 0.3, 0.7, 2.0])))
    return found


def resource_of(service: str) -> dict[str, str | int | bool | float]:
    return {"service.name": service, "service.namespace": "eu", "service.instance.id": "a-1"}


def pushed_to_prometheus(url: str, service: str, times_s: FloatArray, found: Sequence[Requests]) -> None:
    """Push cumulative counts with the labels that a Prometheus gives to OTLP."""
    of_service = {"job": f"eu/{service}", "instance": "a-1", "service_name": service}
    series = []
    for one in found:
        labels = {**of_service, "http_response_status_code": str(one.code)}
        total_counts = np.cumsum(one.counts, axis=0)
        columns = [
            ("_count", {}, total_counts.sum(axis=1)),
            ("_sum", {}, np.cumsum(one.seconds)),
            *(
                ("_bucket", {"le": le}, column)
                for le, column in zip(
                    ("0.05", "0.1", "0.5", "1", "+Inf"), np.cumsum(total_counts, axis=1).T, strict=True
                )
            ),
        ]
        for ending, more, values in columns:
            samples = list(zip(times_s.tolist(), [0.0, *values.tolist()], strict=True))
            series.append(time_series({"__name__": DURATION + ending, **labels, **more}, samples))
    orders = np.cumsum(found[0].seconds)
    series.append(
        time_series({"__name__": "orders_total", **of_service}, list(zip(times_s[1:], orders, strict=True)))
    )
    for name in ("queue_depth", "jvm_memory_used_bytes"):
        depth = list(zip(times_s[1:].tolist(), found[1].seconds.tolist(), strict=True))
        series.append(time_series({"__name__": name, **of_service}, depth))
    headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
    httpx.post(f"{url}/api/v1/write", content=compressed(*series), headers=headers).raise_for_status()


def exported(times_s: FloatArray, found: Sequence[Requests], temporality: int) -> Iterator[list[Metric]]:
    """What an SDK exports at each time; it leaves out a delta of nothing."""
    for at in range(len(times_s) - 1):
        start_s, end_s = float(times_s[at]), float(times_s[at + 1])
        points: list[HistogramDataPoint] = []
        for one in found:
            chosen = slice(at, at + 1) if temporality == DELTA else slice(0, at + 1)
            counts = one.counts[chosen].sum(axis=0)
            if temporality == DELTA and not counts.any():
                continue
            point = latency(
                start_s if temporality == DELTA else 0,
                count=int(counts.sum()),
                sum=float(one.seconds[chosen].sum()),
                bucket_counts=counts.astype(int).tolist(),
                explicit_bounds=BOUNDS,
                time_unix_nano=ns(end_s),
            )
            point.attributes.add(key=CODE).value.int_value = one.code
            points.append(point)
        orders = found[0].seconds[at if temporality == DELTA else slice(0, at + 1)].sum()
        depth: NumberDataPoint = number(float(found[1].seconds[at]), end_s)
        yield [
            histogram("http.server.request.duration", *points, temporality=temporality),
            total(
                "orders",
                number(float(orders), end_s, start_s=start_s),
                temporality=temporality,
                unit="{order}",
            ),
            gauge("queue.depth", depth),
            total("jvm.memory.used", depth, monotonic=False, unit="By"),
        ]


def at(store: Store, seconds: float = 60 * MINUTES) -> Platform:
    return platform_of(store, FixedClock(T0 + timedelta(seconds=seconds)), settings=SETTINGS)


def push(platform: Platform, *parts: Metric | ResourceMetrics) -> Kept:
    """A request to a service that has just been started."""
    receiver = OtlpReceiver(platform.tenant)
    decoded = receiver.decode_raw(request(*parts).SerializeToString(), Protobuf())
    return Staging(platform).store(receiver.name, decoded)


@pytest.mark.skipif(bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}")
def test_signals_of_otlp_are_those_of_prometheus(tmp_path: Path, store: Store) -> None:
    regular: FloatArray = np.arange(0, MINUTES * 60, EVERY_S).astype(np.float64)
    # Prometheus extrapolates counts up to the ends of a window; deltas need none of it
    irregular = regular + np.round(np.random.default_rng(3).uniform(-5, 5, len(regular)), 3).clip(-regular)
    times: FloatArray = T0.timestamp() + np.arange(600, MINUTES * 60 - 60, STEP_S, dtype=np.float64)
    platform = at(store)
    with prometheus(tmp_path, {}, receives=True) as url:
        for service, temporality in TEMPORALITIES.items():
            times_s = irregular if temporality == CUMULATIVE else regular
            found = counted(len(times_s) - 1)
            pushed_to_prometheus(url, service, times_s, found)
            exports = [
                resource_metrics(*one, resource=resource_of(service))
                for one in exported(times_s, found, temporality)
            ]
            # the second half comes first, and all of it twice
            for parts in (exports[64:], exports[:64], exports):
                assert push(platform, *parts).report.rejected == 0
        samples = raw_samples(stored_samples(store.pushed, T0.timestamp(), NOW.timestamp()))
        evaluator = Evaluator(samples=samples, times_ms=(times * 1000).astype(np.int64), window_s=WINDOW_S)
        api = PrometheusApi(url)
        with api.connected():
            compared = [compared_values(api, evaluator, recipe, times, STEP_S) for recipe in RECIPES]
    assert len(compared) == 8
    assert min(compared) == len(times) * len(TEMPORALITIES)


def signals(store: Store) -> dict[str, dict[int, float]]:
    """Name of the series -> seconds after `T0` -> value."""
    names = {one.series_id: one.name for one in store.series.find()}
    found: dict[str, dict[int, float]] = {name: {} for name in names.values()}
    for series_id, ts, value in store.samples.read(T0, T0 + timedelta(days=1)).iter_rows():
        found[names[series_id]][round((ts - T0).total_seconds())] = value
    return found


def test_a_watch_cycle_computes_golden_signals_of_deltas_and_nothing_else(store: Store) -> None:
    for n in range(13):  # exports every 50 s do not fit the steps of 300 s
        start_s = 50.0 * n - 10
        end_s = start_s + 50
        points = [
            latency(start_s, time_unix_nano=ns(end_s), count=9, sum=1.0, bucket_counts=[9, 0, 0, 0]),
            latency(start_s, time_unix_nano=ns(end_s), count=1, sum=0.3, bucket_counts=[0, 1, 0, 0]),
        ]
        points[0].attributes.add(key=CODE).value.int_value = 200
        points[1].attributes.add(key=CODE).value.int_value = 500
        push(at(store, end_s), histogram("http.server.request.duration", *points, temporality=DELTA))
    push(at(store, 700), gauge("queue.depth", number(1, 700)))
    pull(at(store, 700))
    found = signals(store)
    names = {
        name.partition("{")[0]: {300: one[300], 600: one[600]} for name, one in found.items() if 300 in one
    }
    assert names["shop/http_server_requests_per_second"] == pytest.approx({300: 0.2, 600: 0.2}, rel=1e-9)
    assert names["shop/http_server_request_error_ratio"] == pytest.approx({300: 0.1, 600: 0.1}, rel=1e-9)
    p90 = names["shop/http_server_request_duration_p90_seconds"]
    assert p90 == pytest.approx({300: 0.1, 600: 0.1}, rel=1e-9)
    assert not [name for name in found if "http.server" in name or "_bucket" in name]


def test_a_point_is_rejected_once_however_many_samples_it_has(store: Store) -> None:
    day_s = 86_400
    late = latency(0, time_unix_nano=ns(60))
    good = latency(2 * day_s - 60, time_unix_nano=ns(2 * day_s))
    platform = at(store, 2 * day_s)
    receiver = OtlpReceiver(store.tenant)
    whole = request(histogram("rpc", late, good, temporality=DELTA), gauge("", number(1, 0)))
    decoded = receiver.decode_raw(whole.SerializeToString(), Protobuf())
    kept = Staging(platform).store(receiver.name, decoded)
    assert decoded.rejected_with(kept.samples) == 2
    assert kept.report.inserted == 12
    assert {one.source for one in store.dead_letters.list()} == {"otlp"}
    reasons = {one.reason.partition(":")[0] for one in store.dead_letters.list()}
    assert reasons == {"a sample is older than a day", "the metric cannot be stored"}


def test_types_of_otlp_are_those_of_the_store(store: Store) -> None:
    metrics = total("orders", number(1, 60, start_s=0)), total("jobs", number(1, 60), monotonic=False)
    push(at(store), *metrics, histogram("rpc", latency()))
    declared = store.metric_types.declared(["orders_total", "jobs", "rpc_seconds"])
    assert declared == {"orders_total": "counter", "jobs": "gauge", "rpc_seconds": "histogram"}
