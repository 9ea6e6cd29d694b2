"""How much of a say a model gets that has to earn its cost: decided by what the combination would have said with it."""

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

#: Shares of the say that are tried.
SHARES = (0.0, 0.2, 0.4, 0.6)
#: A candidate earns its cost where it takes this share off the error of a fleet; of one series alone it must take
#: more, and gets the smallest share, for a few days of one series are soon deceived.
EARNS, EARNS_ALONE = 0.01, 0.03
#: What all series say of a share counts as much as so many times what one series says. On twelve sets the error falls
#: from 0 to 3.
FLEET_DOUBT = 3.0
#: All candidates together never outvote the pool by more than this.
MOST_SAY = SHARES[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that has to earn its cost.

    Attributes:
        forecaster: what forecasts if it does.
        tried_as: what is tried instead, where `forecaster` has learned from the newest days too.
        origins: at how many past moments it is tried.
        usual: share -> error over the whole fleet, by that with a share of 0; empty where no fleet was asked.
    """

    forecaster: Forecaster
    tried_as: Forecaster | None = None
    origins: int = 3
    usual: Mapping[float, float] = field(default_factory=dict)


def with_candidates(choice: Choice, history: History, plan: Plan, candidates: Sequence[Candidate]) -> Choice:
    """The choice with each candidate that earns its cost, and a record of those that do not."""
    if not candidates or not choice.mae:
        # Where the pool could not be tried on so short a past, there is nothing to compare with.
        return choice
    said: dict[str, float] = {}
    reason, left = choice.reason, 1.0
    for candidate in candidates:
        name = candidate.forecaster.name
        errors = errors_by_share(choice.before, history, plan, candidate)
        if not errors:
            reason = f"{reason}; {name} could not be tried"
            continue
        share = _best(errors, candidate.usual)
        if share:
            said[name] = share
            left *= _expected(errors, candidate.usual, share)
            reason = (
                f"{reason}; {name} has {share:.0%} of the say and takes {1 - errors[share]:.1%} off the error"
            )
        else:
            gain = 1.0 - errors[SHARES[1]]
            reason = f"{reason}; {name} takes {gain:.1%} off the error, too little for its cost"
    total = sum(said.values())
    said = {name: share * min(1.0, MOST_SAY / total) for name, share in said.items()}
    rest = 1.0 - sum(said.values())
    weights = {name: weight * rest for name, weight in choice.weights.items()}
    return replace(
        choice,
        weights={**weights, **said},
        errors=choice.errors.scaled(left),
        width={level: width * left for level, width in choice.width.items()},
        before={},
        reason=reason,
    )


def errors_by_share(
    weights: Mapping[str, float], history: History, plan: Plan, candidate: Candidate
) -> dict[float, float]:
    """Share -> mean absolute error of the combination on the newest days, by that without the candidate.

    Args:
        weights: of the pool, as they were before those days.
    Returns:
        empty where the history is too short, or where nothing is left to gain.
    """
    forecaster = candidate.tried_as or candidate.forecaster
    errors: list[list[float]] = []
    for at in _moments(history, plan, candidate.origins):
        then = history.until(at)
        came = history.values[at : at + plan.horizon_steps]
        if not np.isfinite(came).any():
            continue
        try:
            told = _say(forecaster, then, len(came), plan.members)
        except InsufficientDataError:
            continue
        shared = (
            {name: weight * (1.0 - share) for name, weight in weights.items()} | {forecaster.name: share}
            for share in SHARES
        )
        errors.append([float(np.nanmean(np.abs(came - combine(told, one)))) for one in shared])
    if not errors:
        return {}
    mean = np.mean(errors, axis=0)
    return dict(zip(SHARES, (mean / mean[0]).tolist(), strict=True)) if mean[0] > 0 else {}


def _say(
    forecaster: Forecaster, history: History, horizon_steps: int, members: Sequence[str]
) -> dict[str, FloatArray]:
    """What the members and the candidate forecast."""
    name = forecaster.name
    if isinstance(forecaster, GlobalTrees):
        return member_forecasts(history, (*members, name), horizon_steps, forecaster)
    return member_forecasts(history, members, horizon_steps) | {
        name: forecaster.fit(history).predict(horizon_steps)
    }


def _moments(history: History, plan: Plan, count: int) -> tuple[int, ...]:
    """Moments inside the newest days; none where the history is not longer than those."""
    last = len(history) - plan.horizon_steps
    first = len(history) - kept_back(history, plan)
    if first < 1:
        return ()
    return tuple(np.unique(np.linspace(first, last, count).astype(int)).tolist())


def _best(errors: Mapping[float, float], usual: Mapping[float, float]) -> float:
    """The share under which the error here, and over the fleet, is smallest."""
    if not usual:
        return SHARES[1] if errors[SHARES[1]] <= 1.0 - EARNS_ALONE else 0.0
    return min(SHARES, key=lambda share: _expected(errors, usual, share))


def _expected(errors: Mapping[float, float], usual: Mapping[float, float], share: float) -> float:
    """The error to come, by that without the candidate; 1 where no fleet vouches for what one series says."""
    return (errors[share] + FLEET_DOUBT * usual[share]) / (1.0 + FLEET_DOUBT) if usual else 1.0
