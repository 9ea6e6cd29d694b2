"""Any request of OTLP: both encodings give equal batches, and nothing that comes breaks the receiver."""

from contextlib import suppress
from typing import Any

from fakes import otlp
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    SummaryDataPoint,
)

from core.batch import Batch
from core.errors import InputError
from pipelines.sources.otlp import OtlpReceiver
from pipelines.sources.otlp_messages import Json, Protobuf

LONG = "x" * 500
TEXTS = st.sampled_from(["", "a", "b", "a\0", "http.route", "ümlaut", LONG])
LABELS = st.dictionaries(TEXTS, st.one_of(TEXTS, st.booleans(), st.integers(-5, 5), st.floats()), max_size=3)
NUMBERS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats())
POINTS = st.lists(
    st.builds(
        otlp.number,
        NUMBERS,
        st.integers(0, 600),
        LABELS,
        start_s=st.one_of(st.none(), st.integers(0, 600)),
        flags=st.integers(0, 1),
    ),
    max_size=4,
)
COUNTS = st.lists(st.integers(0, 100), max_size=5)


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    name, unit = draw(TEXTS), draw(st.sampled_from(["", "1", "By", "s", "{request}"]))
    temporality = draw(st.sampled_from([0, otlp.DELTA, otlp.CUMULATIVE]))
    kind = draw(st.sampled_from(["gauge", "sum", "histogram", "exponential", "summary"]))
    times: dict[str, Any] = {
        "start_time_unix_nano": otlp.ns(draw(st.integers(0, 60))),
        "time_unix_nano": otlp.ns(draw(st.integers(0, 60))),
    }
    if kind == "gauge":
        return otlp.gauge(name, *draw(POINTS), unit=unit)
    if kind == "sum":
        return otlp.total(
            name, *draw(POINTS), unit=unit, temporality=temporality, monotonic=draw(st.booleans())
        )
    if kind == "histogram":
        bounds = draw(st.lists(st.floats(-10, 10), max_size=4))
        counted = HistogramDataPoint(
            count=draw(st.integers(0, 100)), bucket_counts=draw(COUNTS), explicit_bounds=bounds, **times
        )
        return otlp.histogram(name, counted, temporality=temporality)
    if kind == "summary":
        point = SummaryDataPoint(count=draw(st.integers(0, 100)), sum=draw(st.floats()), **times)
        point.quantile_values.add(quantile=draw(st.floats(0, 1)), value=draw(st.floats()))
        return otlp.summary(name, point)
    spread = ExponentialHistogramDataPoint(
        scale=draw(st.integers(-12, 22)), zero_count=draw(st.integers(0, 3)), **times
    )
    for side in (spread.positive, spread.negative):
        side.offset = draw(st.integers(-(2**31), 2**31 - 1))
        side.bucket_counts.extend(draw(COUNTS))
    return otlp.exponential(name, spread, temporality=temporality)


def in_order(batch: Batch) -> tuple[Any, ...]:
    assert batch.samples is not None
    assert batch.counts is not None
    rows = (sorted(frame.rows()) for frame in (batch.samples, batch.counts))
    assert batch.rejected is not None
    return (*rows, {one.series_id: one for one in batch.series}, sorted(batch.rejected["reason"]))


@settings(max_examples=40)
@given(st.lists(st.lists(metrics(), max_size=3), max_size=3), st.dictionaries(TEXTS, TEXTS, max_size=2))
def test_both_encodings_give_equal_batches(resources: list[list[Metric]], more: dict[str, str]) -> None:
    message = otlp.request(
        *[otlp.resource_metrics(*some, resource={**otlp.SHOP, **more}) for some in resources]
    )
    protobuf, text = OtlpReceiver("acme"), OtlpReceiver("acme")
    first, other = (
        protobuf.decode(message.SerializeToString(), Protobuf()),
        text.decode(otlp.as_json(message), Json()),
    )
    assert in_order(first.content) == in_order(other.content)
    assert (first.points, first.rejected) == (other.points, other.rejected)
    # what is remembered gives the same again
    again = protobuf.decode(message.SerializeToString(), Protobuf())
    assert in_order(again.content) == in_order(first.content)
    assert again.rejected == first.rejected


@settings(max_examples=50)
@given(st.binary(max_size=300), st.integers(0, 300), st.binary(max_size=3))
def test_whatever_comes_is_taken_or_refused_but_never_breaks(body: bytes, at: int, cut: bytes) -> None:
    good = otlp.request(
        otlp.gauge("queue.depth", otlp.number(1.5, 0, {"queue": "mail"})),
        otlp.histogram("rpc", otlp.latency(), temporality=otlp.DELTA),
    )
    for whole, encoding in ((good.SerializeToString(), Protobuf()), (otlp.as_json(good), Json())):
        receiver = OtlpReceiver("acme")
        receiver.decode(whole, encoding)
        for one in (body, whole[:at] + cut + whole[at:], whole[:at] + cut + whole[at + len(cut) :]):
            with suppress(InputError):
                receiver.decode(one, encoding)
