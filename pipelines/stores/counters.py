"""The first and newest counts of each counter, to compute rates from, and the types that sources declare."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from core.frames import SAMPLES, require_frame, sample_arrays
from pipelines.stores.binary import (
    Float8Array,
    Int8Array,
    TimeArray,
    frame_of_columns,
    is_ordered,
    read_arrays,
    sent_floats,
    sent_times,
)
from pipelines.stores.session import Session
from pipelines.stores.tenant_locks import TenantLock, hold


class CounterStore:
    """Some counts of each counter of one tenant (`core.ports.CounterRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def recent(self, series_ids: Sequence[int], *, lock: bool = True) -> pl.DataFrame:
        """The stored counts of these counters, `SAMPLES`; locked until the end of the transaction.

        Register the series before their counts are locked. With this order, two transactions never wait for each other.
        """
        if lock:
            self._hold_new_counters(series_ids)
        # in order, so that two writers lock the rows in the same order
        held = (
            "SELECT series_id, times, counts FROM counters WHERE tenant = %s AND series_id = ANY(%s::bigint[])"
            " ORDER BY series_id" + (" FOR UPDATE" if lock else "")
        )
        with self._session.connection() as connection, connection.cursor(binary=True) as cursor:
            read_arrays(cursor)
            # array_agg over unnest(times) takes three times as long
            row = cursor.execute(
                f"WITH held AS MATERIALIZED ({held})"
                " SELECT array_agg(series_id), array_agg(cardinality(times)::bigint),"
                " string_agg(array_send(times), NULL), string_agg(array_send(counts), NULL) FROM held",
                [self._session.tenant, Int8Array(series_ids)],
            ).fetchone()
        if row is None or row[0] is None:
            return pl.DataFrame(schema=SAMPLES)
        ids, lengths, times, counts = row
        columns = [np.repeat(ids, lengths), sent_times(times, lengths), sent_floats(counts, lengths)]
        return frame_of_columns(columns, SAMPLES)

    def _hold_new_counters(self, series_ids: Sequence[int]) -> None:
        """Let no other transaction store first counts, where some series have no counts that could be locked."""
        known = self._session.rows(
            "SELECT count(*) FROM counters WHERE tenant = %(tenant)s AND series_id = ANY(%(ids)s::bigint[])",
            {"ids": Int8Array(series_ids)},
        )
        if known[0]["count"] < len(series_ids):
            hold(self._session, TenantLock.SERIES)

    def save(self, counts: pl.DataFrame) -> None:
        """Replace the stored counts of the series in `counts`.

        Args:
            counts: `SAMPLES`, at least one row for each series.
        Raises:
            InvalidFrameError: the frame is not `SAMPLES`.
        """
        frame = require_frame(counts, SAMPLES, "counts")
        if frame.is_empty():
            return
        ids, times, values = sample_arrays(frame)
        if not is_ordered(ids, times):
            order = np.lexsort((times, ids))
            ids, times, values = ids[order], times[order], values[order]
        first = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
        # Arrays in arrays must have one length, so times and counts travel as flat columns and are cut by the server.
        self._session.execute(
            "INSERT INTO counters (series_id, tenant, times, counts)"
            " SELECT c.id, %(tenant)s, (%(times)s::timestamptz[])[c.first:c.last],"
            " (%(counts)s::float8[])[c.first:c.last]"
            " FROM unnest(%(ids)s::bigint[], %(first)s::bigint[], %(last)s::bigint[]) AS c (id, first, last)"
            " ORDER BY c.id"
            " ON CONFLICT (tenant, series_id) DO UPDATE SET times = excluded.times, counts = excluded.counts"
            " WHERE (counters.times, counters.counts) IS DISTINCT FROM (excluded.times, excluded.counts)",
            {
                "ids": Int8Array(ids[first]),
                "first": Int8Array(first + 1),
                "last": Int8Array(np.append(first[1:], len(ids))),
                "times": TimeArray(times),
                "counts": Float8Array(values),
            },
        )

    def forget(self, series_ids: Sequence[int]) -> None:
        """Remove the counts of series that are no counters."""
        self._session.execute(
            "DELETE FROM counters WHERE tenant = %(tenant)s AND series_id = ANY(%(ids)s::bigint[])",
            {"ids": Int8Array(series_ids)},
        )


class MetricTypeStore:
    """Metric name -> declared type, of one tenant (`core.ports.MetricTypeRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def hold(self, *, change: bool = False) -> None:
        """Keep the types as they are until the end of the transaction; `change`: for this transaction alone.

        Samples that are read with one type and stored after it has changed would be counts among rates.
        """
        hold(self._session, TenantLock.TYPES, shared=not change)

    def declared(self, metrics: Sequence[str] | None = None) -> dict[str, str]:
        """The declared types of these metrics; null: of all."""
        rows = self._session.rows(
            "SELECT metric, type FROM metric_types WHERE tenant = %(tenant)s"
            " AND (%(metrics)s::text[] IS NULL OR metric = ANY(%(metrics)s::text[]))",
            {"metrics": None if metrics is None else list(metrics)},
        )
        return {row["metric"]: row["type"] for row in rows}

    def sources(self, metrics: Sequence[str]) -> dict[str, str]:
        """Metric -> the source that declared its type; empty where it is not known."""
        rows = self._session.rows(
            "SELECT metric, source FROM metric_types WHERE tenant = %(tenant)s AND metric = ANY(%(metrics)s::text[])",
            {"metrics": list(metrics)},
        )
        return {row["metric"]: row["source"] for row in rows}

    def declare(self, types: Mapping[str, str], source: str = "") -> None:
        """Store types that a source declares; a later declaration replaces an earlier one."""
        metrics = sorted(types)
        self._session.execute(
            "INSERT INTO metric_types AS t (tenant, metric, type, source)"
            " SELECT %(tenant)s, d.metric, d.type, %(source)s"
            " FROM unnest(%(metrics)s::text[], %(types)s::text[]) AS d (metric, type)"
            " ON CONFLICT (tenant, metric) DO UPDATE"
            " SET type = excluded.type, source = excluded.source, changed_at = now()"
            " WHERE t.type <> excluded.type",
            {"metrics": metrics, "types": [types[metric] for metric in metrics], "source": source},
        )
