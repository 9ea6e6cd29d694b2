"""A registry in memory."""

from collections.abc import Collection, Mapping

from fakes.ports import NoRegistry

from core.domain import ModelRef
from core.errors import ModelUnavailableError
from core.training import Training


class KeptInMemory(NoRegistry):
    """A registry that holds the newest bundle, which is its champion."""

    def __init__(self) -> None:
        self.files: Mapping[str, bytes] | None = None
        self.training: Training | None = None
        self.version = 0

    def register(self, kind: str, files: Mapping[str, bytes], training: Training) -> ModelRef:
        self.files, self.training = dict(files), training
        self.version += 1
        return self._ref(kind)

    def resolve(self, kind: str, alias: str = "champion") -> ModelRef | None:
        return None if self.files is None else self._ref(kind)

    def load(
        self, kind: str, alias: str = "champion", names: Collection[str] = ()
    ) -> tuple[ModelRef, Mapping[str, bytes]]:
        if self.files is None:
            raise ModelUnavailableError(f"no {kind} yet")
        return self._ref(kind), self.files

    def _ref(self, kind: str) -> ModelRef:
        return ModelRef(name=kind, version=self.version, run_id="run")
