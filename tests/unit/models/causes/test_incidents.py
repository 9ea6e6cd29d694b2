from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain import Breach, Event, EventKind, Severity, Signal, SignalKind, TimeRange
from models.causes.incidents import DetectedIncident, correlate, fold, most_urgent

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
EDGES = [("web", "checkout"), ("checkout", "orders-db"), ("search", "index")]


def signal(service: str, minute: float = 0, **rest: Any) -> Signal:
    fields: dict[str, Any] = {
        "signal_id": f"{service}-{minute}",
        "tenant": "t",
        "kind": SignalKind.ANOMALY,
        "service": service,
        "metric": "latency",
        "started_at": NOON + timedelta(minutes=minute),
        "summary": f"{service} is slow",
        "severity": Severity.WARNING,
    }
    return Signal(**fields | rest)


def ids(incidents: list[DetectedIncident]) -> list[list[str]]:
    return [[signal.signal_id for signal in trouble.signals] for trouble in incidents]


def test_signals_of_one_service_that_begin_together_are_one_trouble() -> None:
    assert ids(correlate([signal("web", 20), signal("web", 0)])) == [["web-0", "web-20"]]


def test_signals_that_begin_far_apart_are_two_troubles_even_while_the_first_lasts() -> None:
    assert len(correlate([signal("web", 0), signal("web", 31)])) == 2


def test_a_chain_of_onsets_is_one_trouble() -> None:
    assert len(correlate([signal("web", 0), signal("web", 25), signal("web", 50)])) == 1


def test_unrelated_services_are_two_troubles() -> None:
    assert len(correlate([signal("web"), signal("search")], EDGES)) == 2


def test_trouble_is_followed_along_the_graph_and_comes_from_what_is_called() -> None:
    (trouble,) = correlate([signal("web", 5), signal("orders-db", 10), signal("checkout", 0)], EDGES)
    assert trouble.services == ("checkout", "web", "orders-db")
    assert trouble.service == "orders-db"


def test_a_service_in_between_without_a_signal_does_not_break_the_chain() -> None:
    assert len(correlate([signal("web"), signal("orders-db")], EDGES)) == 1


def test_two_callers_of_a_healthy_service_are_not_related_by_it() -> None:
    assert len(correlate([signal("a"), signal("b")], [("a", "db"), ("b", "db")])) == 2


def test_a_circle_in_the_graph_ends_and_the_origin_is_what_began() -> None:
    (trouble,) = correlate([signal("a", 3), signal("b", 1)], [("a", "b"), ("b", "a")])
    assert trouble.service == "b"


def test_a_forecast_and_the_anomaly_that_fulfils_it_hours_later_are_one_trouble() -> None:
    forecast = signal("web", 0, series_id=7, kind=SignalKind.BREACH)
    anomaly = signal("web", 300, series_id=7)
    assert ids(correlate([anomaly, forecast])) == [["web-0", "web-300"]]


def test_on_one_series_what_has_ended_long_ago_is_another_trouble() -> None:
    over = signal("web", 0, series_id=7, ended_at=NOON + timedelta(minutes=10))
    assert len(correlate([over, signal("web", 41, series_id=7)])) == 2
    assert len(correlate([over, signal("web", 39, series_id=7)])) == 1


def test_a_long_signal_spans_short_ones_on_its_series() -> None:
    long = signal("web", 0, series_id=7, ended_at=NOON + timedelta(hours=10))
    short = signal("web", 60, series_id=7, ended_at=NOON + timedelta(minutes=61))
    assert len(correlate([long, short, signal("web", 500, series_id=7)])) == 1


def test_no_signals_make_no_trouble() -> None:
    assert correlate([]) == []


@given(
    st.lists(
        st.tuples(st.sampled_from(["web", "checkout", "orders-db", "search"]), st.integers(0, 200)),
        unique=True,
        max_size=12,
    ),
    st.randoms(),
)
def test_every_signal_is_in_exactly_one_trouble_whatever_the_order(
    places: list[tuple[str, int]], random: Any
) -> None:
    signals = [signal(service, minute) for service, minute in places]
    incidents = correlate(signals, EDGES)
    random.shuffle(signals)
    assert correlate(signals, EDGES) == incidents
    members = [member for group in ids(incidents) for member in group]
    assert sorted(members) == sorted(signal.signal_id for signal in signals)


