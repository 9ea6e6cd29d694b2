"""The common trees of a fleet as a candidate: learned from all of the past, judged on days that they had not seen.

They are learned twice. What was learned from all but the newest days is tried on those; what was learned from
everything forecasts, because the newest days teach most: on six sets of many series it takes 4 % off the error where
the other takes 2 %.

References:
    Wolpert, D. H. (1992). Stacked generalization. Neural Networks 5(2).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.errors import InsufficientDataError
from models.forecast.choice.selection import Choice, Plan, kept_back
from models.forecast.choice.shares import EARNS, SHARES, Candidate, errors_by_share
from models.forecast.fleet.global_trees import GlobalTrees, examples, learn
from models.forecast.protocols import History

#: The common trees need a fleet, and learn from so many series of it at most.
LEARN_FROM_LEAST, LEARN_FROM_MOST = 20, 500
#: A series on which the trees fail says so once, and does not outvote all others.
MOST_WORSE = 2.0
#: How often a series is tried inside them.
TRIED_AT = 4


@dataclass(frozen=True, slots=True)
class CommonTrees:
    """What was learned from a fleet: the trees that forecast, and how they show on each series that they should."""

    trees: GlobalTrees
    candidate: Candidate


def learned_from(count: int) -> Sequence[int]:
    """Which of so many series the common trees learn from: all, or some from all over where there are many."""
    if count <= LEARN_FROM_MOST:
        return range(count)
    rows: list[int] = np.unique(np.linspace(0, count - 1, LEARN_FROM_MOST).astype(int)).tolist()
    return rows


def learn_fleet(
    histories: Sequence[History], choices: Sequence[Choice], plan: Plan, *, seed: int
) -> CommonTrees | None:
    """The common trees, where they take something off the error of the fleet.

    Args:
        histories: of all series, or of those in `learned_from`, on one grid.
        choices: what selection found for each of them.
    Returns:
        null for a few series, for short ones, and where nothing is gained.
    """
    if len(histories) < LEARN_FROM_LEAST:
        return None
    chosen = learned_from(len(histories))
    found = [examples(histories[row], plan.horizon_steps) for row in chosen]
    try:
        earlier = learn(
            [
                one.until(len(histories[row]) - kept_back(histories[row], plan))
                for row, one in zip(chosen, found, strict=True)
            ],
            seed=seed,
        )
        everything = learn(found, seed=seed)
    except InsufficientDataError:
        return None
    candidate = Candidate(forecaster=everything, tried_as=earlier, origins=TRIED_AT)
    errors = [
        errors_by_share(choices[row].before, histories[row], plan, candidate)
        for row in chosen
        if choices[row].mae
    ]
    told = [np.minimum(list(one.values()), MOST_WORSE) for one in errors if one]
    if not told:
        return None
    usual = dict(zip(SHARES, np.mean(told, axis=0).tolist(), strict=True))
    if min(usual.values()) > 1.0 - EARNS:
        return None
    return CommonTrees(everything, replace(candidate, usual=usual))
