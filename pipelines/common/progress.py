"""How a long step tells how far it is, without knowing who listens."""

from typing import Protocol


class Progress(Protocol):
    def __call__(self, step: str, done: int, total: int) -> None:
        """`done` of `total` of the named step; called often, so it must be cheap."""
        ...


def silent(step: str, done: int, total: int) -> None:
    """Tell nobody."""
