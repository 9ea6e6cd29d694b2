"""Samples of the database and of the archive as one: who reads does not see where a sample is."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from core.errors import DamagedArchiveError
from pipelines.stores.archived_days import ArchivedDay, ArchivedDayStore
from pipelines.stores.binary import Int8Array
from pipelines.stores.day_files import DayFiles
from pipelines.stores.forwarded_samples import ForwardedSamples
from pipelines.stores.samples import SampleStore
from pipelines.stores.session import Session


class ArchivedSamples(ForwardedSamples):
    """The samples of one tenant, archived ones included (`core.ports.SampleRepository`).

    Whether a span has archived days is one look into a small table, so that a usual read does not touch the archive.
    All but `read` is about the database alone: what is written for an archived day is archived, too, by the next
    retention, and `remove` hides what the archive has of a series.
    """

    def __init__(
        self, session: Session, samples: SampleStore, days: ArchivedDayStore, files: DayFiles
    ) -> None:
        super().__init__(samples)
        self._session = session
        self._days = days
        self._files = files

    def read(self, start: datetime, end: datetime, series_ids: Sequence[int] | None = None) -> pl.DataFrame:
        """The samples of [start, end), of all series or of those given: `SAMPLES`, by series_id, ts.

        Raises:
            DamagedArchiveError: a file of the archive that has such samples is missing or damaged.
            ArchiveUnavailableError: the archive cannot be read now.
        """
        # The database first: samples that a retention archives meanwhile are then read twice, and never not at all.
        stored = self._behind.read(start, end, series_ids)
        if start >= end:
            return stored
        last = end.astimezone(UTC) - timedelta(microseconds=1)
        days = self._days.between(start.astimezone(UTC).date(), last.date())
        ids = self._known(series_ids) if days else set()
        if not ids:
            return stored
        inside = (pl.col("ts") >= start) & (pl.col("ts") < end)
        archived = [
            frame.filter(inside & pl.col("series_id").is_in(sorted(ids - day.removed)))
            for day, frame in (content_of(one, self._days, self._files) for one in days)
        ]
        return first_of_each([*archived, stored])

    def _known(self, series_ids: Sequence[int] | None) -> set[int]:
        """Those of the ids that are series of this tenant; null: all of them."""
        rows = self._session.rows(
            "SELECT series_id FROM series WHERE tenant = %(tenant)s"
            " AND (%(ids)s::bigint[] IS NULL OR series_id = ANY(%(ids)s))",
            {"ids": None if series_ids is None else Int8Array(series_ids)},
        )
        return {row["series_id"] for row in rows}


def content_of(day: ArchivedDay, days: ArchivedDayStore, files: DayFiles) -> tuple[ArchivedDay, pl.DataFrame]:
    """A day and the samples of its file; the day is a newer one, if it has been written again meanwhile.

    Raises:
        DamagedArchiveError: the file is missing or damaged.
        ArchiveUnavailableError: it cannot be read now.
    """
    while True:
        try:
            return day, files.read(day.day, day.version, day.checksum)
        except DamagedArchiveError:
            newer = days.get(day.day)
            if newer is None or newer.version == day.version:
                raise
            day = newer


def first_of_each(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of all frames by series_id, ts; of several with the same series and time the first one.

    Args:
        frames: `SAMPLES` each; at least one.
    """
    return (
        pl.concat(frames)
        .unique(["series_id", "ts"], keep="first", maintain_order=True)
        .sort("series_id", "ts")
    )
