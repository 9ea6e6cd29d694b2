"""A small cache that threads may share."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class NewestBySeries(Generic[T]):
    """Keeps the newest value of each series, with the key for which it was computed. Thread-safe.

    Memory grows with the number of series, not with the number of keys.

    Examples:
        >>> cache = NewestBySeries[str]()
        >>> cache.get(1, "now", lambda: "first"), cache.get(1, "now", lambda: "second")
        ('first', 'first')
        >>> cache.get(1, "later", lambda: "third")
        'third'
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[int, tuple[Hashable, T]] = {}

    def get(self, series_id: int, question: Hashable, compute: Callable[[], T]) -> T:
        """The kept value if `question` is the same as before, else the result of `compute`, which is kept.

        Threads that ask for the same value at the same time may each compute it; none waits for another.
        """
        with self._lock:
            kept = self._newest.get(series_id)
        if kept is not None and kept[0] == question:
            return kept[1]
        value = compute()
        with self._lock:
            self._newest[series_id] = question, value
        return value
