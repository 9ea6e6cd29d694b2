"""Locks on what many transactions of one tenant change. A lock lasts until the end of the transaction that took it.

They are advisory locks of PostgreSQL with two keys; those with one key belong to `pipelines.stores.locks`.

Whoever needs several takes them in the order of `TenantLock`, each before rows of what it is for. With this order, two
transactions never wait for each other.
"""

from enum import IntEnum

from pipelines.stores.session import Session


class TenantLock(IntEnum):
    """What is held. The value is the first key of the lock; the second one is a hash of the tenant."""

    #: The end of the complete steps of counted log lines.
    LOG_STEPS = 0x6C6F6773
    #: The templates of log lines.
    TEMPLATES = 0x74706C73
    #: The end of the complete steps of counted spans.
    SPAN_STEPS = 0x7370616E
    #: The declared types of metrics.
    TYPES = 0x74797065
    #: What is known of the series, and which counters have counts.
    SERIES = 0x73657269


def hold(session: Session, lock: TenantLock, *, shared: bool = False) -> None:
    """Wait for the lock and keep it until the end of the transaction.

    Args:
        shared: others may share it; only one that wants it alone has to wait.
    """
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    session.rows(f"SELECT {function}(%(key)s, hashtext(%(tenant)s))", {"key": lock.value})
