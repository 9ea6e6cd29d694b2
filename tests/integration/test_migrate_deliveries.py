"""Migration 0006: the lane of a delivery becomes a column; deliveries of the last release are converted."""

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg.types.json import Jsonb
from servers.postgres import down_to, fresh_database

from core.outbox import DeliveryLane
from pipelines.stores.migrate import migrate
from pipelines.stores.session import open_pool
from pipelines.stores.store import Store

LAST_RELEASE = "0003_signals"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
#: sink, signal, attempts, delivered, alert, error: as the last release stored them.
ROWS = [
    ("slack", "s1", 1, NOON, "s1", None),
    ("slack", "s2", 2, None, None, "slack does not answer"),
    ("slack/worse", "s1", 1, NOON, "s1", None),
    ("slack/ended", "s1", 0, None, None, None),
    ("webhook", "s1", 1, NOON, None, None),
    ("webhook/ended", "s1", 3, None, None, "webhook answered HTTP 500"),
]
QUERY = (
    "SELECT sink, signal_id, attempts, delivered_at, alert_id, error FROM deliveries ORDER BY sink, signal_id"
)


@pytest.fixture
def last_release(server_dsn: str) -> Iterator[str]:
    with fresh_database(server_dsn) as dsn:
        migrate(dsn)
        down_to(dsn, LAST_RELEASE)
        body = {
            "tenant": "acme",
            "kind": "anomaly",
            "service": "checkout",
            "started_at": NOON.isoformat(),
            "summary": "checkout is slow",
            "severity": "critical",
            "gates": [],
        }
        with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO signals (tenant, signal_id, kind, service, started_at, body)"
                " VALUES ('acme', %s, 'anomaly', 'checkout', %s, %s)",
                [(name, NOON, Jsonb({**body, "signal_id": name})) for name in ("s1", "s2")],
            )
            cursor.executemany(
                "INSERT INTO deliveries (tenant, sink, signal_id, attempts, delivered_at, alert_id, error)"
                " VALUES ('acme', %s, %s, %s, %s, %s, %s)",
                ROWS,
            )
        yield dsn


def test_deliveries_of_the_last_release_keep_their_lane_and_state(last_release: str) -> None:
    assert "0006_delivery_lanes" in migrate(last_release)
    with open_pool(last_release) as pool:
        deliveries = Store(pool, "acme").deliveries
        counts = {(one.sink, one.lane): one for one in deliveries.counts([])}
        assert {key: (one.waiting, one.failed, one.delivered) for key, one in counts.items()} == {
            ("slack", DeliveryLane.NEW): (0, 1, 1),
            ("slack", DeliveryLane.ESCALATED): (0, 0, 1),
            ("slack", DeliveryLane.ENDED): (1, 0, 0),
            ("webhook", DeliveryLane.NEW): (0, 0, 1),
            ("webhook", DeliveryLane.ESCALATED): (0, 0, 0),
            ("webhook", DeliveryLane.ENDED): (0, 1, 0),
        }
        assert counts["webhook", DeliveryLane.ENDED].error == "webhook answered HTTP 500"
        assert counts["slack", DeliveryLane.ENDED].since is not None
        assert deliveries.alert_ids("slack") == {"s1": "s1"}
        assert deliveries.received("slack", DeliveryLane.ESCALATED) == {"s1"}
        assert [signal.signal_id for signal in deliveries.due("slack", DeliveryLane.ENDED, NOON)] == ["s1"]


def test_the_way_back_restores_the_rows(last_release: str) -> None:
    with psycopg.connect(last_release) as connection:
        before = connection.execute(QUERY).fetchall()
    migrate(last_release)
    down_to(last_release, LAST_RELEASE)
    with psycopg.connect(last_release) as connection:
        assert connection.execute(QUERY).fetchall() == before
