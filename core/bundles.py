"""What all model bundles have in common: they are stored as files and have a format number."""

from collections.abc import Mapping
from typing import Any, Protocol, Self

import polars as pl

from core.errors import ModelUnavailableError


class Bundle(Protocol):
    """The fitted state of many series or of a fleet: one version in the registry."""

    def to_files(self) -> dict[str, bytes]:
        """The fitted state as files that contain only data, no code."""
        ...

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """The inverse of `to_files`.

        Raises:
            ModelUnavailableError: the files have the format of another release.
        """
        ...

    def predict_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Predict for a whole frame; the tools of MLflow call this."""
        ...


def require_format(kind: str, meta: Mapping[str, Any], needed: int) -> None:
    """Refuse a bundle in the format of another release; a bundle without a format number has format 1.

    Raises:
        ModelUnavailableError: the bundle has another format; the error explains how to train it again.
    """
    found = meta.get("format", 1)
    if found != needed:
        raise ModelUnavailableError(
            f"the registered {kind} model has format {found} and this release reads format {needed}; "
            f"run `forewarn train {TRAIN_COMMANDS.get(kind, kind)}` and `forewarn promote {kind}`"
        )


#: Kind of bundle -> its name in `forewarn train`.
TRAIN_COMMANDS: Mapping[str, str] = {
    "detector": "detectors",
    "forecaster": "forecasters",
    "failure": "failure",
}
