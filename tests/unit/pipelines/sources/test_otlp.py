"""Requests of OTLP: what is good is read, what is bad is rejected with its reason, in protobuf and in JSON alike."""

import json
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from fakes.otlp import (
    DELTA,
    SHOP,
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
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    Metric,
    NumberDataPoint,
    SummaryDataPoint,
)

from core.batch import Batch
from core.domain import Series, SeriesKind
from core.errors import InputError
from pipelines.sources.otlp import OtlpReceiver, OtlpRequest
from pipelines.sources.otlp_messages import Encoding, Json, Protobuf

Read = Callable[[ExportMetricsServiceRequest], OtlpRequest]


def read_protobuf(message: ExportMetricsServiceRequest) -> OtlpRequest:
    return OtlpReceiver("acme").decode(message.SerializeToString(), Protobuf())


def read_json(message: ExportMetricsServiceRequest) -> OtlpRequest:
    return OtlpReceiver("acme").decode(as_json(message), Json())


@pytest.fixture(params=[read_protobuf, read_json], ids=["protobuf", "json"])
def read(request: pytest.FixtureRequest) -> Read:
    found: Read = request.param
    return found


def values(batch: Batch) -> dict[str, list[float]]:
    """Name of the series -> its samples and counts."""
    names = {one.series_id: one.name for one in batch.series}
    found: dict[str, list[float]] = {}
    for frame in (batch.samples, batch.counts):
        assert frame is not None
        for series_id, _, value in frame.iter_rows():
            found.setdefault(names[series_id], []).append(value)
    return found


def reasons(batch: Batch) -> list[str]:
    assert batch.rejected is not None
    return batch.rejected["reason"].to_list()


def series_of(batch: Batch) -> dict[str, Series]:
    return {one.metric: one for one in batch.series}


GOOD = gauge("queue.depth", number(1.5, 0, {"queue": "mail"}), number(2, 15, {"queue": "mail"}))


def test_a_gauge_becomes_series_and_samples(read: Read) -> None:
    found = read(request(GOOD))
    batch = found.content
    (series,) = batch.series
    assert (series.tenant, series.name) == ("acme", "shop/queue.depth{host.name=web1,queue=mail}")
    assert batch.samples is not None
    assert batch.samples.rows() == [
        (series.series_id, T0, 1.5),
        (series.series_id, T0 + timedelta(seconds=15), 2.0),
    ]
    assert (found.points, found.rejected, reasons(batch)) == (2, 0, [])


def test_sums_are_counts_rates_or_levels_by_temporality_and_monotony(read: Read) -> None:
    batch = read(
        request(
            total("hits", number(100, 60, start_s=0), unit="{hit}"),
            total("sent", number(600, 60, start_s=0), unit="By", temporality=DELTA),
            total("active", number(-3, 60), unit="{connection}", monotonic=False),
        )
    ).content
    assert values(batch) == {
        "shop/hits{host.name=web1}": [100.0],
        "shop/sent{host.name=web1}": [10.0],
        "shop/active{host.name=web1}": [-3.0],
    }
    assert batch.counts is not None
    assert batch.counts["value"].to_list() == [100.0]
    found = {name: (one.kind, one.unit) for name, one in series_of(batch).items()}
    assert found == {
        "hits": (SeriesKind.COUNTER, "hits/s"),
        "sent": (SeriesKind.COUNTER, "bytes/s"),
        "active": (SeriesKind.GAUGE, "connections"),
    }


@pytest.mark.parametrize(
    ("name", "code", "unit", "kind"),
    [
        ("process.memory.usage", "By", "bytes", SeriesKind.GAUGE),
        ("http.server.request.duration", "s", "seconds", SeriesKind.GAUGE),
        ("gc.duration", "ms", "ms", SeriesKind.GAUGE),
        ("cache.hit_ratio", "1", "ratio", SeriesKind.RATIO),
        ("cache.hit_ratio", "%", "%", SeriesKind.GAUGE),
        ("cpu.load", "1", "", SeriesKind.GAUGE),
        ("queue.depth", "{message}", "messages", SeriesKind.GAUGE),
        ("disk.io", "By/s", "bytes/s", SeriesKind.GAUGE),
        ("disk_used_bytes", "", "bytes", SeriesKind.GAUGE),
        ("odd", "furlong", "furlong", SeriesKind.GAUGE),
    ],
)
def test_units_are_written_as_forewarn_writes_them(name: str, code: str, unit: str, kind: SeriesKind) -> None:
    (series,) = read_protobuf(request(gauge(name, number(0.5, 0), unit=code))).content.series
    assert (series.unit, series.kind) == (unit, kind)


