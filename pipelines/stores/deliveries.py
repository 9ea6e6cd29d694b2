"""The outbox: which signals still have to be sent to which sink."""

from collections.abc import Sequence
from datetime import datetime

from core.domain import Severity, Signal
from core.errors import NotFoundError
from pipelines.stores.session import Session
from pipelines.stores.signals import signal_from_body


class DeliveryStore:
    """The deliveries of one tenant (`core.ports.DeliveryRepository`).

    A signal stays due until the receiver has accepted it. A sink has one queue for each delivery lane.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def enqueue(self, sink_names: Sequence[str], signal_ids: Sequence[str]) -> int:
        """Make signals due at sinks, each once; returns how many deliveries are new.

        Raises:
            NotFoundError: this tenant does not have one of the signals.
        """
        with self._session.atomically():
            rows = self._session.rows(
                "SELECT i.id FROM unnest(%(ids)s::text[]) AS i (id) WHERE NOT EXISTS"
                " (SELECT FROM signals s WHERE s.tenant = %(tenant)s AND s.signal_id = i.id)",
                {"ids": list(signal_ids)},
            )
            if rows:
                raise NotFoundError(f"there is no signal {rows[0]['id']!r}")
            return self._session.execute(
                "INSERT INTO deliveries (tenant, sink, signal_id) SELECT %(tenant)s, s.name, i.id"
                " FROM unnest(%(sinks)s::text[]) AS s (name), unnest(%(ids)s::text[]) AS i (id)"
                " ORDER BY s.name, i.id ON CONFLICT DO NOTHING",
                {"sinks": list(sink_names), "ids": list(signal_ids)},
            )

    def enqueue_passed(self, sink_names: Sequence[str]) -> int:
        """Make every signal that no filter suppressed due at sinks, each once; returns how many are new."""
        return self._session.execute(
            "INSERT INTO deliveries (tenant, sink, signal_id) SELECT %(tenant)s, k.name, s.signal_id"
            " FROM signals s, unnest(%(sinks)s::text[]) AS k (name)"
            " WHERE s.tenant = %(tenant)s AND s.suppressed_by IS NULL AND NOT EXISTS (SELECT FROM deliveries d"
            "  WHERE d.tenant = s.tenant AND d.sink = k.name AND d.signal_id = s.signal_id)"
            " ORDER BY k.name, s.signal_id ON CONFLICT DO NOTHING",
            {"sinks": list(sink_names)},
        )

    def enqueue_ended(self, sink: str, lane: str) -> int:
        """Make due in `lane`, each once, the signals that `sink` received and that ended; returns how many are new."""
        return self._session.execute(
            "INSERT INTO deliveries (tenant, sink, signal_id) SELECT d.tenant, %(lane)s, d.signal_id"
            " FROM deliveries d JOIN signals s USING (tenant, signal_id)"
            " WHERE d.tenant = %(tenant)s AND d.sink = %(sink)s AND d.delivered_at IS NOT NULL"
            " AND s.ended_at IS NOT NULL ORDER BY d.signal_id ON CONFLICT DO NOTHING",
            {"sink": sink, "lane": lane},
        )

    def enqueue_escalated(self, sink: str, lane: str) -> int:
        """Make due in `lane`, each once, signals that `sink` received and that are critical now.

        Returns:
            How many are new.
        """
        return self._session.execute(
            "INSERT INTO deliveries (tenant, sink, signal_id) SELECT d.tenant, %(lane)s, d.signal_id"
            " FROM deliveries d JOIN signals s USING (tenant, signal_id)"
            " WHERE d.tenant = %(tenant)s AND d.sink = %(sink)s AND d.delivered_at IS NOT NULL"
            " AND s.ended_at IS NULL AND s.body->>'severity' = %(critical)s"
            " ORDER BY d.signal_id ON CONFLICT DO NOTHING",
            {"sink": sink, "lane": lane, "critical": Severity.CRITICAL.value},
        )

    def due(self, sink: str, now: datetime) -> list[Signal]:
        """The signals that the sink has not received yet, oldest first. Failed ones wait for their next attempt."""
        rows = self._session.rows(
            "SELECT s.body FROM deliveries d JOIN signals s USING (tenant, signal_id)"
            " WHERE d.tenant = %(tenant)s AND d.sink = %(sink)s AND d.delivered_at IS NULL"
            " AND (d.retry_at IS NULL OR d.retry_at <= %(now)s) ORDER BY s.started_at, s.signal_id",
            {"sink": sink, "now": now},
        )
        return [signal_from_body(row["body"]) for row in rows]

    def delivered(self, sink: str, signal_ids: Sequence[str], *, alert_id: str | None = None) -> None:
        """Mark signals as delivered; `alert_id` names the alert that carried them."""
        self._session.execute(
            "UPDATE deliveries SET delivered_at = now(), attempts = attempts + 1, error = NULL,"
            " retry_at = NULL, alert_id = %(alert_id)s"
            " WHERE tenant = %(tenant)s AND sink = %(sink)s AND signal_id = ANY(%(ids)s)"
            " AND delivered_at IS NULL",
            {"sink": sink, "ids": list(signal_ids), "alert_id": alert_id},
        )

    def failed(self, sink: str, signal_ids: Sequence[str], error: str, retry_at: datetime) -> None:
        """Postpone signals that the receiver did not accept."""
        self._session.execute(
            "UPDATE deliveries SET attempts = attempts + 1, error = %(error)s, retry_at = %(retry_at)s"
            " WHERE tenant = %(tenant)s AND sink = %(sink)s AND signal_id = ANY(%(ids)s)"
            " AND delivered_at IS NULL",
            {"sink": sink, "ids": list(signal_ids), "error": error, "retry_at": retry_at},
        )

    def attempts(self, sink: str) -> dict[str, int]:
        """Signal id -> number of failed attempts, of all signals that are not delivered yet."""
        rows = self._session.rows(
            "SELECT signal_id, attempts FROM deliveries WHERE tenant = %(tenant)s AND sink = %(sink)s"
            " AND delivered_at IS NULL ORDER BY signal_id",
            {"sink": sink},
        )
        return {row["signal_id"]: row["attempts"] for row in rows}

    def received(self, sink: str) -> set[str]:
        """The ids of the signals that the sink has accepted."""
        rows = self._session.rows(
            "SELECT signal_id FROM deliveries WHERE tenant = %(tenant)s AND sink = %(sink)s"
            " AND delivered_at IS NOT NULL",
            {"sink": sink},
        )
        return {row["signal_id"] for row in rows}

    def alert_ids(self, sink: str) -> dict[str, str]:
        """Signal id -> the alert that carried it to that sink."""
        rows = self._session.rows(
            "SELECT signal_id, alert_id FROM deliveries WHERE tenant = %(tenant)s AND sink = %(sink)s"
            " AND delivered_at IS NOT NULL AND alert_id IS NOT NULL ORDER BY signal_id",
            {"sink": sink},
        )
        return {row["signal_id"]: row["alert_id"] for row in rows}

    def waiting(self, sink: str) -> int:
        """How many deliveries the sink has not accepted yet, in all its lanes (`name`, `name/...`)."""
        rows = self._session.rows(
            "SELECT count(*) AS n FROM deliveries WHERE tenant = %(tenant)s AND delivered_at IS NULL"
            " AND (sink = %(sink)s OR starts_with(sink, %(sink)s || '/'))",
            {"sink": sink},
        )
        return int(rows[0]["n"])
