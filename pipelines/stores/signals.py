"""The signals: a finding that is scored again is the same signal."""

from collections.abc import Sequence
from datetime import datetime

from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from core.counts import SignalCounts
from core.domain import Signal, SignalKind
from core.errors import InputError, NotFoundError
from pipelines.stores.session import Session, utc_or_none

_SIGNAL = TypeAdapter(Signal)


class SignalStore:
    """The signals of one tenant (`core.ports.SignalRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def upsert(self, signals: Sequence[Signal]) -> tuple[int, int]:
        """Store signals by their id; returns how many are new and how many changed.

        Raises:
            InputError: a signal belongs to another tenant.
        """
        new = updated = 0
        with self._session.atomically():
            for signal in sorted(signals, key=lambda signal: signal.signal_id):
                if signal.tenant != self._session.tenant:
                    raise InputError(f"signal {signal.signal_id} belongs to another tenant")
                rows = self._session.rows(
                    "INSERT INTO signals AS s (tenant, signal_id, kind, service, metric, started_at,"
                    " ended_at, suppressed_by, body)"
                    " VALUES (%(tenant)s, %(id)s, %(kind)s, %(service)s, %(metric)s,"
                    " %(started_at)s, %(ended_at)s, %(suppressed_by)s, %(body)s)"
                    " ON CONFLICT (tenant, signal_id) DO UPDATE SET (kind, service, metric, started_at,"
                    " ended_at, suppressed_by, body, updated_at) = (excluded.kind, excluded.service,"
                    " excluded.metric, excluded.started_at, excluded.ended_at, excluded.suppressed_by,"
                    " excluded.body, now()) WHERE s.body <> excluded.body RETURNING xmax = 0 AS inserted",
                    {
                        "id": signal.signal_id,
                        "kind": signal.kind,
                        "service": signal.service,
                        "metric": signal.metric,
                        "started_at": signal.started_at,
                        "ended_at": signal.ended_at,
                        "suppressed_by": signal.suppressed_by,
                        "body": Jsonb(_SIGNAL.dump_python(signal, mode="json")),
                    },
                )
                new += sum(row["inserted"] for row in rows)
                updated += sum(not row["inserted"] for row in rows)
        return new, updated

    def find(
        self,
        *,
        kind: SignalKind | None = None,
        service: str | None = None,
        since: datetime | None = None,
        suppressed: bool | None = None,
        limit: int | None = None,
        after: tuple[datetime, str] | None = None,
    ) -> list[Signal]:
        """Signals, newest first.

        Args:
            limit: at most so many; null: all.
            after: start and id of the last signal of the page before. New signals do not shift the pages.
            since: only those that started, or still lasted, at or after that time.
            suppressed: true: only those that a filter suppressed; false: only those that passed; null: all.
        """
        rows = self._session.rows(
            "SELECT body FROM signals WHERE tenant = %(tenant)s"
            " AND (%(kind)s::text IS NULL OR kind = %(kind)s)"
            " AND (%(service)s::text IS NULL OR service = %(service)s)"
            " AND (%(since)s::timestamptz IS NULL OR coalesce(ended_at, 'infinity') >= %(since)s)"
            " AND (%(suppressed)s::boolean IS NULL OR (suppressed_by IS NOT NULL) = %(suppressed)s)"
            " AND (%(after_at)s::timestamptz IS NULL OR started_at < %(after_at)s"
            "  OR (started_at = %(after_at)s AND signal_id > %(after_id)s::text))"
            " ORDER BY started_at DESC, signal_id LIMIT %(limit)s",
            {
                "kind": kind,
                "service": service,
                "since": since,
                "suppressed": suppressed,
                "limit": limit,
                "after_at": None if after is None else after[0],
                "after_id": None if after is None else after[1],
            },
        )
        return [signal_from_body(row["body"]) for row in rows]

    def counts(self, since: datetime) -> SignalCounts:
        """How many signals lasted at or after that time."""
        rows = self._session.rows(
            "SELECT count(*) FILTER (WHERE suppressed_by IS NULL) AS passed,"
            " count(*) FILTER (WHERE suppressed_by IS NOT NULL) AS suppressed,"
            " max(started_at) FILTER (WHERE suppressed_by IS NULL) AS newest"
            " FROM signals WHERE tenant = %(tenant)s AND coalesce(ended_at, 'infinity') >= %(since)s",
            {"since": since},
        )
        return SignalCounts(**{**rows[0], "newest": utc_or_none(rows[0]["newest"])})

    def unfinished(self) -> list[Signal]:
        """All signals that passed the filters and have not ended, oldest first."""
        rows = self._session.rows(
            "SELECT body FROM signals WHERE tenant = %(tenant)s AND suppressed_by IS NULL AND ended_at IS NULL"
            " ORDER BY started_at, signal_id",
            {},
        )
        return [signal_from_body(row["body"]) for row in rows]

    def get(self, signal_id: str) -> Signal:
        """One signal, by its id or the beginning of it.

        Raises:
            NotFoundError: this tenant has none with that id, or several that begin so.
        """
        rows = self._session.rows(
            "SELECT body FROM signals WHERE tenant = %(tenant)s AND starts_with(signal_id, %(id)s) LIMIT 2",
            {"id": signal_id},
        )
        if not rows:
            raise NotFoundError(f"there is no signal {signal_id!r}")
        if len(rows) > 1:
            raise NotFoundError(f"several signals begin with {signal_id!r}; give more characters of the id")
        return signal_from_body(rows[0]["body"])


def signal_from_body(body: object) -> Signal:
    """The signal from its stored JSON; it is validated again."""
    return _SIGNAL.validate_python(body)
