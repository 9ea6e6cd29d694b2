"""Chunks of samples on TimescaleDB while there is an archive: one is dropped once the archive has all of it."""

from datetime import UTC, datetime, time

from pipelines.stores.session import Session
from pipelines.stores.timescale import remove_policy_of_samples

_DROPPABLE = (
    "SELECT EXISTS (SELECT FROM timescaledb_information.chunks"
    " WHERE hypertable_name = 'samples' AND range_end <= %(before)s)"
)
#: The first day of any tenant with samples that its archive does not have. Chunks have samples of all tenants.
_FIRST_NOT_ARCHIVED = (
    "SELECT min(c.day) AS day FROM (SELECT s.tenant, (p.ts AT TIME ZONE 'UTC')::date AS day, count(*) AS n"
    "  FROM samples p JOIN series s USING (series_id) WHERE p.ts < %(before)s GROUP BY 1, 2) c"
    " LEFT JOIN archived_days a USING (tenant, day)"
    " WHERE c.n <> coalesce(a.rows_left, 0) OR cardinality(a.removed) > 0"
)


def keep_raw_chunks(session: Session) -> None:
    """Let TimescaleDB drop no samples by age. The archive may be newer than its last migration."""
    with session.connection() as connection:
        remove_policy_of_samples(connection)


def drop_archived_chunks(session: Session, before: datetime) -> None:
    """Drop the chunks that end before a moment and before the first sample of any tenant that is not archived."""
    if not session.rows(_DROPPABLE, {"before": before})[0]["exists"]:
        return
    with session.atomically():
        # No sample may arrive between the look and the drop.
        session.execute("LOCK TABLE samples IN SHARE MODE", {})
        cutoff = archived_until(session, before)
        session.rows(
            "SELECT drop_chunks('samples', older_than => %(cutoff)s::timestamptz)", {"cutoff": cutoff}
        )
        session.execute(
            "UPDATE archived_days SET rows_left = 0 WHERE rows_left > 0 AND day < %(cutoff)s::date"
            " AND day < coalesce((SELECT min(ts) AT TIME ZONE 'UTC' FROM samples)::date, 'infinity')",
            {"cutoff": cutoff},
        )


def archived_until(session: Session, before: datetime) -> datetime:
    """The beginning of the first day with samples of any tenant that its archive does not have; at most `before`."""
    day = session.rows(_FIRST_NOT_ARCHIVED, {"before": before})[0]["day"]
    return before if day is None else min(before, datetime.combine(day, time(), UTC))