def test_a_folded_trouble_is_about_its_most_urgent_signal_and_names_the_others() -> None:
    deploy = Event(tenant="t", service="web", kind=EventKind.DEPLOY, at=NOON, version="2")
    (trouble,) = correlate(
        [
            signal("web", 0, nearby_events=(deploy,)),
            signal("web", 1, severity=Severity.CRITICAL, metric="errors", nearby_events=(deploy,)),
            *(signal("web", 2, metric=f"m{i}", signal_id=f"x{i}") for i in range(4)),
        ]
    )
    about = fold(trouble)
    assert (about.signal_id, about.metric, about.severity) == ("web-1", "errors", Severity.CRITICAL)
    assert about.started_at == NOON + timedelta(minutes=1)
    assert about.factors[-1].text == "together with web latency, web m0, web m1 and 2 more"
    assert about.nearby_events == (deploy,)


def breach(minute: float, in_hours: float, severity: Severity = Severity.WARNING, **rest: Any) -> Signal:
    at = NOON + timedelta(hours=in_hours)
    when = TimeRange(p10=at, p50=at, p90=at)
    expected = Breach(threshold=1.0, probability=0.9, horizon_s=86_400, when=when)
    return signal(
        "db",
        minute,
        signal_id=f"in {in_hours} h",
        kind=SignalKind.BREACH,
        severity=severity,
        breach=expected,
        **rest,
    )


@pytest.mark.parametrize(
    ("signals", "first"),
    [
        # A full disk was hidden behind an anomaly that was five hours old.
        ([signal("web", -300), breach(0, 4)], "in 4 h"),
        ([breach(0, 9), breach(0, 4)], "in 4 h"),
        ([breach(0, 4), breach(0, -1)], "in -1 h"),
        ([breach(0, 4), signal("web", 0, severity=Severity.CRITICAL)], "web-0"),
        ([breach(0, 4, Severity.CRITICAL, ended_at=NOON), signal("web", 5)], "web-5"),
        ([signal("web", 5), signal("db", 0)], "db-0"),
    ],
    ids=["a time before none", "the sooner one", "what came before what will", "the more severe one",
         "what lasts before what ended", "what began first"],
)  # fmt: skip
def test_what_matters_most_now_leads(signals: list[Signal], first: str) -> None:
    assert most_urgent(signals).signal_id == most_urgent(signals[::-1]).signal_id == first


def test_the_severity_of_a_folded_trouble_is_that_of_what_lasts() -> None:
    over = signal("web", 1, severity=Severity.CRITICAL, ended_at=NOON + timedelta(minutes=9))
    (trouble,) = correlate([signal("web", 0), over])
    about = fold(trouble)
    assert (about.signal_id, about.severity, about.ended_at) == ("web-0", Severity.WARNING, None)


def test_a_folded_trouble_has_ended_when_all_of_it_has() -> None:
    ends = [NOON + timedelta(minutes=minute) for minute in (50, 40)]
    over = [signal("web", i, ended_at=end) for i, end in enumerate(ends)]
    assert fold(correlate(over)[0]).ended_at == ends[0]
    assert fold(correlate([*over, signal("web", 2)])[0]).ended_at is None


def test_the_end_of_an_alert_is_about_the_signal_that_began_it() -> None:
    first = signal("db", 0, ended_at=NOON + timedelta(minutes=40))
    worse = signal("web", 5, severity=Severity.CRITICAL, ended_at=NOON + timedelta(minutes=50))
    (trouble,) = correlate([first, worse], [("web", "db")])
    assert (fold(trouble, first).signal_id, fold(trouble, first).ended_at) == ("db-0", worse.ended_at)
    (lasting,) = correlate([first, replace(worse, ended_at=None)], [("web", "db")])
    assert fold(lasting, first).signal_id == "web-5"


def test_a_trouble_of_one_signal_folds_to_that_signal() -> None:
    alone = signal("web")
    assert fold(correlate([alone])[0]) is alone


@given(
    st.lists(
        st.tuples(st.sampled_from(["web", "checkout", "orders-db", "search", "index"]), st.integers(0, 300)),
        unique=True,
        max_size=15,
    )
)
def test_troubles_are_those_of_a_naive_comparison_of_all_pairs(places: list[tuple[str, int]]) -> None:
    calls = {("web", "checkout"), ("checkout", "orders-db"), ("web", "orders-db"), ("search", "index")}
    groups = [{place} for place in places]
    for one in places:
        for other in places:
            services = one[0], other[0]
            if abs(one[1] - other[1]) <= 30 and (
                services[0] == services[1] or services in calls or services[::-1] in calls
            ):
                first, second = (next(g for g in groups if place in g) for place in (one, other))
                if first is not second:
                    groups.remove(second)
                    first |= second
    expected = {frozenset(f"{service}-{minute}" for service, minute in group) for group in groups}
    incidents = correlate([signal(service, minute) for service, minute in places], EDGES)
    assert {frozenset(group) for group in ids(incidents)} == expected
