"""A value that is computed once, when it is first needed."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    """Computes a value on the first `get`, once, and returns the same value from then on. Thread-safe.

    A computation that raises is tried again on the next `get`.

    Examples:
        >>> made = Lazy(lambda: [1, 2])
        >>> made.get() is made.get()
        True
    """

    def __init__(self, compute: Callable[[], T]) -> None:
        self._compute = compute
        self._lock = threading.Lock()
        self._values: list[T] = []

    def get(self) -> T:
        """The value; other threads wait while the first one computes it."""
        if not self._values:
            with self._lock:
                if not self._values:
                    self._values.append(self._compute())
        return self._values[0]
