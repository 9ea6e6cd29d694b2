"""The outbox: which signals still have to be sent to which sink, in which lane."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from core.domain import Severity, Signal
from core.errors import NotFoundError
from core.outbox import LONGEST_RETRY_S, DeliveryLane, LaneCount, SinkState
from pipelines.stores.session import Session, utc, utc_or_none
from pipelines.stores.signals import signal_from_body

#: The signals that belong into each lane of the sink `k.name` and are not in it yet.
_MISSING = {
    DeliveryLane.NEW: (
        "SELECT k.name AS sink, 'new' AS lane, s.signal_id, s.created_at AS missing_since"
        " FROM signals s, unnest(%(sinks)s::text[]) AS k (name)"
        " WHERE s.tenant = %(tenant)s AND s.suppressed_by IS NULL AND NOT EXISTS (SELECT FROM deliveries o"
        "  WHERE (o.tenant, o.sink, o.lane, o.signal_id) = (s.tenant, k.name, 'new', s.signal_id))"
    ),
    DeliveryLane.ESCALATED: (
        "SELECT d.sink, 'escalated' AS lane, d.signal_id, s.updated_at AS missing_since"
        " FROM deliveries d JOIN signals s USING (tenant, signal_id)"
        " WHERE d.tenant = %(tenant)s AND d.sink = ANY(%(sinks)s) AND d.lane = 'new' AND d.delivered_at IS NOT NULL"
        f" AND s.ended_at IS NULL AND s.body->>'severity' = '{Severity.CRITICAL.value}'"
        " AND NOT EXISTS (SELECT FROM deliveries o WHERE (o.tenant, o.sink, o.lane, o.signal_id)"
        "  = (d.tenant, d.sink, 'escalated', d.signal_id))"
    ),
    DeliveryLane.ENDED: (
        "SELECT d.sink, 'ended' AS lane, d.signal_id, s.updated_at AS missing_since"
        " FROM deliveries d JOIN signals s USING (tenant, signal_id)"
        " WHERE d.tenant = %(tenant)s AND d.sink = ANY(%(sinks)s) AND d.lane = 'new' AND d.delivered_at IS NOT NULL"
        " AND s.ended_at IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM deliveries o WHERE (o.tenant, o.sink, o.lane, o.signal_id)"
        "  = (d.tenant, d.sink, 'ended', d.signal_id))"
    ),
}
_OF_LANE = "tenant = %(tenant)s AND sink = %(sink)s AND lane = %(lane)s"
_OPEN = "delivered_at IS NULL AND given_up_at IS NULL"


class DeliveryStore:
    """The deliveries of one tenant (`core.outbox.DeliveryRepository`).

    A signal stays due until the receiver has accepted it, or has rejected it too often.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def enqueue(self, sink: str, lane: DeliveryLane) -> int:
        """Put every signal that belongs into a lane into it, each once; returns how many are new."""
        return self._session.execute(
            "INSERT INTO deliveries (tenant, sink, lane, signal_id)"
            f" SELECT %(tenant)s, m.sink, m.lane, m.signal_id FROM ({_MISSING[lane]}) m"
            " ORDER BY m.signal_id ON CONFLICT DO NOTHING",
            {"sinks": [sink]},
        )

    def due(self, sink: str, lane: DeliveryLane, now: datetime) -> list[Signal]:
        """The signals to deliver now, oldest first. Failed ones wait for their next attempt.

        No attempt is postponed by more than `LONGEST_RETRY_S`. One that is further away was planned before the clock
        went back, and is due.
        """
        rows = self._session.rows(
            f"SELECT s.body FROM deliveries d JOIN signals s USING (tenant, signal_id) WHERE {_OF_LANE} AND {_OPEN}"
            " AND (d.retry_at IS NULL OR d.retry_at NOT BETWEEN %(now)s + interval '1 microsecond' AND %(longest)s)"
            " ORDER BY d.rejections, s.started_at, s.signal_id",
            {"sink": sink, "lane": lane, "now": now, "longest": now + timedelta(seconds=LONGEST_RETRY_S)},
        )
        return [signal_from_body(row["body"]) for row in rows]

    def delivered(
        self, sink: str, lane: DeliveryLane, signal_ids: Sequence[str], *, alert_id: str | None = None
    ) -> None:
        """Mark signals as delivered; `alert_id` names the alert that carried them."""
        self._session.execute(
            "UPDATE deliveries SET delivered_at = now(), attempts = attempts + 1, error = NULL,"
            f" retry_at = NULL, alert_id = %(alert_id)s WHERE {_OF_LANE} AND signal_id = ANY(%(ids)s) AND {_OPEN}",
            {"sink": sink, "lane": lane, "ids": list(signal_ids), "alert_id": alert_id},
        )

    def skip(self, sink: str, lane: DeliveryLane, signal_ids: Sequence[str]) -> None:
        """Mark signals as delivered that were never due in this lane.

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
            self._session.execute(
                "INSERT INTO deliveries (tenant, sink, lane, signal_id, delivered_at)"
                " SELECT %(tenant)s, %(sink)s, %(lane)s, i.id, now() FROM unnest(%(ids)s::text[]) AS i (id)"
                " ORDER BY i.id ON CONFLICT (tenant, sink, lane, signal_id)"
                " DO UPDATE SET delivered_at = now() WHERE deliveries.delivered_at IS NULL",
                {"sink": sink, "lane": lane, "ids": list(signal_ids)},
            )

    def failed(
        self, sink: str, lane: DeliveryLane, signal_ids: Sequence[str], error: str, retry_at: datetime
    ) -> None:
        """Postpone signals that the receiver did not accept."""
        self._session.execute(
            "UPDATE deliveries SET attempts = attempts + 1, error = %(error)s, retry_at = %(retry_at)s"
            f" WHERE {_OF_LANE} AND signal_id = ANY(%(ids)s) AND {_OPEN}",
            {"sink": sink, "lane": lane, "ids": list(signal_ids), "error": error, "retry_at": retry_at},
        )

    def rejected(
        self, sink: str, lane: DeliveryLane, signal_ids: Sequence[str], error: str, retry_at: datetime | None
    ) -> None:
        """Postpone signals that the receiver rejected; `retry_at` null: give them up."""
        self._session.execute(
            "UPDATE deliveries SET attempts = attempts + 1, rejections = rejections + 1, error = %(error)s,"
            " retry_at = %(retry_at)s::timestamptz,"
            " given_up_at = CASE WHEN %(retry_at)s::timestamptz IS NULL THEN now() END"
            f" WHERE {_OF_LANE} AND signal_id = ANY(%(ids)s) AND {_OPEN}",
            {"sink": sink, "lane": lane, "ids": list(signal_ids), "error": error, "retry_at": retry_at},
        )

    def release(self, sink: str, *, if_due_at: datetime | None = None) -> int:
        """Make due, in all lanes, what waits because the receiver failed; returns how many deliveries that were.

        What the receiver rejected keeps its time.

        Args:
            if_due_at: only if another delivery to the sink is due at this time; null: always.
        """
        return self._session.execute(
            "UPDATE deliveries SET retry_at = NULL WHERE tenant = %(tenant)s AND sink = %(sink)s"
            f" AND {_OPEN} AND rejections = 0 AND retry_at IS NOT NULL AND (%(at)s::timestamptz IS NULL"
            "  OR EXISTS (SELECT FROM deliveries o WHERE o.tenant = %(tenant)s AND o.sink = %(sink)s"
            "   AND o.delivered_at IS NULL AND o.given_up_at IS NULL"
            "   AND (o.retry_at IS NULL OR o.retry_at <= %(at)s::timestamptz)))",
            {"sink": sink, "at": if_due_at},
        )

    def attempts(self, sink: str, lane: DeliveryLane) -> dict[str, int]:
        """Signal id -> number of failed attempts, of all signals that are still to be delivered."""
        return self._open_counts("attempts", sink, lane)

    def rejections(self, sink: str, lane: DeliveryLane) -> dict[str, int]:
        """Signal id -> how often the receiver rejected it, of all signals that are still to be delivered."""
        return self._open_counts("rejections", sink, lane)

    def _open_counts(self, column: str, sink: str, lane: DeliveryLane) -> dict[str, int]:
        rows = self._session.rows(
            f"SELECT signal_id, {column} AS n FROM deliveries WHERE {_OF_LANE} AND {_OPEN} ORDER BY signal_id",
            {"sink": sink, "lane": lane},
        )
        return {row["signal_id"]: row["n"] for row in rows}

    def retry_given_up(self) -> int:
        """Make given up deliveries due again; returns how many."""
        return self._session.execute(
            "UPDATE deliveries SET given_up_at = NULL, rejections = 0, retry_at = NULL"
            " WHERE tenant = %(tenant)s AND given_up_at IS NOT NULL AND delivered_at IS NULL",
            {},
        )

    def received(self, sink: str, lane: DeliveryLane) -> set[str]:
        """The ids of the signals that the sink has accepted in this lane."""
        rows = self._session.rows(
            f"SELECT signal_id FROM deliveries WHERE {_OF_LANE} AND delivered_at IS NOT NULL",
            {"sink": sink, "lane": lane},
        )
        return {row["signal_id"] for row in rows}

    def alert_ids(self, sink: str) -> dict[str, str]:
        """Signal id -> the alert that carried it to that sink."""
        rows = self._session.rows(
            f"SELECT signal_id, alert_id FROM deliveries WHERE {_OF_LANE}"
            " AND delivered_at IS NOT NULL AND alert_id IS NOT NULL ORDER BY signal_id",
            {"sink": sink, "lane": DeliveryLane.NEW},
        )
        return {row["signal_id"]: row["alert_id"] for row in rows}

    def over(self, sink: str) -> set[str]:
        """The alerts of which people at that sink were told that they are over."""
        rows = self._session.rows(
            f"SELECT signal_id FROM deliveries WHERE {_OF_LANE} AND is_over",
            {"sink": sink, "lane": DeliveryLane.NEW},
        )
        return {row["signal_id"] for row in rows}

    def set_over(self, sink: str, alert_ids: Sequence[str], *, over: bool) -> None:
        """Remember whether people were told last that these alerts are over, or that they are not."""
        self._session.execute(
            f"UPDATE deliveries SET is_over = %(over)s WHERE {_OF_LANE} AND signal_id = ANY(%(ids)s)",
            {"sink": sink, "lane": DeliveryLane.NEW, "ids": list(alert_ids), "over": over},
        )

    def counts(self, sinks: Sequence[str]) -> list[LaneCount]:
        """The lanes of these sinks and of all others that ever had a delivery, by sink and lane."""
        missing = " UNION ALL ".join(
            f"SELECT m.sink, m.lane, 0, NULL::timestamptz, NULL::timestamptz, NULL, m.missing_since FROM ({query}) m"
            for query in _MISSING.values()
        )
        rows = self._session.rows(
            "SELECT sink, lane,"
            f" count(*) FILTER (WHERE {_OPEN} AND attempts = 0) AS waiting,"
            f" count(*) FILTER (WHERE {_OPEN} AND attempts > 0) AS failed,"
            " count(*) FILTER (WHERE given_up_at IS NOT NULL AND delivered_at IS NULL) AS given_up,"
            " count(*) FILTER (WHERE delivered_at IS NOT NULL) AS delivered,"
            f" min(enqueued_at) FILTER (WHERE {_OPEN}) AS since,"
            " coalesce((array_agg(error ORDER BY attempts DESC, enqueued_at)"
            "  FILTER (WHERE error IS NOT NULL AND delivered_at IS NULL))[1], '') AS error"
            " FROM (SELECT sink, lane, attempts, delivered_at, given_up_at, error, enqueued_at FROM deliveries"
            f"  WHERE tenant = %(tenant)s UNION ALL {missing}) d GROUP BY sink, lane",
            {"sinks": list(sinks)},
        )
        found = {(row["sink"], row["lane"]): row for row in rows}
        names = sorted({*sinks, *(sink for sink, _ in found)})
        return [
            LaneCount(**{**row, "lane": lane, "since": utc_or_none(row["since"])})
            if (row := found.get((sink, lane)))
            else LaneCount(sink=sink, lane=lane)
            for sink in names
            for lane in DeliveryLane
        ]

    def sink_states(self) -> Mapping[str, SinkState]:
        """Sink -> its state, of the receivers that fail now."""
        rows = self._session.rows(
            "SELECT sink, failing_since, retry_at, error FROM sink_states WHERE tenant = %(tenant)s ORDER BY sink",
            {},
        )
        return {
            row["sink"]: SinkState(
                sink=row["sink"],
                failing_since=utc(row["failing_since"]),
                retry_at=utc_or_none(row["retry_at"]),
                error=row["error"],
            )
            for row in rows
        }

    def sink_failed(self, sink: str, now: datetime, error: str, retry_at: datetime | None) -> None:
        """Remember that a receiver failed, and until when it wants no request."""
        self._session.execute(
            "INSERT INTO sink_states (tenant, sink, failing_since, retry_at, error)"
            " VALUES (%(tenant)s, %(sink)s, %(now)s, %(retry_at)s, %(error)s)"
            " ON CONFLICT (tenant, sink) DO UPDATE SET retry_at = excluded.retry_at, error = excluded.error",
            {"sink": sink, "now": now, "retry_at": retry_at, "error": error},
        )

    def sink_recovered(self, sink: str) -> None:
        """Remember that a receiver accepted something."""
        self._session.execute(
            "DELETE FROM sink_states WHERE tenant = %(tenant)s AND sink = %(sink)s", {"sink": sink}
        )
