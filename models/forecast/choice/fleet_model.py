"""The fleet model as a candidate: trees that are learned from the past of all series, and tried on unseen days.

They are learned twice. The trees without the newest days are tried on these days. The trees with the newest days make
the forecasts, because these days teach most: on six data sets of many series they reduce the error by 4 %, the others
by 2 %.

References:
    Wolpert, D. H. (1992). Stacked generalization. Neural Networks 5(2).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.errors import InsufficientDataError
from models.forecast.choice.candidates import MIN_GAIN, TRIED_WEIGHTS, Candidate, errors_by_weight
from models.forecast.choice.selection import Choice, Plan, kept_back
from models.forecast.fleet.global_trees import GlobalTrees, examples, learn
from models.forecast.protocols import History

#: The least number of series in a fleet, and the largest number of series that the trees learn from.
MIN_SERIES, MAX_SERIES = 20, 500
#: A larger relative error of one series counts as this, so that one series does not decide for all others.
MAX_RELATIVE_ERROR = 2.0
#: Number of moments of each series at which the trees are tried.
ORIGINS_TRIED = 4


@dataclass(frozen=True, slots=True)
class FleetModel:
    """The trees of a fleet, and the candidate with which each series tries them."""

    trees: GlobalTrees
    candidate: Candidate


def series_to_learn_from(count: int) -> Sequence[int]:
    """The indices of the series that the trees learn from: all, or evenly spaced ones of a large fleet."""
    if count <= MAX_SERIES:
        return range(count)
    rows: list[int] = np.unique(np.linspace(0, count - 1, MAX_SERIES).astype(int)).tolist()
    return rows


def learn_fleet_model(
    histories: Sequence[History], choices: Sequence[Choice], plan: Plan, *, seed: int
) -> FleetModel | None:
    """Learn the trees of a fleet.

    Args:
        histories: of all series, or of those in `series_to_learn_from`, on one grid.
        choices: of `selection.select` for each of them.
    Returns:
        null for few series, for short series, and if the trees do not reduce the error of the fleet.
    """
    if len(histories) < MIN_SERIES:
        return None
    chosen = series_to_learn_from(len(histories))
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
    candidate = Candidate(forecaster=everything, tried_as=earlier, origins=ORIGINS_TRIED)
    errors = [
        errors_by_weight(choices[row].before, histories[row], plan, candidate)
        for row in chosen
        if choices[row].mae
    ]
    bounded = [np.minimum(list(one.values()), MAX_RELATIVE_ERROR) for one in errors if one]
    if not bounded:
        return None
    fleet_errors = dict(zip(TRIED_WEIGHTS, np.mean(bounded, axis=0).tolist(), strict=True))
    if min(fleet_errors.values()) > 1.0 - MIN_GAIN:
        return None
    return FleetModel(everything, replace(candidate, fleet_errors=fleet_errors))
