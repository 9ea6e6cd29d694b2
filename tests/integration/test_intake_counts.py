"""Counts of the intake are stored by several services at once, survive a restart, and are shown by `status`."""

import json
from datetime import timedelta
from pathlib import Path

import psycopg
from fakes.platform import platform_of
from fakes.signals import NOON
from prometheus_client import CollectorRegistry

from core.clock import FixedClock
from core.errors import UnavailableError
from core.intake import IntakeCount, IntakeKind, PriorityLane
from pipelines.operate.status_of_intake import intake
from pipelines.stores.store import Store
from serving.state.intake import Intake, Receipt, write_counts

ROOT = Path(__file__).parents[2]
MINUTE = timedelta(minutes=1)
METRICS = PriorityLane.METRICS


def counts_of(*pairs: tuple[IntakeKind, str, int]) -> list[IntakeCount]:
    return [IntakeCount(METRICS, "remote_write", *pair) for pair in pairs]


def test_counts_add_up_and_the_most_stays_the_most(store: Store) -> None:
    depth, new = (IntakeKind.MOST, "depth"), (IntakeKind.ITEMS, "new")
    store.intake.add(NOON, counts_of((*depth, 5), (*new, 10)))
    store.intake.add(NOON + MINUTE, counts_of((*depth, 3), (*new, 7)))
    store.intake.add(NOON + 10 * MINUTE, counts_of((*depth, 4), (*new, 1)))
    assert store.intake.since(NOON) == counts_of((*new, 18), (*depth, 5))
    assert store.intake.since(NOON + 6 * MINUTE) == counts_of((*new, 1), (*depth, 4))
    assert store.intake.since(NOON + 20 * MINUTE) == []


def test_status_shows_rate_duplicates_errors_and_latency_of_each_source(store: Store) -> None:
    platform = platform_of(store, FixedClock(NOON))
    assert list(intake(platform)) == []
    store.intake.add(
        NOON - MINUTE,
        [
            *counts_of((IntakeKind.ITEMS, "new", 900), (IntakeKind.ITEMS, "duplicate", 300)),
            *counts_of((IntakeKind.ERRORS, "busy", 20), (IntakeKind.ERRORS, "invalid", 2)),
            *counts_of((IntakeKind.LATENCY, "0.01", 60), (IntakeKind.LATENCY, "0.25", 39)),
            *counts_of((IntakeKind.LATENCY, "inf", 1), (IntakeKind.MOST, "depth", 7)),
            *counts_of((IntakeKind.MOST, "age_ms", 31_000)),
            IntakeCount(PriorityLane.ALERTS, "webhook:alerts", IntakeKind.LATENCY, "0.005", 1),
        ],
    )
    alerts, metrics = intake(platform)
    assert alerts.name == "intake alerts (P0) of webhook:alerts"
    assert alerts.problem is None
    assert metrics.name == "intake metrics (P2) of remote_write"
    assert metrics.state == (
        "100 requests in an hour; 20 items a minute; 25% duplicates; errors: busy 20, invalid 2;"
        " p50 under 10 ms, p95 under 250 ms, p99 under 250 ms; at most 7 at once, the oldest 31 s"
    )
    assert metrics.problem is not None
    assert "20 requests of remote_write (lane metrics) failed in the last hour: busy 20." in metrics.problem


def test_counts_that_could_not_be_stored_are_stored_the_next_time(store: Store) -> None:
    counting = Intake(CollectorRegistry())
    for number in range(3):
        arrival = counting.arrival(METRICS, "remote_write")
        arrival.tenant = store.tenant
        arrival.complete()
        arrival.admit(None)
        arrival.finish(204, None, Receipt(new=number))
        if number == 0:
            arrival = counting.arrival(METRICS, "remote_write")
            arrival.tenant = store.tenant
            arrival.finish(429, None, Receipt())

    def is_down(tenant: str, counts: object) -> None:
        raise UnavailableError("the database does not answer")

    write_counts(counting, is_down)
    for _ in range(2):  # the second time there is nothing new
        write_counts(counting, lambda tenant, counts: store.intake.add(NOON, counts))
    found = {(one.kind, one.name): one.count for one in store.intake.since(NOON)}
    assert found.pop((IntakeKind.MOST, "age_ms")) < 1_000
    assert sum(found.pop(key) for key in [key for key in found if key[0] is IntakeKind.LATENCY]) == 3
    assert found == {
        (IntakeKind.ITEMS, "new"): 3,
        (IntakeKind.ERRORS, "rate"): 1,
        (IntakeKind.MOST, "depth"): 1,
    }


def test_the_panels_of_the_dashboard_show_the_counts(store: Store, dsn: str) -> None:
    store.intake.add(
        NOON,
        [
            *counts_of((IntakeKind.ITEMS, "new", 60), (IntakeKind.ITEMS, "duplicate", 20)),
            *counts_of((IntakeKind.LATENCY, "0.01", 97), (IntakeKind.LATENCY, "inf", 3)),
            *counts_of((IntakeKind.ERRORS, "busy", 2), (IntakeKind.MOST, "depth", 7)),
            *counts_of((IntakeKind.MOST, "age_ms", 1_500)),
        ],
    )
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/forewarn.json").read_text())
    panels = [one for one in dashboard["panels"] if one["title"].startswith("Intake")]
    shown = {}
    with psycopg.connect(dsn) as connection:
        for panel in panels:
            query = panel["targets"][0]["rawSql"].replace("$tenant", store.tenant)
            rows = connection.execute(query.replace("$__timeFilter(at)", "true")).fetchall()
            shown[panel["title"].removeprefix("Intake: ")] = [row[1:] for row in rows]
    assert shown == {
        "items a minute": [("metrics remote_write", 16)],
        "latency": [("metrics p50", 0.01), ("metrics p95", 0.01), ("metrics p99", 60.0)],
        "most requests at once": [("metrics remote_write", 7)],
        "oldest request": [("metrics", 1.5)],
        "duplicates and errors": [
            ("remote_write", "duplicates", "25.0 %"),
            ("remote_write", "error: busy", "2"),
        ],
    }
