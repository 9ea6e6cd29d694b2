"""Explains a failure risk: the strongest features with their contributions and their values in words."""

import math
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from core.arrays import FloatArray
from core.domain import Factor
from models.words.failure import (
    BASE_RATE,
    OTHER_FEATURES,
    STARTING_VALUE,
    feature_reason,
    other_features_reason,
)
from models.words.feature_names import NOUNS

#: Slots that stand for another resource, and the families by which this resource is found.
RANKS, IDENTITY = ("first", "second"), ("level_15m", "way_15m")
#: Rank -> the columns of its level and way, and those of each resource.
_Ranked = Mapping[str, tuple[list[int], list[tuple[str, list[int]]]]]


def factors_of(
    names: Sequence[str],
    values: FloatArray,
    contributions: FloatArray,
    bias: float,
    top: int = 5,
) -> tuple[Factor, ...]:
    """The strongest features, the sum of all others, and the base rate; together they add up to the margin.

    Args:
        names: of the features, length f.
        values: of the features, length f, NaN = missing.
        contributions: SHAP values in log-odds, length f; positive = raises the risk.
        bias: margin of a moment of which nothing is known, in log-odds.
        top: how many features are named.
    """
    ranked = _ranked(tuple(names))
    order = np.argsort(-np.abs(contributions), kind="stable")[:top]
    named = [
        Factor(
            name=names[i],
            value=None if math.isnan(values[i]) else float(values[i]),
            contribution=float(contributions[i]),
            text=feature_reason(
                _resource_name(names[i], ranked, values), float(values[i]), float(contributions[i])
            ),
        )
        for i in order
        if contributions[i] != 0.0
    ]
    rest = float(contributions.sum() - sum(factor.contribution for factor in named))
    return (
        *named,
        Factor(name=OTHER_FEATURES, value=None, contribution=rest, text=other_features_reason(rest)),
        Factor(name=BASE_RATE, value=None, contribution=bias, text=STARTING_VALUE),
    )


def _resource_name(name: str, ranked: _Ranked, values: FloatArray) -> str:
    """The name with "first" or "second" replaced by the resource that has the same level and way."""
    rank, _, family = name.partition("_")
    if rank in ranked:
        (level, way), resources = ranked[rank]
        for slot, (its_level, its_way) in resources:
            if values[its_level] == values[level] and values[its_way] == values[way]:
                return f"{slot}_{family}"
    return name


@cache
def _ranked(names: tuple[str, ...]) -> _Ranked:
    """Columns of the ranks and resources among the features. A look-up hashes all names, so do it once per row."""
    at = {name: place for place, name in enumerate(names)}

    def places(slot: str) -> list[int]:
        return [at[name] for family in IDENTITY if (name := f"{slot}_{family}") in at]

    complete = {slot: found for slot in NOUNS if len(found := places(slot)) == len(IDENTITY)}
    return {
        rank: (complete[rank], [(slot, found) for slot, found in complete.items() if slot not in RANKS])
        for rank in RANKS
        if rank in complete
    }
