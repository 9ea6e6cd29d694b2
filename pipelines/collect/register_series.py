"""Register series; a changed limit becomes an event, and the limit before it is kept."""

from collections.abc import Iterable
from datetime import datetime

from core.domain import Series
from core.ports import Store


def register_series(store: Store, series: Iterable[Series], at: datetime) -> int:
    """Store series or update them; returns how many events are new.

    Args:
        at: when a limit changed that is another one now.
    """
    changes = store.series.register(series)
    if not changes:
        return 0
    kept = store.limit_changes.add(changes, at)
    return store.events.add(change.event(at) for change in kept)
