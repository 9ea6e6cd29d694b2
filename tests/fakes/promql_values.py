"""Compares values of our own with those that a Prometheus computes."""

from collections.abc import Mapping
from math import isnan

import numpy as np

from core.arrays import FloatArray
from models.metrics.evaluate import Evaluator
from models.metrics.promql import query_of
from models.metrics.recipe import Recipe
from pipelines.sources.prometheus_api import PrometheusApi

#: The labels of a series.
Key = tuple[tuple[str, str], ...]


def compared_values(
    api: PrometheusApi, evaluator: Evaluator, recipe: Recipe, times: FloatArray, step_s: int
) -> int:
    """Compare the values of a recipe, to 1 part in 10^9; returns how many there are.

    Args:
        times: of the values, `step_s` apart, in seconds since 1970.
    """
    matrix = api.query_range(query_of(recipe, evaluator.window_s), times[0], times[-1], step_s)
    theirs = {
        tuple(sorted(one["metric"].items())): {float(at): float(value) for at, value in one["values"]}
        for one in matrix
    }
    vector = evaluator.value(recipe)
    ours = {
        key: dict(zip(times[present].tolist(), values[present].tolist(), strict=True))
        for key, values, present in zip(vector.keys, vector.values, vector.present, strict=True)
    }
    ours, theirs = _known(ours), _known(theirs)
    assert ours.keys() == theirs.keys(), recipe.signal
    for key, values in theirs.items():
        assert ours[key].keys() == values.keys(), (recipe.signal, key)
        at = list(values)
        np.testing.assert_allclose(
            [ours[key][one] for one in at], [values[one] for one in at], rtol=1e-9, atol=1e-12,
            err_msg=f"{recipe.signal} {key}",
        )  # fmt: skip
    return sum(map(len, theirs.values()))


def _known(found: Mapping[Key, Mapping[float, float]]) -> dict[Key, dict[float, float]]:
    """Without NaN: neither a pull nor a push stores it."""
    kept = {
        key: {at: value for at, value in values.items() if not isnan(value)} for key, values in found.items()
    }
    return {key: values for key, values in kept.items() if values}
