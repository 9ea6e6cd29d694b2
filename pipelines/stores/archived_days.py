"""Which days of a tenant are archived, and which wait for the archive."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from core.archive import ArchiveSummary, ArchiveWait
from pipelines.stores.session import Session, utc, utc_or_none

_COLUMNS = "day, version, samples, size_bytes, checksum, rows_left, removed, superseded_from, verified_at"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedDay:
    """A day that has a file in the archive.

    Attributes:
        version: of its file, see `day_files`.
        checksum: of its samples, see `archive_format`.
        rows_left: so many samples of the day stayed in the database: all on TimescaleDB, which drops them by chunks.
        removed: series whose samples in the file are not valid any more.
        superseded_from: the files of this version up to the one before `version` are to be removed; null: none.
    """

    day: date
    version: int
    samples: int
    size_bytes: int
    checksum: str
    rows_left: int
    removed: frozenset[int]
    superseded_from: int | None
    verified_at: datetime


class ArchivedDayStore:
    """The archived days of one tenant."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def summary(self) -> ArchiveSummary:
        """What the archive has, and which days wait for it."""
        rows = self._session.rows(
            "SELECT count(*) AS days, coalesce(sum(samples), 0)::bigint AS samples,"
            " coalesce(sum(size_bytes), 0)::bigint AS size_bytes, min(day) AS first, max(day) AS last,"
            " min(verified_at) AS verified_at FROM archived_days WHERE tenant = %(tenant)s",
            {},
        )
        waits = self._session.rows(
            "SELECT since, first_day AS first, last_day AS last, days, error FROM archive_waits"
            " WHERE tenant = %(tenant)s",
            {},
        )
        wait = ArchiveWait(**{**waits[0], "since": utc(waits[0]["since"])}) if waits else None
        return ArchiveSummary(**{**rows[0], "verified_at": utc_or_none(rows[0]["verified_at"])}, wait=wait)

    def between(self, first: date, last: date) -> list[ArchivedDay]:
        """The days from `first` to `last` that have samples in the archive that are not in the database."""
        return self._select(
            "AND day BETWEEN %(first)s AND %(last)s AND rows_left < samples", first=first, last=last
        )

    def get(self, day: date) -> ArchivedDay | None:
        """A day; null: it is not archived."""
        return next(iter(self._select("AND day = %(day)s", day=day)), None)

    def all(self) -> list[ArchivedDay]:
        """All archived days, the oldest first."""
        return self._select("")

    def superseded(self) -> list[ArchivedDay]:
        """The days that have files of older versions still."""
        return self._select("AND superseded_from IS NOT NULL")

    def not_archived(self, before: datetime) -> list[date]:
        """The days before a moment that have samples in the database which the archive does not have."""
        rows = self._session.rows(
            "SELECT c.day FROM (SELECT (ts AT TIME ZONE 'UTC')::date AS day, count(*) AS n FROM samples"
            "  WHERE ts < %(before)s AND series_id IN (SELECT series_id FROM series WHERE tenant = %(tenant)s)"
            "  GROUP BY 1) c"
            " LEFT JOIN archived_days a ON a.tenant = %(tenant)s AND a.day = c.day"
            " WHERE c.n <> coalesce(a.rows_left, 0) OR cardinality(a.removed) > 0 ORDER BY c.day",
            {"before": before},
        )
        return [row["day"] for row in rows]

    def put(self, day: ArchivedDay) -> None:
        """Store a day in place of what was known of it. `removed`: what its file does not have any more."""
        self._session.execute(
            f"INSERT INTO archived_days AS a (tenant, {_COLUMNS}) VALUES (%(tenant)s, %(day)s, %(version)s,"
            " %(samples)s, %(size_bytes)s, %(checksum)s, %(rows_left)s, '{}', %(superseded_from)s, %(verified_at)s)"
            " ON CONFLICT (tenant, day) DO UPDATE SET version = excluded.version, samples = excluded.samples,"
            " size_bytes = excluded.size_bytes, checksum = excluded.checksum, rows_left = excluded.rows_left,"
            " removed = ARRAY(SELECT unnest(a.removed) EXCEPT SELECT unnest(%(removed)s::bigint[])),"
            " superseded_from = excluded.superseded_from, verified_at = excluded.verified_at",
            {
                "day": day.day,
                "version": day.version,
                "samples": day.samples,
                "size_bytes": day.size_bytes,
                "checksum": day.checksum,
                "rows_left": day.rows_left,
                "removed": sorted(day.removed),
                "superseded_from": day.superseded_from,
                "verified_at": day.verified_at,
            },
        )

    def cleaned(self, day: ArchivedDay) -> None:
        """The files of older versions are removed."""
        self._session.execute(
            "UPDATE archived_days SET superseded_from = NULL"
            " WHERE tenant = %(tenant)s AND day = %(day)s AND version = %(version)s",
            {"day": day.day, "version": day.version},
        )

    def verified(self, day: ArchivedDay) -> None:
        """The file of a day was whole at `verified_at`."""
        self._session.execute(
            "UPDATE archived_days SET verified_at = %(at)s"
            " WHERE tenant = %(tenant)s AND day = %(day)s AND version = %(version)s",
            {"day": day.day, "version": day.version, "at": day.verified_at},
        )

    def forget(self, day: ArchivedDay) -> None:
        """The archive does not have a day any more."""
        self._session.execute(
            "DELETE FROM archived_days WHERE tenant = %(tenant)s AND day = %(day)s", {"day": day.day}
        )

    def waits(self, days: Sequence[date], error: str, at: datetime) -> None:
        """These days could not be archived; none: no day waits."""
        if not days:
            self._session.execute("DELETE FROM archive_waits WHERE tenant = %(tenant)s", {})
            return
        self._session.execute(
            "INSERT INTO archive_waits AS w (tenant, since, first_day, last_day, days, error)"
            " VALUES (%(tenant)s, %(at)s, %(first)s, %(last)s, %(days)s, %(error)s) ON CONFLICT (tenant) DO UPDATE"
            " SET first_day = excluded.first_day, last_day = excluded.last_day, days = excluded.days,"
            " error = excluded.error",
            {"at": at, "first": min(days), "last": max(days), "days": len(days), "error": error},
        )

    def _select(self, condition: str, **parameters: Any) -> list[ArchivedDay]:
        rows = self._session.rows(
            f"SELECT {_COLUMNS} FROM archived_days WHERE tenant = %(tenant)s {condition} ORDER BY day",
            parameters,
        )
        return [
            ArchivedDay(
                **{**row, "removed": frozenset(row["removed"]), "verified_at": utc(row["verified_at"])}
            )
            for row in rows
        ]
