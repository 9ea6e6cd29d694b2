"""Which models forecast a series, and why: decided by rolling-origin backtests on its own past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from core.arrays import FloatArray
from core.errors import InsufficientDataError
from models.forecast.backtest import Backtest, choose_origins
from models.forecast.catalog import find_forecaster
from models.forecast.choice.members import backtest_members
from models.forecast.combination import left_out, mean_errors, weigh
from models.forecast.history import resolution
from models.forecast.intervals.conformal import LEVELS, ErrorModel, fit_errors, wide_errors
from models.forecast.intervals.widths import PastErrors, unrest
from models.forecast.pool.pool import POOL
from models.forecast.protocols import Bounds, History

_FREE = Bounds()
#: The newest days, by season, that candidates are tried on.
KEPT_BACK_SEASONS, NO_SEASON_STEPS = 6, 24
#: The members that forecast a series that is too short for a backtest, if they were selected.
WITHOUT_BACKTEST = ("level", "seasonal_naive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What forecasts one series.

    Attributes:
        weights: model -> share; they add up to 1.
        errors: how wrong the combination was.
        before: what the weights were `kept_back` steps ago: whoever is compared with the pool on the days since must
            not meet weights that were found on the same days. Empty once it is decided.
        mae: model -> mean absolute error in the backtest; empty where the history was too short for one.
        combined_mae: that of the combination at the same origins, each weighted by the others; null as above.
        coverage: level -> share of the newer origins inside intervals learned from the older ones; may be empty.
        width: level -> mean width of the interval, in units of the values.
        reason: one sentence for the record.
    """

    weights: Mapping[str, float]
    errors: ErrorModel
    before: Mapping[str, float] = field(default_factory=dict)
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
        origins: past moments at which the members are tried.
        weigh_by: how many of the newest of them decide the weights, because old patterns matter little.
        members: names of the forecasters that are weighed.
    """

    horizon_steps: int = 24
    origins: int = 24
    weigh_by: int = 8
    members: tuple[str, ...] = tuple(POOL)


def select(history: History, plan: Plan) -> Choice:
    """Backtest the members of the plan and weigh them.

    Raises:
        InsufficientDataError: the history has fewer than two values, or is too short for every member.
    """
    origins = choose_origins(history, plan.horizon_steps, plan.origins)
    if not origins:
        return _too_short(history, plan)
    test = backtest_members(history, plan.members, origins=origins, horizon_steps=plan.horizon_steps)
    mae = mean_errors(test, slice(-plan.weigh_by, None))
    if not mae:
        return _too_short(history, plan)
    told = left_out(test, plan.weigh_by)
    past = _past_errors(history, test, told)
    floor = resolution(history.values)
    season = history.seasons[0] if history.seasons else 1
    model = fit_errors(past, floor=floor, season=season)
    edges = {level: model.interval(told[-1], level, _FREE) for level in LEVELS}
    return Choice(
        weights=weigh(mae),
        errors=model,
        before=_weights_before(test, history, plan) or weigh(mae),
        mae=mae,
        combined_mae=float(np.nanmean(np.abs(past.errors[-plan.weigh_by :]))),
        coverage=_coverage(past, floor, season),
        width={level: float(np.mean(high - low)) for level, (low, high) in edges.items()},
        reason=_reason(mae, len(origins)),
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


def kept_back(history: History, plan: Plan) -> int:
    """The newest steps, on which candidates are tried: some seasons, and at least two horizons."""
    season = history.seasons[0] if history.seasons else NO_SEASON_STEPS
    return max(KEPT_BACK_SEASONS * season, 2 * plan.horizon_steps)


def _weights_before(test: Backtest, history: History, plan: Plan) -> dict[str, float]:
    """The weights by what was known before the newest days; empty where nothing had been tried by then."""
    until = len(history) - kept_back(history, plan) - plan.horizon_steps
    known = [row for row, at in enumerate(test.origins) if at <= until][-plan.weigh_by :]
    mae = mean_errors(test, np.array(known)) if known else {}
    return weigh(mae) if mae else {}


def _too_short(history: History, plan: Plan) -> Choice:
    known = history.values[np.isfinite(history.values)]
    names = [name for name in WITHOUT_BACKTEST if name in plan.members] or _fitting(history, plan.members)
    return Choice(
        weights={name: 1.0 / len(names) for name in names},
        errors=wide_errors(known, plan.horizon_steps, resolution(history.values)),
        reason=f"{len(known)} values are too few for a backtest; the last ones go on, with wide intervals",
    )


def _fitting(history: History, members: Sequence[str]) -> list[str]:
    """The members that a short history is long enough for.

    Raises:
        InsufficientDataError: it is too short for all of them.
    """
    found, reason = [], ""
    for name in members:
        try:
            find_forecaster(name).fit(history)
        except InsufficientDataError as error:
            reason = str(error)
        else:
            found.append(name)
    if not found:
        raise InsufficientDataError(f"the history is too short for {', '.join(members)}: {reason}")
    return found


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
