"""Which samples other processes have written since a process looked last."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipelines.stores.session import Session

#: The retention deletes notes after this time; who has not looked for half of it must read everything again.
KEPT = timedelta(days=1)
#: Instead of the time of the oldest sample: samples of any time.
ALL = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A look: what was committed before it, and what was not.

    Attributes:
        transaction: all transactions with a smaller number had ended.
        at: when that was, by the clock of the database.
    """

    transaction: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a look found.

    Attributes:
        oldest: samples from this time on may have changed since the look before; null: none have.
    """

    seen: Seen
    oldest: datetime | None


def note_write(session: Session, oldest: datetime) -> None:
    """Tell other processes that this transaction changes samples, the oldest of them at this time."""
    session.execute(
        "INSERT INTO sample_writes (tenant, oldest) VALUES (%(tenant)s, %(oldest)s)", {"oldest": oldest}
    )


def look(session: Session, before: Seen | None) -> Look:
    """Look for writes since the look before; null: there was none, so that all samples count as new.

    A transaction that had not ended at a look may have a smaller number than one that had. So the next look begins at
    the smallest number that was still running.
    """
    since = 0 if before is None else before.transaction
    row = session.rows(
        "SELECT min(oldest) AS oldest, pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS transaction,"
        " now() AS at FROM sample_writes WHERE tenant = %(tenant)s AND xid >= %(since)s::text::xid8",
        {"since": str(since)},
    )[0]
    seen = Seen(transaction=row["transaction"], at=row["at"])
    # Numbers are smaller than before in a database that was restored from a dump.
    lost = before is None or seen.transaction < before.transaction or seen.at - before.at > KEPT / 2
    return Look(seen=seen, oldest=ALL if lost else row["oldest"])


def forget_notes(session: Session) -> int:
    """Delete old notes; returns how many."""
    return session.execute(
        "DELETE FROM sample_writes WHERE tenant = %(tenant)s AND made_at < now() - %(kept)s", {"kept": KEPT}
    )
