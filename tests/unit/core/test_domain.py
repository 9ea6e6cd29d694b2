"""The vocabulary refuses what makes no sense, and its ids are stable."""

import copy
import pickle
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain import (
    Band,
    Event,
    EventKind,
    FailureRisk,
    FilterResult,
    Incident,
    Series,
    Severity,
    Signal,
    SignalKind,
    TimeRange,
)
from core.errors import InputError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_series_id_never_changes_from_release_to_release() -> None:
    series = Series(tenant="acme", service="checkout", metric="cpu", labels={"b": "2", "a": "1"})
    assert series.series_id == 1653782219899751612
    assert series.name == "checkout/cpu{a=1,b=2}"


NAMES = st.text(
    st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\x7f"),
    min_size=1,
    max_size=200,
)


@given(NAMES, NAMES)
def test_the_same_metric_of_two_tenants_is_two_series(one: str, other: str) -> None:
    first = Series(tenant=one, service="checkout", metric="cpu")
    second = Series(tenant=other, service="checkout", metric="cpu")
    assert (first.series_id == second.series_id) == (one == other)
    assert 0 <= first.series_id < 2**63


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: Series(tenant="", service="a", metric="b"), id="no tenant"),
        pytest.param(lambda: Series(tenant="t", service="a\x1fb", metric="c"), id="the separator of ids"),
        pytest.param(lambda: Series(tenant="t", service="a", metric="b", labels={"x": "\0"}), id="a NUL"),
        pytest.param(lambda: Series(tenant="t", service="a", metric="\ud800"), id="half a surrogate pair"),
        pytest.param(lambda: Series(tenant="t", service="a", metric="b", step_s=0), id="no step"),
        pytest.param(lambda: Series(tenant="t", service="a", metric="b", limit=float("nan")), id="limit"),
        pytest.param(lambda: Band(expected=1, lower=2, upper=1), id="band upside down"),
        pytest.param(lambda: TimeRange(p10=NOON, p50=NOON - HOUR, p90=NOON), id="range out of order"),
        pytest.param(
            lambda: Event(tenant="t", service="a", kind=EventKind.DEPLOY, at=NOON.replace(tzinfo=None)),
            id="naive time",
        ),
        pytest.param(
            lambda: Event(tenant="t", service="a", kind=EventKind.DEPLOY, at=NOON.astimezone(timezone(HOUR))),
            id="not UTC",
        ),
        pytest.param(
            lambda: Incident(
                tenant="t", service="a", type="x", severity=Severity.INFO, start=NOON, end=NOON - HOUR
            ),
            id="ends before it starts",
        ),
        pytest.param(
            lambda: FailureRisk(probability_by_horizon_s={3600: 0.5, 7200: 0.4}, when=None, likely_type=None),
            id="risk falls with the horizon",
        ),
        pytest.param(
            lambda: FailureRisk(probability_by_horizon_s={3600: 1.5}, when=None, likely_type=None),
            id="probability over one",
        ),
    ],
)
def test_what_makes_no_sense_cannot_be_built(build: object) -> None:
    assert callable(build)
    with pytest.raises(InputError):
        build()


def test_a_signal_names_the_first_gate_that_stopped_it() -> None:
    filters = (
        FilterResult(name="baseline", passed=True, reason=""),
        FilterResult(name="predictable", passed=False, reason="a random walk"),
        FilterResult(name="impact", passed=False, reason="harmless direction"),
    )
    signal = Signal(
        signal_id="1",
        tenant="t",
        kind=SignalKind.ANOMALY,
        service="a",
        started_at=NOON,
        summary="",
        severity=Severity.INFO,
        filters=filters,
    )
    assert signal.suppressed_by == "predictable"


def test_the_threshold_is_what_users_notice_first() -> None:
    assert Series(tenant="t", service="a", metric="m", limit=10, slo_threshold=8).threshold == 8
    assert Series(tenant="t", service="a", metric="m", limit=10).threshold == 10
    assert Series(tenant="t", service="a", metric="m").threshold is None


def test_a_copied_series_has_the_id_of_its_own_fields() -> None:
    series = Series(tenant="t", service="db", metric="m", labels={"b": "1", "a": "2"}, limit=3.0)
    pickled = pickle.loads(pickle.dumps(series))  # noqa: S301 - our own bytes
    for copied in (pickled, copy.copy(series), copy.deepcopy(series)):
        assert (copied, copied.series_id) == (series, series.series_id)
    other = replace(series, metric="n")
    assert (
        other.series_id == Series(tenant="t", service="db", metric="n", labels={"a": "2", "b": "1"}).series_id
    )
    assert other.series_id != series.series_id
    assert "series_id" not in asdict(series)
