import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fakes.platform import advanced, platform_of
from fakes.receiver import Receiver
from fakes.signals import make_signal
from servers.alertmanager import PROGRAM, running_alertmanager

from core.clock import FixedClock
from core.domain import Breach, Severity, Signal, SignalKind, TimeRange
from core.watch_cycles import WATCH_EVERY_S
from pipelines.common.tenant_platform import Platform
from pipelines.sinks.alertmanager import AlertmanagerSink
from pipelines.sinks.alerts import Links
from pipelines.sources.webhook_formats.registered import parse_webhook
from pipelines.sources.webhook_formats.webhook_format import Webhook
from pipelines.stores.store import Store
from pipelines.watch.deliver import deliver

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Debian's prometheus-alertmanager is not installed")

# Alertmanager has a clock of its own, so these tests live in the present.
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def hooked() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def url(hooked: Receiver) -> Iterator[str]:
    with running_alertmanager(f"{hooked.url}/alerts") as url:
        yield url


@pytest.fixture
def platform(store: Store, url: str) -> Platform:
    clock = FixedClock(NOW)
    sink = AlertmanagerSink(url, Links("http://forewarn", "http://runbooks"), clock)
    return platform_of(store, clock, sinks=(sink,))


def keep(platform: Platform, **fields: Any) -> Signal:
    defaults: dict[str, Any] = {"started_at": NOW - timedelta(minutes=20), "signal_id": "s1"}
    signal = make_signal(tenant=platform.tenant, **defaults | fields)
    platform.store.signals.upsert([signal])
    return signal


def alerts(platform: Platform, url: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{url}/api/v2/alerts", params={"filter": f'tenant="{platform.tenant}"'})
    found: list[dict[str, Any]] = answer.raise_for_status().json()
    return found


def test_a_predictive_alert_is_read_back_from_the_api_and_ends(platform: Platform, url: str) -> None:
    when = TimeRange(
        p10=NOW + timedelta(hours=3), p50=NOW + timedelta(minutes=250), p90=NOW + timedelta(hours=6)
    )
    breach = Breach(threshold=1.0, probability=0.9, horizon_s=86_400, when=when)
    fields: dict[str, Any] = {"kind": SignalKind.BREACH, "metric": "disk_used_ratio", "breach": breach}
    keep(platform, **fields)
    deliver(platform)
    deliver(platform)
    (alert,) = alerts(platform, url)
    assert alert["annotations"]["summary"] == "checkout: disk full in 4 h 10 min, between 3 h and 6 h"
    assert alert["annotations"]["runbook_url"] == "http://runbooks/breach?service=checkout"
    assert alert["labels"]["alertname"] == "ForewarnBreach"
    assert alert["generatorURL"] == "http://forewarn/#signal=s1"
    keep(platform, **fields, ended_at=NOW)
    deliver(platform)
    assert alerts(platform, url) == []


def test_a_raised_severity_replaces_the_lower_alert(platform: Platform, url: str) -> None:
    keep(platform)
    deliver(platform)
    keep(platform, signal_id="s2", severity=Severity.CRITICAL, started_at=NOW - timedelta(minutes=15))
    deliver(platform)
    (alert,) = alerts(platform, url)
    assert (alert["labels"]["signal_id"], alert["labels"]["severity"]) == ("s1", "critical")


def test_alerts_of_a_forewarn_that_has_stopped_end_two_cycles_later(platform: Platform, url: str) -> None:
    stopped = datetime.now(UTC) - timedelta(seconds=2 * WATCH_EVERY_S - 3)
    keep(platform, started_at=stopped)
    clock = FixedClock(stopped)
    sink = AlertmanagerSink(url, Links("http://forewarn"), clock)
    deliver(replace(platform, clock=clock, sinks=(sink,)))
    assert [alert["labels"]["signal_id"] for alert in alerts(platform, url)] == ["s1"]
    _wait(lambda: alerts(platform, url) == [])


def test_nothing_is_lost_while_alertmanager_is_not_there(store: Store) -> None:
    with Receiver() as gone:
        nowhere = gone.url
    clock = FixedClock(NOW)
    down = platform_of(store, clock, sinks=(AlertmanagerSink(nowhere, Links("http://forewarn"), clock),))
    keep(down)
    assert deliver(down).failed == {"alertmanager": 1}
    with running_alertmanager() as url:
        later = advanced(down, seconds=60)
        up = replace(later, sinks=(AlertmanagerSink(url, Links("http://forewarn"), later.clock),))
        assert deliver(up).delivered == {"alertmanager": 1}
        assert [alert["labels"]["signal_id"] for alert in alerts(up, url)] == ["s1"]


def test_an_alert_of_others_comes_back_as_an_incident_and_ours_does_not(
    platform: Platform, url: str, hooked: Receiver
) -> None:
    keep(platform)
    deliver(platform)
    labels = {"alertname": "HighErrors", "service": "search", "tenant": platform.tenant, "severity": "page"}
    httpx.post(f"{url}/api/v2/alerts", json=[{"labels": labels}]).raise_for_status()

    def posted() -> list[dict[str, Any]]:
        bodies = [request.json() for request in list(hooked.requests)]
        return [
            alert
            for body in bodies
            for alert in body["alerts"]
            if alert["labels"]["tenant"] == platform.tenant
        ]

    _wait(lambda: {alert["labels"]["alertname"] for alert in posted()} == {"HighErrors", "ForewarnAnomaly"})
    batch = parse_webhook(Webhook.ALERTS, {"alerts": posted()}, platform.tenant)
    assert {(incident.service, incident.severity) for incident in batch.incidents} == {
        ("search", Severity.CRITICAL)
    }


def _wait(holds: Callable[[], bool], for_s: float = 20) -> None:
    deadline = time.monotonic() + for_s
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
