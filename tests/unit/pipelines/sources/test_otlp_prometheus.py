"""What a Prometheus would have of points of OTLP."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from fakes.otlp import (
    CUMULATIVE,
    DELTA,
    as_json,
    exponential,
    gauge,
    histogram,
    latency,
    ns,
    number,
    request,
    resource_metrics,
    summary,
    total,
)
from fakes.remote_write import T0
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    Metric,
    ResourceMetrics,
    SummaryDataPoint,
)

from models.metrics.deltas import is_mark
from pipelines.sources.otlp import OtlpReceiver
from pipelines.sources.otlp_messages import Json, Protobuf
from pipelines.sources.otlp_prometheus import RawRequest
from pipelines.sources.otlp_prometheus_names import metric_name
from pipelines.sources.remote_write_columns import STALE_BITS

NO_VALUE = 1
QUANTILES = [SummaryDataPoint.ValueAtQuantile(quantile=0.99, value=0.7)]
#: Of a sample: `metric{label}` beside seconds after `T0`.
Samples = Mapping[tuple[str, float], float | str]


def read(*parts: Metric | ResourceMetrics, receiver: OtlpReceiver | None = None) -> RawRequest:
    return (receiver or OtlpReceiver("acme")).decode_raw(request(*parts).SerializeToString(), Protobuf())


def samples(found: RawRequest, *labels: str) -> Samples:
    """The samples of a request; the start of a delta is `start`, the mark of an end `stale`."""
    shown: dict[tuple[str, float], float | str] = {}
    series = np.repeat(np.arange(len(found.series)), found.lengths).tolist()
    marks = is_mark(found.values)
    for at, time_ms, value, mark in zip(series, found.times_ms, found.values, marks, strict=True):
        one = found.series[at].labels
        named = "".join(f" {name}={one[name]}" for name in labels if name in one)
        is_stale = value.view(np.uint64) == STALE_BITS
        is_start = mark and "__delta__" in one
        text = "stale" if is_stale else "start" if is_start else float(value)
        shown[one["__name__"] + named, round(time_ms / 1000 - T0.timestamp(), 3)] = text
    return shown


def buckets(at_s: float, *counts: float) -> dict[tuple[str, float], float | str]:
    bounds = ("0.1", "0.5", "1", "+Inf")
    return {(f"rpc_seconds_bucket le={le}", at_s): one for le, one in zip(bounds, counts, strict=True)}


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        pytest.param(gauge("queue.depth", number(3, 60)), {("queue_depth", 60): 3.0}, id="gauge"),
        pytest.param(
            total("hits", number(5, 60), unit="{hit}"), {("hits_total", 60): 5.0}, id="monotonic sum"
        ),
        pytest.param(
            total("jobs", number(-5, 60), monotonic=False), {("jobs", 60): -5.0}, id="sum that can fall"
        ),
        pytest.param(
            total("hits", number(5, 60, start_s=30), temporality=DELTA),
            {("hits_total", 30): "start", ("hits_total", 60): 5.0},
            id="delta",
        ),
        pytest.param(
            total("hits", number(0, 60, start_s=0), temporality=DELTA),
            {("hits_total", 15): "start", ("hits_total", 60): 0.0},
            id="delta over more than 45 seconds in which nothing was counted",
        ),
        pytest.param(
            histogram("rpc", latency()),
            {
                ("rpc_seconds_count", 60): 100.0,
                ("rpc_seconds_sum", 60): 20.0,
                **buckets(60, 50, 90, 100, 100),
            },
            id="histogram",
        ),
        pytest.param(
            histogram("rpc", latency(bucket_counts=[], explicit_bounds=[])),
            {
                ("rpc_seconds_count", 60): 100.0,
                ("rpc_seconds_sum", 60): 20.0,
                ("rpc_seconds_bucket le=+Inf", 60): 100.0,
            },
            id="histogram without buckets",
        ),
        pytest.param(
            summary(
                "rpc", SummaryDataPoint(time_unix_nano=ns(60), count=4, sum=2, quantile_values=QUANTILES)
            ),
            {
                ("rpc_seconds_count", 60): 4.0,
                ("rpc_seconds_sum", 60): 2.0,
                ("rpc_seconds quantile=0.99", 60): 0.7,
            },
            id="summary",
        ),
        pytest.param(
            gauge("depth", number(0, 60, flags=NO_VALUE)), {("depth", 60): "stale"}, id="end of a gauge"
        ),
        pytest.param(
            histogram("rpc", latency(flags=NO_VALUE)),
            {
                ("rpc_seconds_count", 60): "stale",
                ("rpc_seconds_sum", 60): "stale",
                **dict.fromkeys(buckets(60, 0, 0, 0, 0), "stale"),
            },
            id="end of a histogram",
        ),
        pytest.param(
            total("hits", number(0, 60, start_s=30, flags=NO_VALUE), temporality=DELTA),
            {},
            id="no delta measured",
        ),
        pytest.param(gauge("depth", number(math.inf, 60)), {("depth", 60): math.inf}, id="infinite"),
        pytest.param(total("hits", number(1e300, 60)), {("hits_total", 60): 1e300}, id="enormous"),
    ],
)
def test_points_become_the_samples_of_a_prometheus(metric: Metric, expected: Samples) -> None:
    found = read(metric)
    assert found.rejected.is_empty()
    assert samples(found, "le", "quantile") == expected


@pytest.mark.parametrize("temporality", [CUMULATIVE, DELTA])
def test_an_exponential_histogram_has_the_buckets_of_half_octaves(temporality: int) -> None:
    point = ExponentialHistogramDataPoint(
        start_time_unix_nano=ns(30), time_unix_nano=ns(60), count=10, sum=15.0, scale=0, zero_count=1,
        positive=ExponentialHistogramDataPoint.Buckets(offset=0, bucket_counts=[4, 5]),
    )  # fmt: skip
    found = read(exponential("rpc", point, temporality=temporality))
    assert found.metric_types == {"rpc_seconds": "histogram"}
    reached = {
        float(name.partition("le=")[2]): value
        for (name, at_s), value in samples(found, "le").items()
        if "le=" in name and at_s == 60
    }
    assert len(reached) == 70
    halves = {
        2**-17: 1.0,
        1.0: 1.0,
        2**0.5: 3.0,
        2.0: 5.0,
        2**1.5: 7.5,
        4.0: 10.0,
        2**17: 10.0,
        math.inf: 10.0,
    }
    assert {bound: reached[bound] for bound in halves} == pytest.approx(halves)


def test_a_nan_stays_one() -> None:
    assert np.isnan(read(gauge("depth", number(math.nan, 60))).values).tolist() == [True]


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (total("hits", number(-1, 60, start_s=30), temporality=DELTA), "at least 0"),
        (total("hits", number(math.inf, 60, start_s=30), temporality=DELTA), "finite"),
        (total("hits", number(math.nan, 60, start_s=30), temporality=DELTA), "finite"),
        (histogram("rpc", latency(sum=math.inf), temporality=DELTA), "finite"),
        (total("hits", number(1, 60), temporality=DELTA), "start before its time"),
        (
            total("jobs", number(1, 60, start_s=0), temporality=DELTA, monotonic=False),
            "cumulative temporality",
        ),
        (histogram("rpc", latency(bucket_counts=[1])), "bounds need"),
        (gauge("..", number(1, 60)), "no letter or digit"),
    ],
)
def test_a_point_that_cannot_be_kept_is_one_rejected_point(metric: Metric, reason: str) -> None:
    found = read(metric, gauge("depth", number(1, 60)))
    assert (found.points, found.rejected_points, found.rejected.height) == (2, 1, 1)
    assert reason in found.rejected["reason"][0]
    assert samples(found) == {("depth", 60): 1.0}


def test_the_sum_of_a_delta_of_values_below_0_may_be_below_0() -> None:
    found = read(histogram("offset", latency(sum=-3.0), temporality=DELTA))
    assert samples(found)["offset_seconds_sum", 60] == -3.0


def test_labels_are_those_of_prometheus_and_of_the_resource() -> None:
    resource: dict[str, Any] = {
        "service.name": "cart",
        "service.namespace": "shop",
        "service.instance.id": "a-1",
        "k8s.pod.name": "cart-7",
        "telemetry.sdk.name": "opentelemetry",
    }
    point = number(1, 0, {"http.response.status_code": 503, "a-b": "1", "a.b": "2", "7": "x", "job": "own"})
    (one,) = read(resource_metrics(gauge("depth", point), resource=resource)).series
    assert one.labels == {
        "__name__": "depth",
        "job": "shop/cart",
        "instance": "a-1",
        "service_name": "cart",
        "service_namespace": "shop",
        "service_instance_id": "a-1",
        "k8s_pod_name": "cart-7",
        "http_response_status_code": "503",
        "a_b": "1;2",
        "key_7": "x",
    }


def test_types_are_declared_in_each_request_with_the_names_of_prometheus() -> None:
    receiver = OtlpReceiver("acme")
    parts = (
        gauge("depth", number(1, 0)),
        total("hits", number(1, 0)),
        total("jobs", number(1, 0), monotonic=False),
        histogram("rpc", latency()),
        summary("gc", SummaryDataPoint(time_unix_nano=ns(60))),
    )
    for _ in range(2):
        assert read(*parts, receiver=receiver).metric_types == {
            "depth": "gauge",
            "hits_total": "counter",
            "jobs": "gauge",
            "rpc_seconds": "histogram",
            "gc_seconds": "summary",
        }


@pytest.mark.parametrize("temporality", [CUMULATIVE, DELTA])
def test_requests_give_the_same_in_both_encodings_and_when_their_series_are_known(temporality: int) -> None:
    whole = request(
        total("hits", *(number(n, 60 * n + 60, start_s=60 * n) for n in range(3)), temporality=temporality),
        histogram("rpc", latency(), temporality=temporality),
    )
    receiver = OtlpReceiver("acme")
    body = whole.SerializeToString()
    found = [receiver.decode_raw(body, Protobuf()) for _ in range(2)]
    found.append(receiver.decode_raw(as_json(whole), Json()))
    first, *others = [samples(one, "le") for one in found]
    assert all(one == first for one in others)
    assert len(first) == (16 if temporality == DELTA else 9) + (2 if temporality == DELTA else 0)


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected"),
    [
        ("jvm.memory.used", "By", "sum", "jvm_memory_used_bytes"),
        ("process.cpu.time", "s", "counter", "process_cpu_time_seconds_total"),
        ("disk.used_bytes", "By", "gauge", "disk_used_bytes"),
        ("http.client.request.duration", "ms", "histogram", "http_client_request_duration_milliseconds"),
        ("cpu.time_ratio.user", "1", "gauge", "cpu_time_user_ratio"),
        ("net.io", "{packet}/s", "gauge", "net_io_per_second"),
        ("3d", "Cel", "gauge", "_3d_celsius"),
        ("odd__name", "weird-unit", "gauge", "odd_name_weird_unit"),
        ("größe", "", "gauge", "gr_e"),
    ],
)
def test_names_end_with_unit_and_type(name: str, unit: str, kind: str, expected: str) -> None:
    found = metric_name(name, unit, "sum" if kind == "counter" else kind, monotonic=kind == "counter")
    assert found == expected
