"""The ends of series that senders told, and their newest native histograms."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from core.frames import HISTOGRAMS, TIMES, microseconds_of, require_frame
from pipelines.stores.binary import Int8Array, TimeArray
from pipelines.stores.session import Session

_STORED = {name: HISTOGRAMS[name] for name in ("series_id", "ts", "content")}


class SeriesEndStore:
    """The ends of series of one tenant (`core.series_ends.SeriesEndRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, ends: pl.DataFrame) -> None:
        """Store the ends of series; those that are stored stay.

        Raises:
            InvalidFrameError: the frame is not `TIMES`.
        """
        frame = require_frame(ends, TIMES, "ends").unique().sort("series_id", "ts")
        if frame.is_empty():
            return
        self._session.execute(
            "INSERT INTO series_ends (tenant, series_id, ended_at) SELECT %(tenant)s, e.id, e.at"
            " FROM unnest(%(ids)s::bigint[], %(times)s::timestamptz[]) AS e (id, at) ORDER BY e.id, e.at"
            " ON CONFLICT DO NOTHING",
            {
                "ids": Int8Array(frame["series_id"].to_numpy()),
                "times": TimeArray(microseconds_of(frame["ts"])),
            },
        )

    def since(self, time: datetime) -> pl.DataFrame:
        """The ends at or after a time, and the newest end of each other series: `TIMES`, by series_id, ts."""
        rows = self._session.rows(
            "SELECT series_id, ended_at AS ts FROM series_ends WHERE tenant = %(tenant)s AND ended_at >= %(time)s"
            " UNION SELECT series_id, max(ended_at) FROM series_ends WHERE tenant = %(tenant)s GROUP BY series_id"
            " ORDER BY 1, 2",
            {"time": time},
        )
        return pl.DataFrame(rows, schema=TIMES)


class NativeHistogramStore:
    """The newest native histograms of one tenant (`core.series_ends.NativeHistogramRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def recent(self, series_ids: Sequence[int]) -> pl.DataFrame:
        """The stored histograms of these series: series_id, ts, content."""
        rows = self._session.rows(
            "SELECT series_id, ts, content FROM native_histograms"
            " WHERE tenant = %(tenant)s AND series_id = ANY(%(ids)s::bigint[]) ORDER BY series_id, ts",
            {"ids": Int8Array(series_ids)},
        )
        return pl.DataFrame(rows, schema=_STORED)

    def replace(self, histograms: pl.DataFrame) -> None:
        """Store these histograms in place of all others of their series.

        The caller holds the counts of the series, so that two writers do not get in each other's way.
        """
        frame = require_frame(histograms, _STORED, "histograms")
        if frame.is_empty():
            return
        values = {
            "ids": Int8Array(frame["series_id"].to_numpy()),
            "times": TimeArray(microseconds_of(frame["ts"])),
            "contents": frame["content"].to_list(),
        }
        self._session.execute(
            "DELETE FROM native_histograms AS h WHERE tenant = %(tenant)s AND series_id = ANY(%(ids)s::bigint[])"
            " AND NOT EXISTS (SELECT FROM unnest(%(ids)s::bigint[], %(times)s::timestamptz[]) AS n (id, at)"
            " WHERE n.id = h.series_id AND n.at = h.ts)",
            values,
        )
        self._session.execute(
            "INSERT INTO native_histograms (tenant, series_id, ts, content) SELECT %(tenant)s, n.id, n.at, n.content"
            " FROM unnest(%(ids)s::bigint[], %(times)s::timestamptz[], %(contents)s::bytea[]) AS n (id, at, content)"
            " ORDER BY n.id, n.at ON CONFLICT DO NOTHING",
            values,
        )
