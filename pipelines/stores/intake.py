"""What the service took in, by priority lane and source."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from core.intake import IntakeCount, IntakeKind
from pipelines.stores.session import Session

#: Counts are kept for steps of this length.
STEP = timedelta(minutes=5)
_SECONDS = int(STEP.total_seconds())


class IntakeStore:
    """The counts of one tenant (`core.intake.IntakeRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, at: datetime, counts: Sequence[IntakeCount]) -> None:
        """Add counts to those of the step that contains `at`; several services may do this at once."""
        # in the same order everywhere, so that two services cannot block each other
        ordered = sorted(counts, key=lambda one: (one.lane, one.source, one.kind, one.name))
        self._session.execute(
            "INSERT INTO intake_counts AS i (tenant, at, lane, source, kind, name, count)"
            " SELECT %(tenant)s, %(at)s, lane, source, kind, name, count FROM unnest(%(lanes)s::text[],"
            " %(sources)s::text[], %(kinds)s::text[], %(names)s::text[], %(counts)s::bigint[])"
            " AS n (lane, source, kind, name, count)"
            " ON CONFLICT (tenant, at, lane, source, kind, name) DO UPDATE SET count = CASE i.kind"
            " WHEN 'most' THEN greatest(i.count, excluded.count) ELSE i.count + excluded.count END",
            {
                "at": datetime.fromtimestamp(at.timestamp() // _SECONDS * _SECONDS, at.tzinfo),
                "lanes": [one.lane for one in ordered],
                "sources": [one.source for one in ordered],
                "kinds": [str(one.kind) for one in ordered],
                "names": [one.name for one in ordered],
                "counts": [one.count for one in ordered],
            },
        )

    def since(self, start: datetime) -> list[IntakeCount]:
        """The counts of all steps that end after `start`, together."""
        rows = self._session.rows(
            "SELECT lane, source, kind, name,"
            " CASE kind WHEN 'most' THEN max(count) ELSE sum(count) END::bigint AS count"
            " FROM intake_counts WHERE tenant = %(tenant)s AND at > %(first)s"
            " GROUP BY lane, source, kind, name ORDER BY lane, source, kind, name",
            {"first": start - STEP},
        )
        return [IntakeCount(**{**row, "kind": IntakeKind(row["kind"])}) for row in rows]
