"""Which models forecast a series, and why: decided by rolling-origin backtests on its own past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.forecasters.backtest import Backtest, backtest, choose_origins
from models.forecasters.combination import combine, left_out, mean_errors, weigh
from models.forecasters.conformal import LEVELS, ErrorModel, fit_errors, wide_errors
from models.forecasters.history import resolution
from models.forecasters.pool_forecaster import backtest_pool
from models.forecasters.protocols import Bounds, FloatArray, Forecaster, History
from models.forecasters.widths import PastErrors, unrest

#: A candidate earns its cost where, as one more voice, it takes this share off the error of the pool.
EARNS = 0.01
_FREE = Bounds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What forecasts one series.

    Attributes:
        weights: model -> share; they add up to 1.
        errors: how wrong the combination was.
        mae: model -> mean absolute error in the backtest; empty where the history was too short for one.
        combined_mae: that of the combination at the same origins, each weighted by the others; null as above.
        coverage: level -> share of the newer origins inside intervals learned from the older ones; may be empty.
        width: level -> mean width of the interval, in units of the values.
        reason: one sentence for the record.
    """

    weights: Mapping[str, float]
    errors: ErrorModel
    mae: Mapping[str, float] = field(default_factory=dict)
    combined_mae: float | None = None
    coverage: Mapping[float, float] = field(default_factory=dict)
    width: Mapping[float, float] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How selection spends its time.

    Args:
        horizon_steps: how far the backtests look.
        origins: past moments at which the pool is tried.
        weigh_by: how many of the newest of them decide the shares; old habits say little.
        candidate_origins: at how many of them a candidate is tried.
    """

    horizon_steps: int = 24
    origins: int = 24
    weigh_by: int = 8
    candidate_origins: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that has to earn its cost.

    Attributes:
        since: it may be tried only at moments after so many values, because it has learned from those before.
    """

    forecaster: Forecaster
    since: int = 0


def select(history: History, plan: Plan, candidates: Sequence[Candidate] = ()) -> Choice:
    """Backtest the pool and weigh it; let each candidate show what it would add.

    Raises:
        InsufficientDataError: fewer than two values are there.
    """
    origins = choose_origins(history, plan.horizon_steps, plan.origins)
    if not origins:
        return _too_short(history, plan)
    test = backtest_pool(history, origins=origins, horizon_steps=plan.horizon_steps)
    mae = mean_errors(test, slice(-plan.weigh_by, None))
    if not mae:
        return _too_short(history, plan)
    reason = _reason(mae, len(origins))
    for candidate in candidates:
        mae, reason = _try(candidate, history, plan, test, mae, reason)
    told = left_out(test, plan.weigh_by)
    past = _past_errors(history, test, told)
    floor = resolution(history.values)
    season = history.seasons[0] if history.seasons else 1
    model = fit_errors(past, floor=floor, season=season)
    edges = {level: model.interval(told[-1], level, _FREE) for level in LEVELS}
    return Choice(
        weights=weigh(mae),
        errors=model,
        mae=mae,
        combined_mae=float(np.nanmean(np.abs(past.errors[-plan.weigh_by :]))),
        coverage=_coverage(past, floor, season),
        width={level: float(np.mean(high - low)) for level, (low, high) in edges.items()},
        reason=reason,
    )


def _past_errors(history: History, test: Backtest, told: FloatArray) -> PastErrors:
    season = history.seasons[0] if history.seasons else 1
    known = history.values[np.isfinite(history.values)]
    return PastErrors(
        errors=test.actual - told,
        told=told,
        origins=test.origins,
        known=len(history),
        size=float(np.mean(known)) if float(known.min()) >= 0 else float("nan"),
        unrest=np.array([unrest(history.values[:at], season) for at in test.origins]),
        now=unrest(history.values, season),
    )


def _too_short(history: History, plan: Plan) -> Choice:
    known = history.values[np.isfinite(history.values)]
    return Choice(
        weights={"level": 0.5, "seasonal_naive": 0.5},
        errors=wide_errors(known, plan.horizon_steps, resolution(history.values)),
        reason=f"{len(known)} values are too few for a backtest; the last ones go on, with wide intervals",
    )


def _try(
    candidate: Candidate,
    history: History,
    plan: Plan,
    test: Backtest,
    mae: dict[str, float],
    reason: str,
) -> tuple[dict[str, float], str]:
    """The errors with the candidate's where it earns its cost, and the record."""
    name = candidate.forecaster.name
    rows = [row for row, at in enumerate(test.origins) if at >= candidate.since][-plan.candidate_origins :]
    if not rows:
        return mae, f"{reason}; {name} was not tried, for it knew all of the past"
    slow = backtest(
        [candidate.forecaster],
        history,
        origins=[test.origins[row] for row in rows],
        horizon_steps=plan.horizon_steps,
    )
    there = Backtest(
        origins=slow.origins, actual=slow.actual, yhat={key: yhat[rows] for key, yhat in test.yhat.items()}
    )
    fast, costly = mean_errors(there), mean_errors(slow)
    if not fast or not costly:
        return mae, reason
    with_fast = _error_of(there, weigh(mae))
    # It saw fewer origins: its error is put on the scale of all of them.
    scaled = costly[name] / max(min(fast.values()), 1e-300) * min(mae.values())
    more = {**mae, name: scaled}
    both = Backtest(origins=there.origins, actual=there.actual, yhat={**there.yhat, name: slow.yhat[name]})
    gain = 1.0 - _error_of(both, weigh(more)) / with_fast if with_fast > 0 else 0.0
    if gain >= EARNS:
        return more, f"{reason}; {name} takes {gain:.1%} off the error"
    return mae, f"{reason}; {name} takes {gain:.1%} off the error, too little for its cost"


def _error_of(test: Backtest, weights: Mapping[str, float]) -> float:
    """Mean absolute error of the combination with given shares."""
    told = [
        combine({name: yhat[k] for name, yhat in test.yhat.items()}, weights)
        for k in range(len(test.origins))
    ]
    return float(np.nanmean(np.abs(test.actual - np.stack(told))))


def _reason(mae: Mapping[str, float], origins: int) -> str:
    shares = sorted(weigh(mae).items(), key=lambda item: (-item[1], item[0]))[:3]
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares)
    return f"weighted median of {len(mae)} models by {origins} origins; most weight: {told}"


def _coverage(past: PastErrors, floor: float, season: int) -> dict[float, float]:
    """Share inside for the newer half of the origins, with intervals learned from the older half."""
    half = len(past.origins) // 2
    if half < 2 or not np.isfinite(past.errors[half:]).any():
        return {}
    older = past.before(half)
    model = fit_errors(older, floor=floor, season=season)
    inside: dict[float, list[FloatArray]] = {level: [] for level in LEVELS}
    for row in range(half, len(past.origins)):
        then = model.at(float(past.unrest[row]), past.origins[row] - older.known)
        actual = past.told[row] + past.errors[row]
        known = np.isfinite(actual)
        for level, held in inside.items():
            low, high = then.interval(past.told[row], level, _FREE)
            held.append(((actual >= low) & (actual <= high))[known].astype(np.float64))
    return {level: float(np.concatenate(held).mean()) for level, held in inside.items()}


def shares_of(choices: Sequence[Choice]) -> dict[str, float]:
    """Mean share of each model over many series."""
    total: dict[str, float] = {}
    for choice in choices:
        for name, weight in choice.weights.items():
            total[name] = total.get(name, 0.0) + weight / len(choices)
    return total
