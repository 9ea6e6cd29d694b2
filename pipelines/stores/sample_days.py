"""The days that have samples: what is done to a long history is done a day after the other, so that no statement takes
longer than one may.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from pipelines.stores.session import Session


def days_with_samples(
    session: Session, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Begin and end of each UTC day within [start, end) that has samples; the first and the last one may be cut."""
    rows = session.rows(
        "SELECT DISTINCT date_bin('1 day', ts, 'epoch') AS day FROM samples"
        " WHERE series_id IN (SELECT series_id FROM series WHERE tenant = %(tenant)s)"
        " AND ts >= %(start)s AND ts < %(end)s ORDER BY day",
        {"start": start, "end": end},
    )
    for row in rows:
        yield max(row["day"], start), min(row["day"] + timedelta(days=1), end)
