"""Models that stay in memory: a version is read once, and not again for each step and cycle that uses it."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from core.domain import ModelRef
from core.errors import ModelUnavailableError
from core.model_registry import ModelRegistry

Model = TypeVar("Model")


class OpenModels:
    """The newest version of each kind of model of one tenant. Thread-safe.

    Args:
        registry: is asked before each use which version an alias names.
    """

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str, tuple[str, ...]], tuple[ModelRef, Any]] = {}

    def get(
        self,
        kind: str,
        read: Callable[[Mapping[str, bytes]], Model],
        alias: str = "champion",
        names: tuple[str, ...] = (),
    ) -> tuple[ModelRef, Model]:
        """The version that an alias names. Versions are immutable, so all who use one share it.

        Args:
            read: makes the model from its files; always the same function for a kind and for names.
            names: of the files that `read` needs; empty: all.
        Raises:
            ModelUnavailableError: nothing has that alias yet, or the files have another format.
            UnavailableError: the registry does not answer.
        """
        with self._lock:
            key = (kind, alias, names)
            kept = self._open.get(key)
            if kept is not None and kept[0] == self._registry.resolve(kind, alias):
                return kept
            # First, so that two versions are never in memory at once.
            self._open.pop(key, None)
            ref, files = self._registry.load(kind, alias, names)
            opened = ref, read(files)
            self._open[key] = opened
            return opened

    def get_newest(
        self, kind: str, read: Callable[[Mapping[str, bytes]], Model], names: tuple[str, ...] = ()
    ) -> tuple[ModelRef, Model]:
        """The champion, or the challenger while no version has been promoted; raises as `get` does."""
        try:
            return self.get(kind, read, names=names)
        except ModelUnavailableError:
            return self.get(kind, read, "challenger", names)
