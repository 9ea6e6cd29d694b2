"""The series of a tenant, with their metadata."""

from collections.abc import Iterable, Sequence

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from core.domain import Role, Series, SeriesKind
from core.errors import InputError, UnknownSeriesError
from pipelines.stores.session import Session

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
)
_COLUMNS = "tenant, service, metric, labels, unit, kind, role, limit_value, slo_threshold, step_s"


class SeriesStore:
    """The series of one tenant (`core.ports.SeriesRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def register(self, series: Iterable[Series]) -> None:
        """Store series, or update their metadata. A series without a limit keeps the limit that is stored.

        Raises:
            InputError: a series belongs to another tenant.
        """
        rows = {item.series_id: item for item in series}
        for item in rows.values():
            if item.tenant != self._session.tenant:
                raise InputError(f"series {item.name} belongs to another tenant")
        if not rows:
            return
        columns = zip(*(_to_row(*pair) for pair in sorted(rows.items())), strict=True)
        # sorted, so that two writers lock the rows in the same order; what is stored already is not written again
        self._session.execute(
            f"INSERT INTO series AS s (series_id, {_COLUMNS})"
            " SELECT * FROM unnest(%(series_id)s::bigint[], %(tenants)s::text[], %(service)s::text[],"
            " %(metric)s::text[], %(labels)s::jsonb[], %(unit)s::text[], %(kind)s::text[], %(role)s::text[],"
            " %(limit)s::float8[], %(slo)s::float8[], %(step_s)s::int[])"
            " ON CONFLICT (series_id) DO UPDATE SET"
            " (unit, kind, role, limit_value, slo_threshold, step_s) = (excluded.unit, excluded.kind,"
            " excluded.role, coalesce(excluded.limit_value, s.limit_value),"
            " coalesce(excluded.slo_threshold, s.slo_threshold), excluded.step_s)"
            " WHERE s.tenant = excluded.tenant AND (s.unit, s.kind, s.role, s.limit_value, s.slo_threshold,"
            " s.step_s) IS DISTINCT FROM (excluded.unit, excluded.kind, excluded.role,"
            " coalesce(excluded.limit_value, s.limit_value),"
            " coalesce(excluded.slo_threshold, s.slo_threshold), excluded.step_s)",
            {name: list(column) for name, column in zip(_PARAMETERS, columns, strict=True)},
        )

    def find(
        self, *, service: str | None = None, metric: str | None = None, role: Role | None = None
    ) -> list[Series]:
        """All series with that service, metric and role (null: any), by name."""
        rows = self._session.rows(
            f"SELECT {_COLUMNS} FROM series WHERE tenant = %(tenant)s"
            " AND (%(service)s::text IS NULL OR service = %(service)s)"
            " AND (%(metric)s::text IS NULL OR metric = %(metric)s)"
            " AND (%(role)s::text IS NULL OR role = %(role)s)"
            " ORDER BY service, metric, labels, series_id",
            {"service": service, "metric": metric, "role": role},
        )
        return [_from_row(row) for row in rows]

    def get(self, series_id: int) -> Series:
        """One series.

        Raises:
            UnknownSeriesError: this tenant has no series with that id.
        """
        rows = self._session.rows(
            f"SELECT {_COLUMNS} FROM series WHERE tenant = %(tenant)s AND series_id = %(series_id)s",
            {"series_id": series_id},
        )
        if not rows:
            raise UnknownSeriesError(f"there is no series {series_id}")
        return _from_row(rows[0])

    def known(self, series_ids: Sequence[int]) -> set[int]:
        """Those of the ids that are series of this tenant."""
        rows = self._session.rows(
            "SELECT series_id FROM series WHERE tenant = %(tenant)s AND series_id = ANY(%(ids)s::bigint[])",
            {"ids": list(series_ids)},
        )
        return {row["series_id"] for row in rows}

    def of_metrics(self, metrics: Sequence[str]) -> list[Series]:
        """The series of these metrics."""
        rows = self._session.rows(
            f"SELECT {_COLUMNS} FROM series WHERE tenant = %(tenant)s AND metric = ANY(%(metrics)s::text[])"
            " ORDER BY series_id",
            {"metrics": list(metrics)},
        )
        return [_from_row(row) for row in rows]

    def steps(self, series_ids: Sequence[int]) -> dict[int, int]:
        """Series id -> its stored step in seconds, of those that are stored."""
        rows = self._session.rows(
            "SELECT series_id, step_s FROM series"
            " WHERE tenant = %(tenant)s AND series_id = ANY(%(ids)s::bigint[])",
            {"ids": list(series_ids)},
        )
        return {row["series_id"]: row["step_s"] for row in rows}


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
    )


def _from_row(row: DictRow) -> Series:
    fields = dict(row)
    fields["kind"] = SeriesKind(fields["kind"])
    fields["role"] = Role(fields["role"])
    fields["limit"] = fields.pop("limit_value")
    return Series(**fields)