def test_a_cumulative_histogram_gives_counts_and_no_quantiles(read: Read) -> None:
    batch = read(request(histogram("rpc", latency()))).content
    assert values(batch) == {
        "shop/rpc_count{host.name=web1}": [100.0],
        "shop/rpc_sum{host.name=web1}": [20.0],
    }
    assert batch.counts is not None
    assert batch.counts.height == 2
    assert (series_of(batch)["rpc_count"].unit, series_of(batch)["rpc_sum"].unit) == ("1/s", "seconds/s")


def test_a_delta_histogram_gives_rates_and_quantiles_of_what_it_counted(read: Read) -> None:
    batch = read(request(histogram("rpc", latency(), temporality=DELTA))).content
    assert batch.counts is not None
    assert batch.counts.is_empty()
    found = {name.partition("{")[0].removeprefix("shop/"): value for name, (value,) in values(batch).items()}
    assert found == {
        "rpc_count": pytest.approx(100 / 60),
        "rpc_sum": pytest.approx(20 / 60),
        "rpc_p50": pytest.approx(0.1),
        "rpc_p90": pytest.approx(0.5),
        "rpc_p99": pytest.approx(0.95),
    }
    assert (series_of(batch)["rpc_p99"].unit, series_of(batch)["rpc_p99"].kind) == (
        "seconds",
        SeriesKind.GAUGE,
    )


def test_an_exponential_histogram_gives_the_same_as_an_explicit_one(read: Read) -> None:
    point = ExponentialHistogramDataPoint(
        count=40, sum=90.0, scale=0, zero_count=10, start_time_unix_nano=ns(0), time_unix_nano=ns(60)
    )
    point.positive.offset = 0  # (1, 2], (2, 4]
    point.positive.bucket_counts.extend([20, 10])
    found = values(read(request(exponential("rpc", point, temporality=DELTA))).content)
    quantiles = [found[f"shop/rpc_{name}{{host.name=web1}}"][0] for name in ("p50", "p90", "p99")]
    # linear around 0, and even on a logarithmic scale within a bucket
    assert quantiles == pytest.approx([2**0.5, 2 * 2**0.6, 2 * 2**0.96])
    assert found["shop/rpc_count{host.name=web1}"] == [pytest.approx(40 / 60)]


def test_a_summary_gives_counts_and_its_own_quantiles(read: Read) -> None:
    point = SummaryDataPoint(count=10, sum=5.0, time_unix_nano=ns(60))
    point.quantile_values.add(quantile=0.5, value=0.2)
    point.quantile_values.add(quantile=0.999, value=0.9)
    point.quantile_values.add(quantile=0.99, value=math.nan)
    found = values(read(request(summary("rpc", point))).content)
    assert {name.partition("{")[0]: value for name, value in found.items()} == {
        "shop/rpc_count": [10.0],
        "shop/rpc_sum": [5.0],
        "shop/rpc_p50": [0.2],
        "shop/rpc_p999": [0.9],
    }


def test_attributes_that_identify_become_labels_and_those_that_describe_do_not(read: Read) -> None:
    resource: dict[str, str | int | bool | float] = {
        "service.name": "shop",
        "service.instance.id": "a-1",
        "service.version": "2.3.1",
        "k8s.pod.name": "shop-5f",
        "k8s.pod.label.app": "x",
        "container.id": "c1",
        "rabbitmq.queue.name": "mail",
        "telemetry.sdk.name": "opentelemetry",
        "process.command_args": "-v",
        "process.pid": 12,
        "os.type": "linux",
    }
    batch = read(
        request(
            resource_metrics(
                gauge("depth", number(1.0, 0, {"n": 5, "on": True, "x": 0.5})), resource=resource
            )
        )
    ).content
    (series,) = batch.series
    assert series.service == "shop"
    assert series.labels == {
        "service.instance.id": "a-1",
        "k8s.pod.name": "shop-5f",
        "container.id": "c1",
        "rabbitmq.queue.name": "mail",
        "n": "5",
        "on": "true",
        "x": "0.5",
    }


