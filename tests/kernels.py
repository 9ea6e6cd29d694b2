"""Finds every compiled kernel, and compiles it again so that an index out of bounds raises IndexError.

Without bounds checks a wrong index reads or writes the memory of something else, and the process may end.
"""

import importlib
import pkgutil
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

import numba
import numpy as np
from numba.core.registry import CPUDispatcher

from models.series.magnitude import bounded

PACKAGES = ("core", "features", "models", "pipelines", "serving", "flows")


@cache
def find_kernels() -> dict[str, Any]:
    """`module.function` -> kernel, of all packages of the platform."""
    found: dict[str, Any] = {}
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module_info in pkgutil.walk_packages(package.__path__, f"{name}."):
            if _has_kernels(module_info):
                found |= _kernels_of(importlib.import_module(module_info.name))
    return dict(sorted(found.items()))


def _has_kernels(module_info: pkgutil.ModuleInfo) -> bool:
    """Whether a module uses numba; the others need not be imported."""
    spec = module_info.module_finder.find_spec(module_info.name, None)
    source = spec.loader.get_source(module_info.name) if spec and spec.loader else None  # type: ignore[attr-defined]
    return source is not None and "numba" in source


def _kernels_of(module: ModuleType) -> dict[str, Any]:
    return {
        f"{module.__name__}.{name}": value
        for name, value in vars(module).items()
        if isinstance(value, CPUDispatcher) and value.py_func.__module__ == module.__name__
    }


@cache
def with_bounds_checks(kernel: Any) -> Any:
    """The same kernel, and all kernels that it calls, with bounds checks."""
    plain = kernel.py_func
    called = {
        name: with_bounds_checks(plain.__globals__[name])
        for name in plain.__code__.co_names
        if isinstance(plain.__globals__.get(name), CPUDispatcher) and name != plain.__name__
    }
    copy = FunctionType(plain.__code__, plain.__globals__ | called, plain.__name__, plain.__defaults__)
    copy.__module__ = plain.__module__
    options = {name: value for name, value in kernel.targetoptions.items() if name in ("fastmath", "nogil")}
    return numba.njit(boundscheck=True, **options)(copy)


def bounded_copy(argument: Any, most: float) -> Any:
    """An argument that the test may change, with numbers of a size that callers pass."""
    if isinstance(argument, tuple) and hasattr(argument, "_fields"):
        return type(argument)(*(bounded_copy(one, most) for one in argument))
    if not isinstance(argument, np.ndarray):
        return argument
    return bounded(argument, most).copy() if argument.dtype == np.float64 else argument.copy()


def arrays_of(result: Any) -> list[Any]:
    """What a kernel returned, as arrays."""
    if result is None:
        return []
    return [np.asarray(one) for one in (result if isinstance(result, tuple) else (result,))]
