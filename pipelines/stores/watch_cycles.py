"""How long watch cycles took."""

from datetime import datetime

from psycopg.types.json import Jsonb

from core.watch_cycles import WatchCycle
from pipelines.stores.session import Session, utc


class WatchCycleStore:
    """The watch cycles of one tenant (`core.watch_cycles.WatchCycleRepository`)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, cycle: WatchCycle) -> None:
        """Store a cycle; one that began at the same time is replaced."""
        self._session.execute(
            "INSERT INTO watch_cycles (tenant, at, step_seconds) VALUES (%(tenant)s, %(at)s, %(steps)s)"
            " ON CONFLICT (tenant, at) DO UPDATE SET step_seconds = excluded.step_seconds",
            # A list, because the keys of a JSON object have no order in the database.
            {"at": cycle.at, "steps": Jsonb(list(cycle.step_seconds.items()))},
        )

    def since(self, at: datetime) -> list[WatchCycle]:
        """The cycles that began at or after `at`, the oldest first."""
        rows = self._session.rows(
            "SELECT at, step_seconds FROM watch_cycles WHERE tenant = %(tenant)s AND at >= %(at)s ORDER BY at",
            {"at": at},
        )
        return [WatchCycle(at=utc(row["at"]), step_seconds=dict(row["step_seconds"])) for row in rows]
