"""The ends of series, from the store."""

from collections.abc import Mapping
from datetime import datetime

from core.ports import Store
from models.signals.ends import SeriesEnds


def ended_series(store: Store, ends: SeriesEnds, at: datetime) -> Mapping[int, datetime]:
    """Series id -> when its sender ended it, of the series that have no later sample.

    Args:
        ends: with the newest end of each series.
        at: the present; later ends do not count.
    """
    newest = store.samples.newest_times(list(ends.times_ms)) if ends.times_ms else {}
    return ends.ended(newest, at)


def read_ends(store: Store, since: datetime) -> SeriesEnds:
    """The ends since a time, and the newest end of each other series."""
    return SeriesEnds.of(store.series_ends.since(since))
