"""Selects the forecasters of a series and their weights by rolling-origin backtests on its own past."""

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
from models.forecast.intervals.widths import PastErrors, variability
from models.forecast.pool.pool import POOL
from models.forecast.protocols import Bounds, History

_FREE = Bounds()
#: Candidates are tried on the newest values: so many seasons, or steps if there is no season.
KEPT_BACK_SEASONS, NO_SEASON_STEPS = 6, 24
#: The members that forecast a series that is too short for a backtest, if they were selected.
WITHOUT_BACKTEST = ("level", "seasonal_naive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The members that forecast one series.

    Attributes:
        weights: member -> weight; they add up to 1.
        errors: the distribution of the errors of the combined forecast.
        before: the weights as of `kept_back` steps ago. A candidate is compared with the members on the days since
            then, so the weights must not have been learned from these days. Empty after the candidates were tried.
        mae: member -> mean absolute error in the backtest; empty if the history was too short for a backtest.
        combined_mae: of the combined forecast at the same origins, each weighted by the others; null as above.
        coverage: level -> share of the values at the newer origins inside intervals learned from the older ones; may
            be empty.
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
    """How the backtests of a selection are made.

    Attributes:
        horizon_steps: length of each forecast.
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
    yhat = left_out(test, plan.weigh_by)
    past = _past_errors(history, test, yhat)
    floor = resolution(history.values)
    season = history.seasons[0] if history.seasons else 1
    model = fit_errors(past, floor=floor, season=season)
    edges = {level: model.interval(yhat[-1], level, _FREE) for level in LEVELS}
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


def _past_errors(history: History, test: Backtest, yhat: FloatArray) -> PastErrors:
    season = history.seasons[0] if history.seasons else 1
    known = history.values[np.isfinite(history.values)]
    return PastErrors(
        errors=test.actual - yhat,
        yhat=yhat,
        origins=test.origins,
        known=len(history),
        size=float(np.mean(known)) if float(known.min()) >= 0 else float("nan"),
        variability=np.array([variability(history.values[:at], season) for at in test.origins]),
        now=variability(history.values, season),
    )


def kept_back(history: History, plan: Plan) -> int:
    """Number of the newest steps, on which candidates are tried: some seasons, and at least two horizons."""
    season = history.seasons[0] if history.seasons else NO_SEASON_STEPS
    return max(KEPT_BACK_SEASONS * season, 2 * plan.horizon_steps)


def _weights_before(test: Backtest, history: History, plan: Plan) -> dict[str, float]:
    """The weights that were known before the newest days; empty if no origin lies before them."""
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
        reason=f"{len(known)} values are too few for a backtest; the forecast is simple and its intervals are wide",
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
    largest = ", ".join(f"{name} {share:.0%}" for name, share in shares)
    return f"weighted median of {len(mae)} models by {origins} origins; most weight: {largest}"


def _coverage(past: PastErrors, floor: float, season: int) -> dict[float, float]:
    """Share of values inside the intervals at the newer half of the origins, learned from the older half."""
    half = len(past.origins) // 2
    if half < 2 or not np.isfinite(past.errors[half:]).any():
        return {}
    older = past.before(half)
    model = fit_errors(older, floor=floor, season=season)
    inside: dict[float, list[FloatArray]] = {level: [] for level in LEVELS}
    for row in range(half, len(past.origins)):
        then = model.at(float(past.variability[row]), past.origins[row] - older.known)
        actual = past.yhat[row] + past.errors[row]
        known = np.isfinite(actual)
        for level, held in inside.items():
            low, high = then.interval(past.yhat[row], level, _FREE)
            held.append(((actual >= low) & (actual <= high))[known].astype(np.float64))
    return {level: float(np.concatenate(held).mean()) for level, held in inside.items()}
