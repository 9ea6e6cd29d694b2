"""Suspects of made-up incidents, each of which shows one rule."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from core.domain import Role, Series
from models.causes.localise import Deviation, Origin, deviations, rank_suspects

ONSET = datetime(2026, 3, 2, 12, tzinfo=UTC)
EDGES = [("web", "cart"), ("web", "pay"), ("cart", "db")]


def own(service: str, metric: str, sigma: float, change: float | None = None, **rest: Any) -> Deviation:
    series = Series(tenant="t", service=service, metric=metric, **rest)
    return Deviation(series=series, sigma=sigma, change=sigma if change is None else change)


def slow(service: str, sigma: float, seconds: float, metric: str = "latency_p99") -> Deviation:
    return own(service, metric, sigma, seconds, role=Role.LATENCY)


def between(caller: str, callee: str, seen_by: str, sigma: float, seconds: float) -> Deviation:
    labels = {"source": caller, "destination": callee, "reporter": seen_by}
    service = caller if seen_by == "source" else callee
    return own(service, "latency_p50", sigma, seconds, role=Role.LATENCY, labels=labels)


def first(found: list[Deviation]) -> tuple[str, Origin]:
    suspect = rank_suspects(found, EDGES)[0]
    return suspect.service, suspect.origin


def test_a_caller_that_is_slow_because_its_callee_is_comes_after_it() -> None:
    assert first([slow("web", 30, 2.0), slow("cart", 60, 1.9), slow("db", 90, 1.8)]) == ("db", Origin.SERVICE)


def test_a_callee_that_rose_by_nothing_to_speak_of_excuses_nobody() -> None:
    assert first([slow("cart", 30, 2.0), slow("db", 60, 0.001)])[0] == "db"  # rarer by itself ...
    assert first([slow("cart", 30, 2.0), slow("db", 10, 0.001)])[0] == "cart"  # ... but no excuse


def test_the_resource_that_its_service_uses_beyond_its_past_is_named_beside_what_is_felt() -> None:
    found = [own("cart", "cpu_usage", 40), slow("cart", 20, 1.0), slow("web", 18, 1.1)]
    assert first(found) == ("cart", Origin.CPU)


def test_a_resource_that_is_used_less_is_no_suspect() -> None:
    assert rank_suspects([own("cart", "cpu_usage", -40)], EDGES) == []


def test_the_cpu_of_a_host_that_several_share_counts_only_where_nothing_of_the_service_itself_is_measured() -> (
    None
):
    shared = [own("cart", "node_cpu", 30), own("pay", "node_cpu", 30), own("cart", "cpu_usage", 0)]
    assert first([*shared, own("pay", "cpu_usage", 25)]) == ("pay", Origin.CPU)
    assert first([own("cart", "node_cpu", 30)]) == ("cart", Origin.CPU)


def test_time_that_all_callers_wait_and_the_callee_does_not_take_is_lost_on_its_network() -> None:
    found = [
        between("web", "pay", "source", 80, 0.5), between("web", "pay", "destination", 0, 0.0),
        between("web", "cart", "source", 0, 0.0), between("web", "cart", "destination", 0, 0.0),
        slow("web", 30, 0.5),
    ]  # fmt: skip
    assert first(found) == ("pay", Origin.NETWORK)


def test_time_that_the_callee_takes_itself_is_not_lost_on_the_way() -> None:
    found = [between("web", "pay", "source", 80, 0.5), between("web", "pay", "destination", 80, 0.5)]
    assert first(found) == ("pay", Origin.SERVICE)


def test_a_success_rate_is_bad_when_it_falls_and_its_callers_fall_with_it() -> None:
    found = [own("web", "availability", -20, -0.05), own("cart", "availability", -40, -0.08)]
    assert first(found) == ("cart", Origin.SERVICE)
    assert rank_suspects([own("web", "availability", 20, 0.05)], EDGES) == []


def test_where_only_a_resource_moves_the_service_itself_is_suspect_after_it() -> None:
    assert [one.origin for one in rank_suspects([own("cart", "memory_used", 40)], EDGES)] == [
        Origin.MEMORY,
        Origin.SERVICE,
    ]


def test_noise_makes_no_suspects_and_circles_of_calls_do_no_harm() -> None:
    noise = [slow("web", 1.5, 0.01), slow("cart", -1.9, -0.01), own("db", "cpu", 1.0)]
    assert rank_suspects(noise, [*EDGES, ("db", "web"), ("web", "web")]) == []


def test_a_constant_that_moves_for_once_does_not_drown_the_rest() -> None:
    suspects = rank_suspects([own("db", "cpu", 1e12), own("pay", "cpu", 900.0)], EDGES)
    assert suspects[0].weight < 1.1 * next(one.weight for one in suspects if one.service == "pay")


def test_the_order_of_what_deviates_does_not_matter() -> None:
    found = [slow("web", 30, 2.0), slow("cart", 60, 1.9), own("pay", "cpu", 5), own("db", "memory", 5)]
    assert rank_suspects(found, EDGES) == rank_suspects(found[::-1], EDGES[::-1])


def test_deviations_hold_the_time_since_the_onset_against_that_before_and_look_no_further() -> None:
    series = Series(tenant="t", service="cart", metric="cpu", step_s=60)
    minutes = range(-40, 20)
    frame = pl.DataFrame({
        "series_id": [series.series_id] * len(minutes),
        "ts": [ONSET + timedelta(minutes=at) for at in minutes],
        "deviation_sigma": [2.0 if at < 0 else 7.0 if at < 5 else 99.0 for at in minutes],
        "value": [20.0 if at < 0 else 70.0 if at < 5 else 990.0 for at in minutes],
    })  # fmt: skip
    (one,) = deviations(frame, {series.series_id: series}, onset=ONSET, until=ONSET + timedelta(minutes=5))
    assert (one.sigma, one.change) == pytest.approx((5.0, 50.0))
    assert deviations(frame, {}, onset=ONSET, until=ONSET + timedelta(minutes=5)) == []
    early = frame.filter(pl.col("ts") < ONSET)
    assert deviations(early, {series.series_id: series}, onset=ONSET, until=ONSET) == []
