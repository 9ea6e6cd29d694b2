"""Traces in a real database: requests, errors and latency of operations, and the service graph."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from fakes.otlp import Attributes
from fakes.otlp_traces import CLIENT, CONSUMER, ERROR, INTERNAL, resource_spans, span, traces
from fakes.platform import advanced, platform_of
from fakes.remote_write import T0
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from core.clock import FixedClock
from core.domain import Direction, Role, Series, SeriesKind
from core.service_names import ServiceRule
from models.metrics.duration_buckets import RELATIVE_ERROR
from pipelines.collect.steps import LATENESS
from pipelines.collect.store_traces import MAX_OPERATIONS, OTHER, StoredTraces, store_traces
from pipelines.collect.summarise_traces import summarise_traces
from pipelines.common.scoring_cursor import SCORED_UNTIL
from pipelines.common.service_graph import EDGE_LIFETIME, graph_of
from pipelines.common.tenant_platform import Platform
from pipelines.operate.status_of_budgets import budgets
from pipelines.sources.otlp_messages import Protobuf
from pipelines.sources.otlp_spans import read_traces
from pipelines.stores.store import Store

Values = dict[str, dict[float, float]]


@pytest.fixture
def platform(store: Store) -> Platform:
    return platform_of(store, FixedClock(T0 + timedelta(seconds=90)))


def write(platform: Platform, *parts: Span | ResourceSpans) -> StoredTraces:
    body = traces(*parts).SerializeToString()
    return store_traces(platform, read_traces(body, Protobuf(), ServiceRule()))


def summarised(platform: Platform, after_s: float = 600.0) -> Values:
    """Name of a series without its service -> seconds after `T0` -> value, once all steps are complete."""
    later = replace(platform, clock=FixedClock(T0 + timedelta(seconds=after_s)))
    summarise_traces(later)
    names = {one.series_id: f"{one.metric} {one.labels['operation']}" for one in platform.store.series.find()}
    found: Values = {}
    for series_id, ts, value in platform.store.samples.read(
        T0 - timedelta(days=1), T0 + timedelta(days=1)
    ).iter_rows():
        found.setdefault(names[series_id], {})[(ts - T0).total_seconds()] = value
    return found


def test_an_operation_has_requests_errors_and_latency(platform: Platform, store: Store) -> None:
    ok = [span(n, end_s=n) for n in range(1, 46)]
    bad = [span(n, end_s=n, status=Status(code=ERROR)) for n in range(46, 51)]
    slow = [
        span(n, end_s=70, duration_s=2.0, attributes={"http.response.status_code": 503}) for n in (51, 52)
    ]
    write(platform, *ok, *bad, *slow)
    found = summarised(platform)
    assert found["operation_requests_per_second GET /cart"] == {60.0: 50 / 60, 120.0: 2 / 60}
    # a ratio of a few requests is one of 20
    assert found["operation_error_ratio GET /cart"] == {60.0: 0.1, 120.0: 0.1}
    assert found["operation_p99_seconds GET /cart"] == {
        60.0: pytest.approx(0.1, rel=RELATIVE_ERROR),
        120.0: pytest.approx(2.0, rel=RELATIVE_ERROR),
    }
    series = {one.metric: one for one in store.series.find(service="shop")}
    assert set(series) == {
        "operation_requests_per_second",
        "operation_error_ratio",
        "operation_p50_seconds",
        "operation_p90_seconds",
        "operation_p99_seconds",
    }
    errors, latency = series["operation_error_ratio"], series["operation_p90_seconds"]
    assert (errors.kind, errors.role, errors.direction) == (
        SeriesKind.RATIO,
        Role.ERRORS,
        Direction.UP_IS_BAD,
    )
    assert (latency.unit, latency.role, latency.step_s) == ("seconds", Role.LATENCY, 60)


def test_quantiles_are_those_of_all_spans_within_the_error_of_the_buckets(platform: Platform) -> None:
    durations = np.random.default_rng(5).lognormal(-3, 1.5, 900)
    spans = [span(n + 1, end_s=n % 59, duration_s=float(one)) for n, one in enumerate(durations)]
    for start in range(0, 900, 150):
        write(platform, *spans[start : start + 150])
    found = summarised(platform)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        exact = np.quantile(durations, share, method="inverted_cdf")
        assert found[f"operation_{name}_seconds GET /cart"][60.0] == pytest.approx(exact, rel=RELATIVE_ERROR)


def test_order_repeats_and_several_processes_change_nothing(platform: Platform, store: Store) -> None:
    spans = [span(n, end_s=n % 60, duration_s=0.01 * n) for n in range(1, 121)]
    requests = [spans[start : start + 20] for start in range(0, 120, 10)]  # each span comes twice
    with ThreadPoolExecutor(4) as pool:
        stored = list(pool.map(lambda request: write(platform, *request), [*requests[::-1], *requests]))
    assert sum(one.repeated for one in stored) == 2 * sum(map(len, requests)) - 120
    found = summarised(platform)
    assert found["operation_requests_per_second GET /cart"] == {60.0: 2.0}
    assert write(platform, *spans).repeated == 120
    assert summarised(platform) == found
    assert store.dead_letters.count() == 0


def test_a_step_waits_for_late_spans_and_later_ones_are_rejected(platform: Platform, store: Store) -> None:
    write(platform, span(1, end_s=10))
    waits = 60 + LATENESS.total_seconds()
    assert summarised(platform, waits - 1) == {}
    write(platform, span(2, end_s=20))
    found = summarised(platform, waits)
    assert found["operation_requests_per_second GET /cart"] == {60.0: 2 / 60}
    late = write(advanced(platform, seconds=waits), span(3, end_s=30), span(4, end_s=70))
    assert late.rejected == 1
    assert "too late to be counted" in (late.first_rejected or "")
    (letter,) = store.dead_letters.list()
    assert (letter.source, '"spans": 1' in letter.row) == ("otlp traces", True)
    assert summarised(platform)["operation_requests_per_second GET /cart"] == {60.0: 2 / 60, 120.0: 1 / 60}


def test_a_step_that_is_stored_late_is_scored(platform: Platform, store: Store) -> None:
    write(platform, span(1, end_s=10))
    store.cursors.set(SCORED_UNTIL, (T0 + timedelta(minutes=5)).isoformat())
    summarised(platform)
    scored = store.cursors.get(SCORED_UNTIL)
    assert scored is not None
    assert datetime.fromisoformat(scored) == T0 + timedelta(minutes=1)


def test_an_operation_without_requests_has_a_rate_of_zero_while_its_service_has_others(
    platform: Platform,
) -> None:
    write(platform, span(1, name="a", end_s=10), span(2, name="b", end_s=20), span(3, name="b", end_s=70))
    other = resource_spans(span(4, name="c", end_s=10), resource={"service.name": "other"})
    write(platform, other)
    found = summarised(platform)
    assert found["operation_requests_per_second a"] == {60.0: 1 / 60, 120.0: 0.0}
    assert found["operation_p50_seconds a"].keys() == {60.0}
    assert found["operation_requests_per_second c"] == {60.0: 1 / 60}


def test_operations_beyond_the_budget_of_a_service_are_counted_together(platform: Platform) -> None:
    names = [f"op {chr(65 + n // 26)}{chr(65 + n % 26)}" for n in range(MAX_OPERATIONS + 7)]
    for part in (names[:60], names[60:]):
        write(platform, *[span(names.index(name) + 1, name=name, end_s=10) for name in part])
    found = summarised(platform)
    rates = {name: one for name, one in found.items() if name.startswith("operation_requests")}
    assert len(rates) == MAX_OPERATIONS + 1
    assert rates[f"operation_requests_per_second {OTHER}"] == {60.0: 7 / 60}
    [note] = budgets(replace(platform, clock=FixedClock(T0 + timedelta(hours=1))))
    assert (note.name, note.problem) == ("note on traces", None)
    assert note.state.startswith("operations beyond 100 of a service are counted together as `other`")
    assert note.state.endswith("in the last day those of shop (6.5% of its requests)")
    assert not list(budgets(replace(platform, clock=FixedClock(T0 + timedelta(days=2)))))


def test_only_spans_that_begin_the_work_of_a_service_are_requests(platform: Platform) -> None:
    write(
        platform,
        span(1, name="server"),
        span(2, name="inner", kind=INTERNAL, parent=1),
        span(3, name="call", kind=CLIENT, parent=1),
        span(4, name="job", kind=INTERNAL),
        span(5, name="message", kind=CONSUMER, parent=9),
    )
    rates = {name.split(" ", 1)[1] for name in summarised(platform) if "requests" in name}
    assert rates == {"server", "job", "message"}


def shop_calls(given: Attributes) -> Callable[[Platform], object]:
    return lambda platform: write(platform, span(1, kind=CLIENT, parent=7, attributes=given))


def parent_and_child(platform: Platform) -> None:
    # the callee's spans come first, and in another request
    write(platform, resource_spans(span(2, parent=1), resource={"service.name": "payments"}))
    write(platform, span(1, kind=CLIENT, parent=7))


@pytest.mark.parametrize(
    "send",
    [
        shop_calls({"peer.service": "payments"}),
        shop_calls({"server.address": "payments.shop.svc.cluster.local"}),
        parent_and_child,
    ],
    ids=["peer", "address", "parent"],
)
def test_a_call_is_an_edge_of_the_service_graph_until_it_is_unseen_for_long(
    platform: Platform, store: Store, send: Callable[[Platform], object]
) -> None:
    store.series.register([Series(tenant=store.tenant, service="payments", metric="m")])
    send(platform)
    summarise_traces(platform)
    assert graph_of(platform, store.series.find()) == (("shop", "payments"),)
    assert graph_of(advanced(platform, days=EDGE_LIFETIME.days + 1), store.series.find()) == ()


def test_a_declared_edge_stays_and_wins_over_its_observed_reverse(platform: Platform, store: Store) -> None:
    declared = Series(tenant=store.tenant, service="a", metric="m", labels={"depends_on": "b"})
    store.service_edges.see([("b", "a"), ("b", "c")], platform.clock.now())
    assert graph_of(platform, [declared]) == (("a", "b"), ("b", "c"))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Span(name="x", kind=Span.SPAN_KIND_SERVER), "no valid trace id"),
        (span(8, end_s=5000), "in the future"),
        (span(8, end_s=-90_000), "too late to be counted"),
        (span(8, name="a\0b"), "NUL"),
        (span(8, duration_s=-1.0), "ends before it starts"),
    ],
)
def test_a_bad_span_costs_no_good_one(platform: Platform, store: Store, bad: Span, reason: str) -> None:
    stored = write(platform, bad, span(1))
    assert stored.rejected == 1
    assert reason in (stored.first_rejected or "")
    assert store.dead_letters.count() == 1
    assert summarised(platform)["operation_requests_per_second GET /cart"] == {60.0: 1 / 60}