def test_processes_of_a_host_stay_apart_where_no_service_is_named(read: Read) -> None:
    parts = [
        resource_metrics(
            gauge("process.threads", number(1, 0)), resource={"host.name": "web1", "process.pid": pid}
        )
        for pid in (1, 2)
    ]
    batch = read(request(*parts)).content
    assert [(one.service, one.labels["process.pid"]) for one in batch.series] == [
        ("unknown", "1"),
        ("unknown", "2"),
    ]


def test_arrays_and_maps_become_json(read: Read) -> None:
    point = number(1.0, 0)
    names = AnyValue(array_value=ArrayValue(values=[AnyValue(string_value="a"), AnyValue(int_value=2)]))
    pairs = AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k", value=AnyValue(bool_value=False))]))
    point.attributes.extend([KeyValue(key="list", value=names), KeyValue(key="map", value=pairs)])
    point.attributes.extend([KeyValue(key="raw", value=AnyValue(bytes_value=b"\0\1")), KeyValue(key="none")])
    (series,) = read(request(gauge("depth", point))).content.series
    assert series.labels == {"host.name": "web1", "list": '["a", 2]', "map": '{"k": false}', "raw": "AAE="}


def test_a_metric_of_two_scopes_is_two_series(read: Read) -> None:
    part = resource_metrics(total("http.client.requests", number(1, 60)), scope="requests")
    part.scope_metrics.extend(
        resource_metrics(total("http.client.requests", number(2, 60)), scope="urllib3").scope_metrics
    )
    assert values(read(request(part)).content) == {
        "shop/http.client.requests{host.name=web1,otel.scope.name=requests}": [1.0],
        "shop/http.client.requests{host.name=web1,otel.scope.name=urllib3}": [2.0],
    }


def test_what_was_not_measured_is_no_sample_and_not_rejected(read: Read) -> None:
    found = read(request(gauge("depth", number(0, 0, flags=1), number(math.nan, 15), number(1.0, 30))))
    assert values(found.content) == {"shop/depth{host.name=web1}": [1.0]}
    assert (found.points, found.rejected) == (3, 0)


def test_a_request_without_metrics_is_an_empty_batch(read: Read) -> None:
    found = read(request())
    assert (found.content.series, found.points, found.rejected) == ((), 0, 0)


