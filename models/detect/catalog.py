"""All detectors by name: every class in `models/detectors/` that keeps the contract, found by itself."""

import importlib
import pkgutil
from functools import cache

import models.detect.detectors
from models.detect.protocols import Detector


@cache
def detector_classes() -> dict[str, type[Detector]]:
    """Name -> class of every detector, in the order of the names.

    A detector is a class with `name`, `min_points`, `fit` and `from_arrays`, in the module that defines it.
    """
    found: dict[str, type[Detector]] = {}
    for module_info in pkgutil.iter_modules(models.detect.detectors.__path__):
        module = importlib.import_module(f"models.detect.detectors.{module_info.name}")
        for value in vars(module).values():
            if (
                isinstance(value, type)
                and value.__module__ == module.__name__
                and all(hasattr(value, part) for part in ("name", "min_points", "fit", "from_arrays"))
            ):
                found[str(vars(value)["name"])] = value
    return dict(sorted(found.items()))
