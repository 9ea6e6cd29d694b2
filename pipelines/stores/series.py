"""The series of a tenant, with their metadata."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from core.domain import Direction, Role, Series, SeriesKind
from core.errors import InputError, UnknownSeriesError
from core.limit_changes import LimitChange
from pipelines.stores.binary import Int8Array
from pipelines.stores.session import Session
from pipelines.stores.tenant_locks import TenantLock, hold

_KINDS = {kind.value: kind for kind in SeriesKind}
_PARAMETERS = (
    "series_id",
    "tenants",
    "service",
    "metric",
    "labels",
    "unit",
    "kind",
    "role",
    "limit",
    "slo",
    "step_s",
    "direction",
)
_FACTS = "unit, kind, role, step_s, limit_value, slo_threshold, direction"
_COLUMNS = "tenant, service, metric, labels, unit, kind, role, limit_value, slo_threshold, step_s, direction"
#: What `SeriesStore` reads: the id, the fields of a series by name, and its labels as text.
_FIELDS = ("tenant", "service", "metric", "unit", "step_s", "proposed_threshold", "slo_threshold", "limit")
_READ = (
    "series_id, tenant, service, metric, unit, step_s, proposed_threshold, slo_threshold, limit_value,"
    " kind, role, direction, labels::text"
)


class SeriesStore:
    """The series of one tenant (`core.ports.SeriesRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._made: dict[int, tuple[tuple[Any, ...], Series]] = {}

    def register(self, series: Iterable[Series]) -> list[LimitChange]:
        """Store series, or update their metadata. A series without a limit or a direction keeps the one that is stored.

        Returns:
            Limits that replaced another limit.
        Raises:
            InputError: a series belongs to another tenant.
        """
        rows = {item.series_id: item for item in series}
        for item in rows.values():
            if item.tenant != self._session.tenant:
                raise InputError(f"series {item.name} belongs to another tenant")
        if not rows:
            return []
        # Most requests bring nothing new, and need not wait for others.
        if not _news(rows, self._facts(rows)):
            return []
        with self._session.atomically():
            self.hold()
            stored = self._facts(rows)
            if new := _news(rows, stored):
                self._write(new)
        return _changed_limits(new, stored)

    def hold(self) -> None:
        """Let no other transaction change series, or store the first counts of counters, until the end of this one."""
        hold(self._session, TenantLock.SERIES)

    def _write(self, series: Mapping[int, Series]) -> None:
        """Store what is known of these series."""
        columns = zip(*(_to_row(*pair) for pair in series.items()), strict=True)
        self._session.execute(
            f"INSERT INTO series AS s (series_id, {_COLUMNS})"
            " SELECT * FROM unnest(%(series_id)s::bigint[], %(tenants)s::text[], %(service)s::text[],"
            " %(metric)s::text[], %(labels)s::jsonb[], %(unit)s::text[], %(kind)s::text[], %(role)s::text[],"
            " %(limit)s::float8[], %(slo)s::float8[], %(step_s)s::int[], %(direction)s::text[])"
            " ON CONFLICT (series_id) DO UPDATE SET"
            " (unit, kind, role, limit_value, slo_threshold, step_s, direction) = (excluded.unit, excluded.kind,"
            " excluded.role, coalesce(excluded.limit_value, s.limit_value),"
            " coalesce(excluded.slo_threshold, s.slo_threshold), excluded.step_s,"
            " coalesce(excluded.direction, s.direction))"
            " WHERE s.tenant = excluded.tenant AND (s.unit, s.kind, s.role, s.limit_value, s.slo_threshold,"
            " s.step_s, s.direction) IS DISTINCT FROM (excluded.unit, excluded.kind, excluded.role,"
            " coalesce(excluded.limit_value, s.limit_value),"
            " coalesce(excluded.slo_threshold, s.slo_threshold), excluded.step_s,"
            " coalesce(excluded.direction, s.direction))",
            {name: list(column) for name, column in zip(_PARAMETERS, columns, strict=True)},
        )

    def _facts(self, series_ids: Iterable[int]) -> dict[int, tuple[object, ...]]:
        """Series id -> what can change of a stored series."""
        with self._session.connection() as connection, connection.cursor(binary=True) as cursor:
            row = cursor.execute(
                f"WITH held AS MATERIALIZED (SELECT series_id, {_FACTS} FROM series"
                f" WHERE tenant = %s AND series_id = ANY(%s::bigint[]))"
                f" SELECT {', '.join(f'array_agg({one})' for one in ('series_id', *_FACTS.split(', ')))} FROM held",
                [self._session.tenant, Int8Array(list(series_ids))],
            ).fetchone()
        return (
            {}
            if row is None or row[0] is None
            else dict(zip(row[0], zip(*row[1:], strict=True), strict=True))
        )

    def find(
        self, *, service: str | None = None, metric: str | None = None, role: Role | None = None
    ) -> list[Series]:
        """All series with that service, metric and role (null: any), by name."""
        return self._read(
            "(%(service)s::text IS NULL OR service = %(service)s)"
            " AND (%(metric)s::text IS NULL OR metric = %(metric)s)"
            " AND (%(role)s::text IS NULL OR role = %(role)s)"
            " ORDER BY service, metric, series.labels, series_id",
            {"service": service, "metric": metric, "role": role},
        )

    def get(self, series_id: int) -> Series:
        """One series.

        Raises:
            UnknownSeriesError: this tenant has no series with that id.
        """
        found = self._read("series_id = %(series_id)s", {"series_id": series_id})
        if not found:
            raise UnknownSeriesError(f"there is no series {series_id}")
        return found[0]

    def _read(self, condition: str, parameters: Mapping[str, object]) -> list[Series]:
        """The series that meet a condition. A row that has not changed gives the same object: 10,000 new ones take half
        a second, and a watch cycle asks several times."""
        query = f"SELECT {_READ} FROM series WHERE tenant = %(tenant)s AND {condition}"
        with self._session.connection() as connection, connection.cursor() as cursor:
            rows = cursor.execute(query, {"tenant": self._session.tenant, **parameters}).fetchall()
        found = []
        for row in rows:
            before, made = self._made.get(row[0], (None, None))
            if made is None or before != row:
                made = _from_row(row)
                self._made[row[0]] = row, made
            found.append(made)
        return found

    def propose(self, thresholds: Mapping[int, float | None]) -> None:
        """Store the proposed threshold of each of these series; null: none is proposed."""
        with self._session.atomically():
            self.hold()
            self._session.execute(
                "UPDATE series AS s SET proposed_threshold = p.threshold"
                " FROM unnest(%(ids)s::bigint[], %(thresholds)s::float8[]) AS p (id, threshold)"
                " WHERE s.tenant = %(tenant)s AND s.series_id = p.id"
                " AND s.proposed_threshold IS DISTINCT FROM p.threshold",
                {"ids": Int8Array(list(thresholds)), "thresholds": list(thresholds.values())},
            )

    def known(self, series_ids: Sequence[int]) -> set[int]:
        """Those of the ids that are series of this tenant."""
        rows = self._session.rows(
            "SELECT series_id FROM series WHERE tenant = %(tenant)s AND series_id = ANY(%(ids)s::bigint[])",
            {"ids": Int8Array(series_ids)},
        )
        return {row["series_id"] for row in rows}

    def of_metrics(self, metrics: Sequence[str]) -> list[Series]:
        """The series of these metrics."""
        return self._read("metric = ANY(%(metrics)s::text[]) ORDER BY series_id", {"metrics": list(metrics)})

    def kinds_and_steps(self, series_ids: Sequence[int]) -> dict[int, tuple[SeriesKind, int]]:
        """Series id -> its stored kind, and its step in seconds; of those that are stored."""
        with self._session.connection() as connection, connection.cursor(binary=True) as cursor:
            row = cursor.execute(
                "SELECT array_agg(series_id), array_agg(kind), array_agg(step_s) FROM series"
                " WHERE tenant = %s AND series_id = ANY(%s::bigint[])",
                [self._session.tenant, Int8Array(series_ids)],
            ).fetchone()
        if row is None or row[0] is None:
            return {}
        return {series_id: (_KINDS[kind], step_s) for series_id, kind, step_s in zip(*row, strict=True)}


def _news(rows: Mapping[int, Series], stored: Mapping[int, tuple[object, ...]]) -> dict[int, Series]:
    return {key: item for key, item in rows.items() if _is_news(item, stored.get(key))}


def _is_news(item: Series, stored: tuple[object, ...] | None) -> bool:
    """Whether the stored facts (`_FACTS`) have to change. A missing limit or direction is no reason."""
    return (
        stored is None
        or (item.unit, item.kind, item.role, item.step_s) != stored[:4]
        or item.limit not in {None, stored[4]}
        or item.slo_threshold not in {None, stored[5]}
        or item.direction not in {None, stored[6]}
    )


def _changed_limits(new: Mapping[int, Series], stored: Mapping[int, tuple[object, ...]]) -> list[LimitChange]:
    found = []
    for key, item in sorted(new.items()):
        before = stored[key][4] if key in stored else None
        if isinstance(before, float) and item.limit is not None and item.limit != before:
            found.append(LimitChange(series=item, before=before, after=item.limit))
    return found


def _to_row(series_id: int, item: Series) -> tuple[object, ...]:
    return (
        series_id,
        item.tenant,
        item.service,
        item.metric,
        Jsonb(dict(item.labels)),
        item.unit,
        item.kind,
        item.role,
        item.limit,
        item.slo_threshold,
        item.step_s,
        item.direction,
    )


def _from_row(row: Sequence[Any]) -> Series:
    kind, role, direction, labels = row[-4:]
    return Series(
        **dict(zip(_FIELDS, row[1:-4], strict=True)),
        kind=SeriesKind(kind),
        role=Role(role),
        direction=None if direction is None else Direction(direction),
        labels=json.loads(labels),
    )
