"""Which alerts of Grafana fire, from bodies in the form that its API sends."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fakes.memory_store import MemoryStore, memory_platform

from core.clock import FixedClock
from core.domain import Incident, Severity
from core.errors import InputError, UnavailableError
from core.settings import Settings
from pipelines.collect.ingest import IngestReport, ingest
from pipelines.sources.configured import configured_sources
from pipelines.sources.grafana_alerts import GrafanaAlerts

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTES = timedelta(minutes=1)
Respond = Callable[[httpx.Request], httpx.Response]


def alert(at: datetime = NOON, **labels: str) -> dict[str, Any]:
    return {
        "annotations": {},
        "endsAt": (at + 4 * MINUTES).isoformat(),
        "fingerprint": "eb977b43836c0ce9",
        "receivers": [{"name": "grafana-default-email"}],
        "startsAt": at.isoformat(),
        "status": {"inhibitedBy": [], "silencedBy": [], "state": "active"},
        "updatedAt": at.isoformat(),
        "generatorURL": "http://localhost:3000/alerting/grafana/e554be49/view",
        "labels": {"alertname": "Slow", "service": "checkout", "severity": "critical"} | labels,
    }


def grafana(respond: Respond, now: datetime = NOON) -> GrafanaAlerts:
    return GrafanaAlerts(
        "http://grafana:3000/",
        "secret",
        tenant="t",
        clock=FixedClock(now),
        transport=httpx.MockTransport(respond),
    )


def pulled(store: MemoryStore, alerts: list[Any], now: datetime) -> IngestReport:
    def respond(request: httpx.Request) -> httpx.Response:
        assert request.url == "http://grafana:3000/api/alertmanager/grafana/api/v2/alerts"
        assert request.headers["Authorization"] == "Bearer secret"
        return httpx.Response(200, json=alerts)

    return ingest(memory_platform(store, FixedClock(now)), grafana(respond, now))


def test_an_alert_is_an_incident_while_it_fires() -> None:
    store = MemoryStore()
    for minute, alerts in enumerate(
        [[], [alert()], [alert(), alert(NOON + MINUTES, pod="b")], [alert(NOON + MINUTES)], []]
    ):
        pulled(store, alerts, NOON + minute * MINUTES)
    (incident,) = store.incidents.between(NOON - MINUTES, NOON + 60 * MINUTES)
    assert incident == Incident(
        tenant="t",
        service="checkout",
        type="Slow",
        severity=Severity.CRITICAL,
        start=NOON,
        end=NOON + 4 * MINUTES,
    )


def test_our_own_alert_is_no_incident() -> None:
    store = MemoryStore()
    pulled(store, [alert(alertname="ForewarnBreach", signal_id="s1")], NOON)
    assert store.incidents.between(NOON - MINUTES, NOON + MINUTES) == []


def test_an_alert_that_cannot_be_read_is_one_dead_letter_however_often_it_is_pulled() -> None:
    store = MemoryStore()
    odd = [alert(service=""), "x", alert() | {"startsAt": "never"}, alert() | {"labels": None}]
    assert [pulled(store, [*odd, alert()], NOON + n * MINUTES).rejected for n in range(2)] == [4, 4]
    first = alert(service="") | {"updatedAt": "later", "endsAt": "later"}
    pulled(store, [first], NOON + 3 * MINUTES)
    assert len({row for _, row, _ in store.dead_letters.rows}) == 4
    assert len(store.incidents.between(NOON - MINUTES, NOON + MINUTES)) == 1


@pytest.mark.parametrize(
    ("response", "error", "text"),
    [
        (httpx.Response(401, json={"message": "Invalid API key secret"}), InputError, "GRAFANA_TOKEN"),
        (httpx.Response(403), InputError, "GRAFANA_TOKEN"),
        (httpx.Response(404), UnavailableError, "HTTP 404"),
        (httpx.Response(200, text="<html>"), UnavailableError, "no list of alerts"),
        (httpx.Response(200, json={"data": []}), UnavailableError, "no list of alerts"),
    ],
)
def test_another_response_is_an_error_without_the_token(
    response: httpx.Response, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text) as raised:
        list(grafana(lambda request: response).batches(None))
    assert "secret" not in str(raised.value)


def test_a_wrong_address_is_named() -> None:
    with pytest.raises(InputError, match="FOREWARN_GRAFANA_URL"):
        configured_sources(Settings(_env_file=None, grafana_url="grafana:3000"), "t", FixedClock(NOON))
