"""Kinds of model bundles, by name; a bundle goes to and from named files and answers frames."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol, Self

import polars as pl

from core.errors import InputError, ModelUnavailableError

#: kind -> where its class lives; imported on first use, for some need seconds.
_CLASSES = {
    "detector": "models.detect.bundle:DetectorBundle",
    "forecaster": "models.forecast.bundle:ForecasterBundle",
    "failure": "models.failure:FailureBundle",
}


class Bundle(Protocol):
    def to_files(self) -> dict[str, bytes]:
        """All of the fitted state, as files that hold data and never code."""
        ...

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """The inverse of `to_files`."""
        ...

    def predict_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Answer a whole frame: what MLflow's own tools call."""
        ...


def require_format(kind: str, meta: Mapping[str, Any], needed: int) -> None:
    """Refuse a bundle that another release wrote; bundles without a number are of format 1.

    Raises:
        ModelUnavailableError: it is of another format.
    """
    found = meta.get("format", 1)
    if found != needed:
        raise ModelUnavailableError(
            f"the registered {kind} model is of format {found} and this release reads {needed}; "
            "train and promote it again"
        )


def load_bundle(kind: str, files: Mapping[str, bytes]) -> Bundle:
    """The fitted bundle of that kind.

    Raises:
        InputError: there is no such kind.
        ModelUnavailableError: another release wrote it, in another format.
    """
    if kind not in _CLASSES:
        raise InputError(f"no model kind {kind!r}; there are {', '.join(_CLASSES)}")
    module, name = _CLASSES[kind].split(":")
    bundle: type[Bundle] = getattr(import_module(module), name)
    return bundle.from_files(files)
