"""The earlier limits of series, with the time at which each ended."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from core.limit_changes import MOST_A_DAY, WITHIN, LimitChange, PastLimits
from pipelines.stores.binary import Int8Array
from pipelines.stores.session import Session, utc


class LimitChangeStore:
    """The limit changes of one tenant (`core.limit_changes.LimitChangeRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, changes: Sequence[LimitChange], at: datetime) -> list[LimitChange]:
        """Store changes; returns those that were stored: at most `MOST_A_DAY` of a series."""
        return [change for change in changes if self._add(change, at)]

    def _add(self, change: LimitChange, at: datetime) -> bool:
        rows = self._session.rows(
            "INSERT INTO limit_changes (tenant, series_id, at, limit_before, limit_after)"
            " SELECT %(tenant)s, %(series_id)s, %(at)s, %(before)s, %(after)s WHERE"
            " (SELECT count(*) FROM limit_changes WHERE tenant = %(tenant)s AND series_id = %(series_id)s"
            " AND at > %(since)s AND at <= %(at)s) < %(most)s"
            " ON CONFLICT DO NOTHING RETURNING series_id",
            {
                "series_id": change.series.series_id,
                "at": at,
                "before": change.before,
                "after": change.after,
                "since": at - WITHIN,
                "most": MOST_A_DAY,
            },
        )
        return bool(rows)

    def past_limits(self, series_ids: Sequence[int]) -> Mapping[int, PastLimits]:
        """The earlier limits of these series, of those that have some."""
        rows = self._session.rows(
            "SELECT series_id, at, limit_before FROM limit_changes"
            " WHERE tenant = %(tenant)s AND series_id = ANY(%(ids)s::bigint[]) ORDER BY series_id, at",
            {"ids": Int8Array(series_ids)},
        )
        found: dict[int, list[tuple[datetime, float]]] = {}
        for row in rows:
            found.setdefault(row["series_id"], []).append((utc(row["at"]), row["limit_before"]))
        return found
