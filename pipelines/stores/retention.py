"""Retention: archives and deletes raw samples first, later rollups, and last everything else."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from psycopg import sql

from core.settings import Settings
from features.feature import RASTER_S
from pipelines.stores.archiver import Archiver
from pipelines.stores.chunks import drop_archived_chunks, keep_raw_chunks
from pipelines.stores.rollups import RollupStore
from pipelines.stores.sample_days import days_with_samples
from pipelines.stores.sample_writes import forget_notes
from pipelines.stores.samples import SampleStore
from pipelines.stores.session import Session
from pipelines.stores.timescale import timescale_in_use

#: Table -> the expression for the age of a row. The log of transitions is evidence and stays.
_BY_ALL = {
    "events": "coalesce(until, at)",
    "incidents": "end_at",
    "dead_letters": "seen_at",
    "signals": "coalesce(ended_at, started_at)",
    "feedback": "at",
    "diagnoses": "made_at",
    "service_edges": "seen_at",
    "limit_changes": "at",
}
#: Training reads features of 60 days, one each half hour. Those of the moments between are of use for the present only,
#: and each watch cycle adds one for each service.
FEATURES_KEPT, RASTER_AFTER = timedelta(days=90), timedelta(days=1)
#: TimescaleDB drops a chunk at any hour, perhaps before the next run. What may be in it is summarised in this run; a
#: day more leaves time for a run that fails.
_DROPPED_SOON = timedelta(days=2)


class Retention:
    """The retention of one tenant's data (`core.retention.RetentionPolicy`)."""

    def __init__(self, session: Session, archiver: Archiver | None = None) -> None:
        """Args:
        archiver: null: samples are deleted without being archived.
        """
        self._session = session
        self._archiver = archiver

    def apply(self, settings: Settings, now: datetime) -> Mapping[str, int]:
        """Delete what is older than the settings keep. Samples are summarised in rollups before that.

        Age counts from the newest sample when that is older than `now`. Otherwise, an imported old history would be
        deleted on the next day. Data are deleted by whole days (UTC), so that each rollup is complete. TimescaleDB
        deletes samples and rollups itself, by chunks, with policies that count from the wall clock. With an archive, it
        gets no such policy for samples: here, chunks are dropped of which the archive has everything.

        Returns:
            Table -> rows deleted; only tables from which rows were deleted.
        """
        at = now
        samples = SampleStore(self._session)
        span = samples.span()
        if span is not None:
            now = min(now, span[1])
        today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        raw = today - timedelta(days=settings.retention_raw_days)
        rollup = today - timedelta(days=settings.retention_rollup_days)
        everything = today - timedelta(days=settings.retention_all_days)
        with self._session.connection() as connection:
            in_use = timescale_in_use(connection)
        if span is not None and span[0] < raw:
            RollupStore(self._session).refresh(span[0], raw, all_there=not in_use)
        if in_use:
            RollupStore(self._session).refresh(raw, raw + _DROPPED_SOON)
        gone: dict[str, int] = {}
        if self._archiver is not None:
            gone["samples"] = self._archive(self._archiver, raw, at, in_use=in_use)
        elif span is not None and not in_use:  # TimescaleDB's policies drop whole chunks at almost no cost
            gone["samples"] = self._delete_samples(span[0], raw)
        with self._session.atomically():
            if not in_use:
                gone["rollups_5m"] = self._delete_of_series("rollups_5m", rollup)
                gone["rollups_1h"] = self._delete_of_series("rollups_1h", rollup)
            gone["series_ends"] = self._delete("series_ends", "ended_at", raw)
            gone["native_histograms"] = self._delete("native_histograms", "ts", raw)
            gone["watch_cycles"] = self._delete("watch_cycles", "at", raw)
            gone["intake_counts"] = self._delete("intake_counts", "at", raw)
            gone["service_features"] = self._delete("service_features", "ts", today - FEATURES_KEPT)
            gone["service_features"] += self._delete_between_rasters(today - RASTER_AFTER)
            # The newest one of each series; these series have no forecast any more.
            gone["forecasts"] = self._delete("forecasts", "made_at", raw)
            # Computations remove them earlier, as long as golden signals are computed.
            for kept in ("pushed_size", "pushed_replica"):
                gone[f"{kept}_samples"] = self._delete(f"{kept}_samples", "last", raw)
                gone[f"{kept}_series"] = self._delete(f"{kept}_series", "last_seen", raw)
            gone["sample_writes"] = forget_notes(self._session)
            for table, column in _BY_ALL.items():
                gone[table] = self._delete(table, column, everything)
        return {table: count for table, count in gone.items() if count}

    def _archive(self, archiver: Archiver, before: datetime, now: datetime, *, in_use: bool) -> int:
        """Move samples to the archive; returns how many were deleted.

        Args:
            in_use: whether TimescaleDB drops them by chunks.
        """
        if in_use:
            keep_raw_chunks(self._session)
        deleted = archiver.move(before, now, delete=not in_use)
        if in_use:
            drop_archived_chunks(self._session, before)
        return deleted

    def _delete_samples(self, oldest: datetime, before: datetime) -> int:
        return sum(
            self._delete_of_series("samples", end)
            for _, end in days_with_samples(self._session, oldest, before)
        )

    def _delete_of_series(self, table: str, before: datetime) -> int:
        return self._session.execute(
            sql.SQL(
                "DELETE FROM {} WHERE ts < %(before)s"
                " AND series_id IN (SELECT series_id FROM series WHERE tenant = %(tenant)s)"
            ).format(sql.Identifier(table)),
            {"before": before},
        )

    def _delete_between_rasters(self, before: datetime) -> int:
        """Delete the features of moments that were predicted and are not learned from."""
        return self._session.execute(
            "DELETE FROM service_features WHERE tenant = %(tenant)s AND ts < %(before)s"
            " AND extract(epoch FROM ts)::bigint %% %(raster_s)s <> 0",
            {"before": before, "raster_s": RASTER_S},
        )

    def _delete(self, table: str, age: str, before: datetime) -> int:
        return self._session.execute(
            f"DELETE FROM {table} WHERE tenant = %(tenant)s AND {age} < %(before)s",
            {"before": before},
        )
