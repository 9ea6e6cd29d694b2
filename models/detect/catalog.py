"""All detectors by name, and the detectors that score a fleet by default.

Each class in `models/detect/detectors/` that fulfils the contract is found without registration. A new detector is one
new file.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import models.detect.detectors
from core.errors import ConfigurationError
from models.detect.protocols import Detector, Reads

#: The detectors that score a fleet unless `FOREWARN_DETECTORS` selects others: three on the residual of each series,
#: the forest on all residuals of a service, and the stream on the values. `docs/decisions/two-ways-to-detect.md`
#: explains the choice.
DEFAULT_DETECTORS: tuple[str, ...] = ("zscore", "mad", "ewma", "isolation_forest", "stream")
#: The smallest spread of residuals that means anything, in units of the baseline's spread, which depends on scale and
#: resolution of the series. Residuals of a constant series are all 0 and have no spread of their own.
LEAST_RESIDUAL_SPREAD = 0.1


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


def select_detectors(names: Sequence[str]) -> tuple[str, ...]:
    """The detectors that a setting selects, in its order; the default set where it is empty.

    Raises:
        ConfigurationError: a name is not in the catalog, or is there twice; the text lists all names.
    """
    known = detector_classes()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigurationError(
            f"there is no detector {', '.join(unknown)}; FOREWARN_DETECTORS accepts {', '.join(known)}"
        )
    if len(set(names)) < len(names):
        raise ConfigurationError(f"FOREWARN_DETECTORS has a name twice: {', '.join(names)}")
    return tuple(names) or DEFAULT_DETECTORS


def make_detector(name: str, seed: int = 0) -> Detector:
    """A detector with its default settings, for what it reads in a fleet.

    Args:
        name: a key of `detector_classes`.
        seed: for a detector that draws random numbers.
    Raises:
        KeyError: no detector has that name.
    """
    kind: Callable[..., Detector] = detector_classes()[name]
    settings: dict[str, Any] = {"seed": seed}
    if reads_of(name) is not Reads.VALUES:
        settings["least_spread"] = LEAST_RESIDUAL_SPREAD
    return kind(**{key: value for key, value in settings.items() if key in _parameters(kind)})


@cache
def _parameters(kind: Callable[..., Detector]) -> frozenset[str]:
    return frozenset(inspect.signature(kind).parameters)


def reads_of(name: str) -> Reads:
    """What a detector of a fleet reads."""
    return Reads(getattr(detector_classes()[name], "reads", Reads.RESIDUAL))


def memorises(name: str) -> bool:
    """Whether a detector scores values that it learned from lower than new ones."""
    return bool(getattr(detector_classes()[name], "memorises", False))


def max_tail_slope(name: str) -> float:
    """Steepest rise of -log10 p per unit of score beyond the scores seen that a detector allows; > 0 or infinite."""
    return float(getattr(detector_classes()[name], "max_tail_slope", float("inf")))
