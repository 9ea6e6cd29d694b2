"""What every model bundle has in common: files in, files out, and a format number."""

from collections.abc import Mapping
from typing import Any, Protocol, Self

import polars as pl

from core.errors import ModelUnavailableError


class Bundle(Protocol):
    """The fitted state of many series or of a fleet: one version in the registry."""

    def to_files(self) -> dict[str, bytes]:
        """All of the fitted state, as files that hold data and never code."""
        ...

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """The inverse of `to_files`.

        Raises:
            ModelUnavailableError: another release wrote the files, in another format.
        """
        ...

    def predict_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Predict for a whole frame: what MLflow's own tools call."""
        ...


def require_format(kind: str, meta: Mapping[str, Any], needed: int) -> None:
    """Refuse a bundle that another release wrote; a bundle without a number has format 1.

    Raises:
        ModelUnavailableError: the bundle has another format; the text says how to train it again.
    """
    found = meta.get("format", 1)
    if found != needed:
        raise ModelUnavailableError(
            f"the registered {kind} model has format {found} and this release reads format {needed}; "
            f"run `forewarn train {TRAIN_COMMANDS.get(kind, kind)}` and `forewarn promote {kind}`"
        )


#: Kind of bundle -> what `forewarn train` calls it.
TRAIN_COMMANDS: Mapping[str, str] = {
    "detector": "detectors",
    "forecaster": "forecasters",
    "failure": "failure",
}
