"""Forecasts with their intervals; the newest forecast of each series counts."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b

import numpy as np
import polars as pl

from core.arrays import IntArray
from core.domain import ModelRef
from core.errors import InputError, UnknownSeriesError
from core.frames import TIME, Schema, microseconds_of, require_frame
from pipelines.stores.binary import COPY_HEADER, COPY_TRAILER, EPOCH_US, table_rows
from pipelines.stores.session import Connection, Session

FORECAST: Schema = {
    "series_id": pl.Int64,
    "ts": TIME,
    "yhat": pl.Float64,
    "lo_80": pl.Float64,
    "hi_80": pl.Float64,
    "lo_95": pl.Float64,
    "hi_95": pl.Float64,
}
#: A stored forecast also has the time when it was first made, and the model.
STORED_FORECAST: Schema = {
    **FORECAST,
    "made_at": TIME,
    "model_name": pl.String,
    "model_version": pl.Int32,
    "run_id": pl.String,
}
#: Rows in one COPY message: a few megabytes.
ROWS_PER_MESSAGE = 16_384
_VALUES = ("yhat", "lo_80", "hi_80", "lo_95", "hi_95")
_COPY = (
    "COPY forecasts (tenant, made_at, model_name, model_version, run_id, series_id, ts, digest,"
    " yhat, lo_80, hi_80, lo_95, hi_95) FROM STDIN (FORMAT BINARY)"
)


class ForecastStore:
    """The forecasts of one tenant (`core.ports.ForecastRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def publish(self, frame: pl.DataFrame, *, made_at: datetime, model: ModelRef | None) -> int:
        """Store the forecasts of some series, all or none, instead of those that were made before or at `made_at`.

        A forecast that is stored already stays as it is: most of them change once an hour, and there is a watch cycle
        every five minutes.

        Args:
            frame: `FORECAST`; `yhat` is never null.
        Returns:
            How many series were forecast.
        Raises:
            InvalidFrameError: a column is missing or has another dtype.
            InputError: a `yhat` is missing.
            UnknownSeriesError: a series is not registered for this tenant.
        """
        frame = require_frame(frame, FORECAST, "forecasts").sort("series_id", "ts")
        if frame["yhat"].null_count():
            raise InputError("a forecast needs a yhat in every row")
        ids = frame["series_id"].unique(maintain_order=True).to_list()
        tenant = self._session.tenant
        reference = (None, None, None) if model is None else (model.name, model.version, model.run_id)
        frame = frame.with_columns(digest=pl.Series(_digests(frame, repr(reference))))
        with self._session.atomically(), self._session.connection() as connection:
            known = connection.execute(
                "SELECT count(*) FROM series WHERE tenant = %s AND series_id = ANY(%s::bigint[])",
                [tenant, ids],
            ).fetchone()
            if known is None or known[0] != len(ids):
                raise UnknownSeriesError(f"not all of the {len(ids)} series are registered for this tenant")
            frame = frame.join(self._newest_digests(connection, ids), on=["series_id", "digest"], how="anti")
            connection.execute(
                "DELETE FROM forecasts WHERE tenant = %s AND made_at <= %s AND series_id = ANY(%s::bigint[])",
                [tenant, made_at, frame["series_id"].unique().to_list()],
            )
            with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
                copy.write(COPY_HEADER)
                for part in frame.iter_slices(ROWS_PER_MESSAGE):
                    times = microseconds_of(part["ts"]) - EPOCH_US
                    keys = np.column_stack([part["series_id"].to_numpy(), times, part["digest"].to_numpy()])
                    copy.write(
                        table_rows((tenant, made_at, *reference), keys, part.select(_VALUES).to_numpy())
                    )
                copy.write(COPY_TRAILER)
        return len(ids)

    def latest(self, series_id: int) -> pl.DataFrame | None:
        """The newest forecast of a series (`STORED_FORECAST`, by ts); null when there is none."""
        frame = self._read([series_id])
        return None if frame.is_empty() else frame

    def latest_all(self) -> pl.DataFrame:
        """The newest forecast of each series: `STORED_FORECAST`, by series_id, ts."""
        return self._read(None)

    def _newest_digests(self, connection: Connection, series_ids: Sequence[int]) -> pl.DataFrame:
        """`series_id` and `digest` of the newest forecast of each of these series that has one."""
        rows = connection.execute(
            "SELECT wanted.id, newest.digest FROM unnest(%s::bigint[]) AS wanted (id) CROSS JOIN LATERAL"
            " (SELECT digest FROM forecasts WHERE tenant = %s AND series_id = wanted.id"
            "  ORDER BY made_at DESC LIMIT 1) AS newest",
            [list(series_ids), self._session.tenant],
        ).fetchall()
        return pl.DataFrame(rows, schema={"series_id": pl.Int64, "digest": pl.Int64}, orient="row")

    def _read(self, series_ids: list[int] | None) -> pl.DataFrame:
        columns = ", ".join(f"f.{name}" for name in STORED_FORECAST)
        query = (
            f"SELECT {columns} FROM series s CROSS JOIN LATERAL"
            " (SELECT max(made_at) AS made_at FROM forecasts"
            "  WHERE tenant = s.tenant AND series_id = s.series_id) newest"
            " JOIN forecasts f ON f.tenant = s.tenant AND f.series_id = s.series_id"
            " AND f.made_at = newest.made_at"
            " WHERE s.tenant = %(tenant)s AND (%(ids)s::bigint[] IS NULL OR s.series_id = ANY(%(ids)s))"
            " ORDER BY f.series_id, f.ts"
        )
        with self._session.connection() as connection, connection.cursor(binary=True) as cursor:
            cursor.execute(query, {"tenant": self._session.tenant, "ids": series_ids})
            return pl.DataFrame(cursor.fetchall(), schema=STORED_FORECAST, orient="row")


def _digests(frame: pl.DataFrame, model: str) -> IntArray:
    """For each row a number that stands for the whole forecast of its series, with its times and its model."""
    times, values = microseconds_of(frame["ts"]), np.ascontiguousarray(frame.select(_VALUES).to_numpy())
    counts = frame["series_id"].rle().struct.field("len").to_numpy().astype(np.int64)
    ends = np.cumsum(counts)
    found = np.empty(len(counts), dtype=np.int64)
    for row, (start, end) in enumerate(zip(ends - counts, ends, strict=True)):
        content = times[start:end].tobytes() + values[start:end].tobytes() + model.encode()
        found[row] = int.from_bytes(blake2b(content, digest_size=8).digest(), "big", signed=True)
    return np.repeat(found, counts)
