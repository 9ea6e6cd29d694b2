"""The port of the registry that keeps the versions of models."""

from collections.abc import Collection, Mapping
from typing import Protocol

from core.domain import ModelRef
from core.training import Training


class ModelRegistry(Protocol):
    """Versions of a tenant's models; a model is a bundle of named files, never a pickle."""

    def register(self, kind: str, files: Mapping[str, bytes], training: Training) -> ModelRef:
        """Store a bundle as the next version of the tenant's `kind` and give it the alias `challenger`.

        Args:
            files: read one by one, and not kept: they may lie on a disk that is cleared afterwards.
        """
        ...

    def resolve(self, kind: str, alias: str = "champion") -> ModelRef | None:
        """The version behind an alias, or null; cheap enough to ask every second."""
        ...

    def load(
        self, kind: str, alias: str = "champion", names: Collection[str] = ()
    ) -> tuple[ModelRef, Mapping[str, bytes]]:
        """The bundle behind an alias.

        Args:
            names: of the files that are wanted, those that there are; empty: all.
        Raises:
            ModelUnavailableError: nothing has that alias yet.
        """
        ...

    def metrics(self, ref: ModelRef) -> Mapping[str, float]:
        """What was measured when that version was trained.

        Raises:
            ModelUnavailableError: this tenant has no such version.
        """
        ...

    def promote(self, ref: ModelRef, alias: str = "champion") -> None:
        """Point an alias at a version.

        Raises:
            ModelUnavailableError: this tenant has no such version.
        """
        ...
