"""Gives a weight to forecasters that must earn their cost, if they reduce the error of the combined forecast enough."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from core.arrays import FloatArray
from core.errors import InsufficientDataError
from models.forecast.choice.members import member_forecasts
from models.forecast.choice.selection import Choice, Plan, kept_back
from models.forecast.combination import combine
from models.forecast.fleet.global_trees import GlobalTrees
from models.forecast.protocols import Forecaster, History

#: Weights that are tried for a candidate.
TRIED_WEIGHTS = (0.0, 0.2, 0.4, 0.6)
#: A candidate earns its cost if it reduces the error of a fleet by this share. Alone on one series it must reduce the
#: error more, and gets the smallest weight, because a few days of one series are weak evidence.
MIN_GAIN, MIN_GAIN_ALONE = 0.01, 0.03
#: The mean result of the fleet counts as much as the results of so many series. On twelve data sets the error falls as
#: this grows from 0 to 3.
FLEET_COUNT = 3.0
#: The largest weight of all candidates together; the other members share the rest.
MAX_CANDIDATE_WEIGHT = TRIED_WEIGHTS[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A forecaster that must earn its cost.

    Attributes:
        forecaster: the one that becomes a member.
        tried_as: the one that is tried instead, if `forecaster` has learned from the newest days; null: the same.
        origins: number of past moments at which it is tried.
        fleet_errors: weight -> mean error over the fleet, relative to that without the candidate; empty if it was not
            tried on a fleet.
    """

    forecaster: Forecaster
    tried_as: Forecaster | None = None
    origins: int = 3
    fleet_errors: Mapping[float, float] = field(default_factory=dict)


def with_candidates(choice: Choice, history: History, plan: Plan, candidates: Sequence[Candidate]) -> Choice:
    """Add each candidate that earns its cost; the reason of the choice records all of them."""
    if not candidates or not choice.mae:
        # The history was too short for a backtest, so there is no error to compare with.
        return choice
    earned: dict[str, float] = {}
    reason, error_ratio = choice.reason, 1.0
    for candidate in candidates:
        name = candidate.forecaster.name
        errors = errors_by_weight(choice.before, history, plan, candidate)
        if not errors:
            reason = f"{reason}; {name} could not be tried"
            continue
        weight = _best(errors, candidate.fleet_errors)
        if weight:
            earned[name] = weight
            error_ratio *= _expected(errors, candidate.fleet_errors, weight)
            gain = 1 - errors[weight]
            reason = f"{reason}; {name} has a weight of {weight:.0%} and reduces the error by {gain:.1%}"
        else:
            gain = 1.0 - errors[TRIED_WEIGHTS[1]]
            reason = f"{reason}; {name} reduces the error by {gain:.1%}, too little for its cost"
    total = sum(earned.values())
    earned = {name: weight * min(1.0, MAX_CANDIDATE_WEIGHT / total) for name, weight in earned.items()}
    rest = 1.0 - sum(earned.values())
    weights = {name: weight * rest for name, weight in choice.weights.items()}
    return replace(
        choice,
        weights={**weights, **earned},
        errors=choice.errors.scaled(error_ratio),
        width={level: width * error_ratio for level, width in choice.width.items()},
        before={},
        reason=reason,
    )


def errors_by_weight(
    weights: Mapping[str, float], history: History, plan: Plan, candidate: Candidate
) -> dict[float, float]:
    """Try a candidate on the newest days with each of `TRIED_WEIGHTS`.

    Args:
        weights: of the members, as they were before those days.
    Returns:
        Weight of the candidate -> mean absolute error of the combined forecast, relative to that without the
        candidate. Empty if the history is too short, or if the forecast has no error without the candidate.
    """
    forecaster = candidate.tried_as or candidate.forecaster
    errors: list[list[float]] = []
    for at in _moments(history, plan, candidate.origins):
        then = history.until(at)
        actual = history.values[at : at + plan.horizon_steps]
        if not np.isfinite(actual).any():
            continue
        try:
            forecasts = _forecasts(forecaster, then, len(actual), plan.members)
        except InsufficientDataError:
            continue
        tried = (
            {name: weight * (1.0 - share) for name, weight in weights.items()} | {forecaster.name: share}
            for share in TRIED_WEIGHTS
        )
        errors.append([float(np.nanmean(np.abs(actual - combine(forecasts, one)))) for one in tried])
    if not errors:
        return {}
    mean = np.mean(errors, axis=0)
    return dict(zip(TRIED_WEIGHTS, (mean / mean[0]).tolist(), strict=True)) if mean[0] > 0 else {}


def _forecasts(
    forecaster: Forecaster, history: History, horizon_steps: int, members: Sequence[str]
) -> dict[str, FloatArray]:
    """The forecasts of the members and of the candidate."""
    name = forecaster.name
    if isinstance(forecaster, GlobalTrees):
        return member_forecasts(history, (*members, name), horizon_steps, forecaster)
    return member_forecasts(history, members, horizon_steps) | {
        name: forecaster.fit(history).predict(horizon_steps)
    }


def _moments(history: History, plan: Plan, count: int) -> tuple[int, ...]:
    """Moments inside the newest days; none if the history is not longer than these days."""
    last = len(history) - plan.horizon_steps
    first = len(history) - kept_back(history, plan)
    if first < 1:
        return ()
    return tuple(np.unique(np.linspace(first, last, count).astype(int)).tolist())


def _best(errors: Mapping[float, float], fleet_errors: Mapping[float, float]) -> float:
    """The weight with the smallest expected error."""
    if not fleet_errors:
        return TRIED_WEIGHTS[1] if errors[TRIED_WEIGHTS[1]] <= 1.0 - MIN_GAIN_ALONE else 0.0
    return min(TRIED_WEIGHTS, key=lambda weight: _expected(errors, fleet_errors, weight))


def _expected(errors: Mapping[float, float], fleet_errors: Mapping[float, float], weight: float) -> float:
    """Expected error relative to that without the candidate; 1 if no fleet confirms the result of one series."""
    if not fleet_errors:
        return 1.0
    return (errors[weight] + FLEET_COUNT * fleet_errors[weight]) / (1.0 + FLEET_COUNT)
