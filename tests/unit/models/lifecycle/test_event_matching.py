"""Signals against incidents, by event."""

from datetime import UTC, datetime, timedelta

import pytest

from core.domain import Incident, Severity, Signal, SignalKind
from models.lifecycle.event_matching import match_events

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def signal(service: str, at: datetime) -> Signal:
    return Signal(
        signal_id=f"{service}{at}",
        tenant="acme",
        kind=SignalKind.ANOMALY,
        service=service,
        started_at=at,
        summary="",
        severity=Severity.WARNING,
    )


def incident(service: str, start: datetime, minutes: int | None = 30) -> Incident:
    end = None if minutes is None else start + timedelta(minutes=minutes)
    return Incident(
        tenant="acme", service=service, type="disk_full", severity=Severity.CRITICAL, start=start, end=end
    )


def test_a_signal_before_an_incident_of_its_service_is_right_and_its_lead_is_told() -> None:
    score = match_events([signal("a", NOON - timedelta(hours=4))], [incident("a", NOON)])
    assert (score.precision, score.recall, score.f1) == (1.0, 1.0, 1.0)
    assert score.median_lead_s == 4 * 3600


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(signal("b", NOON), id="another service"),
        pytest.param(signal("a", NOON - timedelta(hours=13)), id="too early to be about it"),
        pytest.param(signal("a", NOON + timedelta(hours=2)), id="long after it"),
    ],
)
def test_a_signal_about_something_else_finds_nothing(told: Signal) -> None:
    score = match_events([told], [incident("a", NOON)])
    assert (score.precision, score.recall, score.f1) == (0.0, 0.0, 0.0)


def test_an_incident_that_still_lasts_can_be_found() -> None:
    score = match_events([signal("a", NOON + timedelta(days=3))], [incident("a", NOON, minutes=None)])
    assert score.recall == 1.0


def test_many_signals_about_one_incident_find_one_incident() -> None:
    told = [signal("a", NOON - timedelta(hours=h)) for h in (1, 2, 3)]
    score = match_events(told, [incident("a", NOON), incident("b", NOON)])
    assert (score.precision, score.recall, score.incidents) == (1.0, 0.5, 2)


def test_without_signals_or_incidents_a_share_is_null_and_not_zero() -> None:
    assert match_events([], []).precision is None
    assert match_events([], []).recall is None