LONG = "x" * 500
BAD: dict[str, tuple[Metric, str]] = {
    "no name": (gauge("", number(1, 0)), "it has no name"),
    "a name with NUL": (gauge("a\0b", number(1, 0)), "control characters"),
    "a long name": (gauge(LONG, number(1, 0)), "at most 400"),
    "an attribute without a name": (gauge("bad", number(1, 0, {"": "x"})), "it has no name"),
    "an attribute with NUL": (gauge("bad", number(1, 0, {"path": "a\0b"})), "NUL"),
    "no data": (Metric(name="bad"), "no data of a known type"),
    "no time": (gauge("bad", NumberDataPoint(as_int=1)), "it has no time"),
    "no value": (gauge("bad", NumberDataPoint(time_unix_nano=ns(0))), "it has no value"),
    "no temporality": (total("bad", number(1, 60), temporality=0), "neither delta nor cumulative"),
    "a delta that can fall": (
        total("bad", number(1, 60, start_s=0), temporality=DELTA, monotonic=False),
        "can fall",
    ),
    "a delta without a start": (total("bad", number(1, 60), temporality=DELTA), "needs a start"),
    "a delta that ends at its start": (
        total("bad", number(1, 60, start_s=60), temporality=DELTA),
        "needs a start",
    ),
    "too few buckets": (histogram("bad", latency(bucket_counts=[1, 2]), temporality=DELTA), "need 4 counts"),
    "bounds that fall": (
        histogram("bad", latency(explicit_bounds=[1.0, 0.5, 2.0]), temporality=DELTA),
        "do not rise",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_point_costs_no_good_one(read: Read, name: str) -> None:
    bad, reason = BAD[name]
    for parts in ((bad, GOOD), (GOOD, bad)):
        found = read(request(*parts))
        assert values(found.content) == {"shop/queue.depth{host.name=web1,queue=mail}": [1.5, 2.0]}
        (why,) = reasons(found.content)
        assert reason in why
        assert found.rejected == found.points - 2


def test_a_metric_that_cannot_be_stored_counts_with_all_its_points(read: Read) -> None:
    found = read(request(gauge("", *[number(1, n) for n in range(5)])))
    assert (found.points, found.rejected, len(reasons(found.content))) == (5, 5, 1)


def test_an_attribute_that_comes_twice_is_rejected(read: Read) -> None:
    point = number(1, 0, {"a": "x"})
    point.attributes.extend(number(1, 0, {"a": "y"}).attributes)
    assert "'a' comes twice" in reasons(read(request(gauge("bad", point))).content)[0]


def test_a_series_is_no_counter_and_gauge_at_once(read: Read) -> None:
    found = read(request(gauge("x", number(1, 0)), total("x", number(2, 15))))
    assert values(found.content) == {"shop/x{host.name=web1}": [1.0]}
    assert "a counter and a gauge" in reasons(found.content)[0]


@pytest.mark.parametrize("place", ["the name of a metric", "a point's attribute", "host.name"])
def test_text_that_is_not_utf8_costs_only_what_it_names(place: str) -> None:
    bad = gauge("marker.a", number(1, 0, {"path": "marker.b"}))
    resource = {**SHOP, "host.name": "marker.c"}
    marker = {
        "the name of a metric": b"marker.a",
        "a point's attribute": b"marker.b",
        "host.name": b"marker.c",
    }[place]
    message = request(GOOD, resource_metrics(bad, resource=resource))
    for body, encoding in ((message.SerializeToString(), Protobuf()), (as_json(message), Json())):
        broken = body.replace(marker, b"marker\xff\xfe")
        found = OtlpReceiver("acme").decode(broken, encoding)
        assert values(found.content) == {"shop/queue.depth{host.name=web1,queue=mail}": [1.5, 2.0]}
        (why,) = reasons(found.content)
        assert "not UTF-8" in why
        assert found.rejected == 1


def test_a_describing_attribute_that_cannot_be_read_costs_nothing(read: Read) -> None:
    body = request(resource_metrics(gauge("x", number(1, 0)), resource={**SHOP, "os.description": "marker"}))
    broken = body.SerializeToString().replace(b"marker", b"\xff" * 6)
    found = OtlpReceiver("acme").decode(broken, Protobuf())
    assert (found.points, found.rejected, len(found.content.series)) == (1, 0, 1)


@pytest.mark.parametrize("depth", [17, 100, 250])
def test_many_values_within_each_other_are_rejected(depth: int) -> None:
    value: dict[str, Any] = {"stringValue": "x"}
    for _ in range(depth):
        value = {"arrayValue": {"values": [value]}}
    point = {"timeUnixNano": "1", "asInt": 1, "attributes": [{"key": "deep", "value": value}]}
    body = {
        "resourceMetrics": [
            {"scopeMetrics": [{"metrics": [{"name": "x", "gauge": {"dataPoints": [point]}}]}]}
        ]
    }
    found = OtlpReceiver("acme").decode(json.dumps(body).encode(), Json())
    assert "within each other" in reasons(found.content)[0]


@pytest.mark.parametrize(
    ("encoding", "body", "message"),
    [
        (Protobuf(), b"nonsense", "not an OTLP request"),
        (Protobuf(), b"\x08\x01", "not an OTLP request"),
        (Protobuf(), b"\x0a\xff", "not an OTLP request"),
        (Protobuf(), b"\x12\x00", "no resource_metrics"),
        (Json(), b"", "not JSON"),
        (Json(), b"nonsense", "not JSON"),
        (Json(), b"[" * 100_000, "not JSON"),
        (Json(), b"[]", "an object was expected"),
        (Json(), b'{"resourceMetrics": {}}', "a list was expected"),
        (Json(), b'{"resourceSpans": []}', "no resourceMetrics"),
        (Json(), b'{"resourceMetrics": [' + b"1," * 500_000 + b"1]}", "more than 500000 values"),
    ],
)
def test_a_body_that_is_no_request_is_refused(encoding: Encoding, body: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        OtlpReceiver("acme").decode(body, encoding)


def test_a_request_of_too_many_parts_is_refused(monkeypatch: pytest.MonkeyPatch, read: Read) -> None:
    monkeypatch.setattr("pipelines.sources.otlp_reading.MAX_PARTS", 100)
    with pytest.raises(InputError, match="more than 100 metrics, data points"):
        read(request(gauge("x", *[number(1, n) for n in range(200)])))
