"""How a long step reports its progress, without knowing who listens."""

from typing import Protocol


class Progress(Protocol):
    """A listener for the progress of a step."""

    def __call__(self, step: str, done: int, total: int) -> None:
        """Report that `done` of `total` units of the named step are complete. Called often, so it must be cheap."""
        ...


def silent(step: str, done: int, total: int) -> None:
    """Report nothing."""
