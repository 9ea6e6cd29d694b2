"""Loads a bundle of any kind from its files."""

from collections.abc import Mapping
from importlib import import_module

from core.bundles import Bundle
from core.errors import InputError

#: Kind -> where its class is. It is imported when it is first needed, because some imports take seconds.
_CLASSES = {
    "detector": "models.detect.bundle:DetectorBundle",
    "forecaster": "models.breach.bundle:BreachBundle",
    "failure": "models.failure.bundle:FailureBundle",
}


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
