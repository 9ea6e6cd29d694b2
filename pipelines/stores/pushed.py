"""Samples that clients push, or that are computed of them: one row for each request, and one for each series."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from core.pushed import PushedExtent, PushedSamples
from pipelines.stores.binary import Int8Array
from pipelines.stores.session import Session, utc

#: Callers send the labels of a series again after this time.
REGISTER_AGAIN = timedelta(minutes=15)
_CODEC = pa.Codec("zstd", compression_level=1)
_SAMPLE_BYTES = 24
_FIRST, _LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


class PushedStore:
    """Samples of one tenant (`core.pushed.PushedRepository`)."""

    def __init__(self, session: Session, table: str = "pushed") -> None:
        """Args:
        table: the names of the tables, `{table}_samples` and `{table}_series`, begin with it.
        """
        self._session = session
        self._samples, self._series = f"{table}_samples", f"{table}_series"
        self._overlapping = (
            f" FROM {self._samples} WHERE tenant = %(tenant)s AND last >= %(start)s AND first <= %(end)s"
        )

    def add(self, series: Mapping[int, Mapping[str, str]], samples: PushedSamples, now: datetime) -> None:
        """Keep samples, and the labels of the series that may not be known yet."""
        if series:
            ids = sorted(series)
            # In the order of the ids, two requests with the same series do not wait for each other in a circle.
            self._session.execute(
                f"INSERT INTO {self._series} AS s (tenant, series_id, metric, labels, last_seen)"
                " SELECT %(tenant)s, g.id, g.metric, g.labels, %(now)s"
                " FROM unnest(%(ids)s::bigint[], %(metrics)s::text[], %(labels)s::text[]) AS g (id, metric, labels)"
                " ON CONFLICT (tenant, series_id) DO UPDATE SET last_seen = excluded.last_seen"
                " WHERE s.last_seen < excluded.last_seen",
                {
                    "now": now,
                    "ids": Int8Array(ids),
                    "metrics": [series[one]["__name__"] for one in ids],
                    "labels": [json.dumps(dict(series[one])) for one in ids],
                },
            )
        if len(samples.times_ms):
            self._session.execute(
                f"INSERT INTO {self._samples} (tenant, first, last, count, samples)"
                " VALUES (%(tenant)s, %(first)s, %(last)s, %(count)s, %(samples)b)",
                {
                    "first": _moment(int(samples.times_ms.min())),
                    "last": _moment(int(samples.times_ms.max())),
                    "count": len(samples.times_ms),
                    "samples": _packed(samples),
                },
            )

    def extent(self, start: datetime | None = None, end: datetime | None = None) -> PushedExtent | None:
        """What is kept, in all or of [start, end]; null: nothing. Times and count are those of whole requests."""
        row = self._session.rows(
            "SELECT min(first) AS first, max(last) AS last, sum(count)::bigint AS count" + self._overlapping,
            {"start": start or _FIRST, "end": end or _LAST},
        )[0]
        if row["count"] is None:
            return None
        return PushedExtent(first=utc(row["first"]), last=utc(row["last"]), count=row["count"])

    def read(self, start: datetime, end: datetime) -> PushedSamples:
        """The samples of [start, end], in the order in which they came; a sample may come more than once."""
        with self._session.connection() as connection, connection.cursor(binary=True) as cursor:
            cursor.execute(
                "SELECT count, samples" + self._overlapping + " ORDER BY id",
                {"tenant": self._session.tenant, "start": start, "end": end},
            )
            parts = [_unpacked(count, data) for count, data in cursor]
        ids, times, values = (
            np.concatenate([np.empty(0, dtype=dtype), *(part[at] for part in parts)])
            for at, dtype in enumerate((np.int64, np.int64, np.float64))
        )
        inside = (times >= _milliseconds(start)) & (times <= _milliseconds(end))
        return PushedSamples(ids[inside], times[inside], values[inside])

    def labels(self, series_ids: Sequence[int]) -> dict[int, Mapping[str, str]]:
        """Series id -> labels with `__name__`, of those that are known."""
        rows = self._session.rows(
            f"SELECT series_id, labels FROM {self._series} WHERE tenant = %(tenant)s"
            " AND series_id = ANY(%(ids)s::bigint[])",
            {"ids": Int8Array(series_ids)},
        )
        return {row["series_id"]: json.loads(row["labels"]) for row in rows}

    def series_of(self, metrics: Sequence[str], since: datetime) -> list[Mapping[str, str]]:
        """The labels of the series of these metrics that were sent at or after that time, or not long before."""
        rows = self._session.rows(
            f"SELECT labels FROM {self._series} WHERE tenant = %(tenant)s AND metric = ANY(%(metrics)s::text[])"
            " AND last_seen >= %(since)s ORDER BY series_id",
            {"metrics": list(metrics), "since": since - REGISTER_AGAIN},
        )
        return [json.loads(row["labels"]) for row in rows]

    def forget(self, before: datetime) -> None:
        """Remove the samples before that time."""
        self._session.execute(
            f"DELETE FROM {self._samples} WHERE tenant = %(tenant)s AND last < %(before)s", {"before": before}
        )

    def forget_series(self, before: datetime, *, keep: Sequence[str], keep_since: datetime) -> None:
        """Remove the labels of the series that were not sent since.

        Args:
            before: all samples before that time have been removed.
            keep: metrics whose series stay if they were sent at or after `keep_since`.
        """
        self._session.execute(
            f"DELETE FROM {self._series} WHERE tenant = %(tenant)s AND last_seen < %(registered)s"
            " AND NOT (metric = ANY(%(keep)s::text[]) AND last_seen >= %(keep_since)s)",
            {
                # A series may have been sent for a while since it was registered last, with times in the future.
                "registered": before - 2 * REGISTER_AGAIN,
                "keep": list(keep),
                "keep_since": keep_since,
            },
        )


def _packed(samples: PushedSamples) -> bytes:
    columns = (samples.series_ids.astype("<i8"), samples.times_ms.astype("<i8"), samples.values.astype("<f8"))
    return bytes(_CODEC.compress(b"".join(column.tobytes() for column in columns)))


def _unpacked(count: int, data: bytes) -> tuple[Any, Any, Any]:
    """Ids, times in ms and values."""
    raw = memoryview(_CODEC.decompress(data, count * _SAMPLE_BYTES))
    ids, times, values = (raw[at * 8 * count : (at + 1) * 8 * count] for at in range(3))
    return np.frombuffer(ids, "<i8"), np.frombuffer(times, "<i8"), np.frombuffer(values, "<f8")


def _moment(time_ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)


def _milliseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
