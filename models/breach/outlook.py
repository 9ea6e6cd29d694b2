"""Predicts whether and when a series crosses its threshold, by counting crossings of simulated paths.

Each path follows one of two regimes. In the usual regime the series follows its forecast, with the errors that its
forecaster really makes. In the fill regime it goes on growing as in the last hours, at a varying rate, until something
resets it. The rarer such growth is in the past of the series, the more paths follow the fill regime.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np

from core.arrays import FloatArray
from core.domain import Breach, Role, Series
from core.durations import HOUR_S
from models.breach.growth import Growth, Present, interpolate, measure_growth
from models.breach.paths import SimulatedPaths, simulate_growth
from models.breach.resets import Sawtooth, find_resets
from models.forecast.history import prepare
from models.forecast.protocols import History
from models.series.thresholds import is_past, is_upward, threshold_of

PATHS = 400
#: Horizons for which the probability of a breach is reported, in seconds.
BREACH_HORIZONS_S = (3 * HOUR_S, 6 * HOUR_S, 12 * HOUR_S, 24 * HOUR_S)
#: From this probability on, a breach without growth and without resets counts as seasonal.
SEASONAL_FROM = 0.1


class BreachPattern(StrEnum):
    """Why a series breaches or does not breach: it is over its threshold already, it fills, ..."""

    OVER = "over"
    FILL = "fill"
    SAWTOOTH = "sawtooth"
    SEASONAL = "seasonal"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreachOutlook:
    """The prediction of one series' breach.

    Attributes:
        pattern: why it breaches or does not.
        breach: breach of the threshold, over the whole horizon and within each of `BREACH_HORIZONS_S`.
        growth: present growth.
        sawtooth: resets of the series; null if it has none.
        level: value now.
        impact: breach of the impact level, from which other series are affected. This level may lie beyond the
            threshold.
        at: the present, where `paths` start.
        paths: (count, steps), for the fan of the plot.
        impact_since: when the series reached the impact level, or the first known moment if it was past this level
            from the beginning; null if it has not reached the level, or if nobody checked.
        over_since: the same for the threshold.
    """

    pattern: BreachPattern
    breach: Breach
    growth: Growth
    sawtooth: Sawtooth | None
    level: float
    impact: Breach
    at: datetime
    paths: FloatArray
    impact_since: datetime | None = None
    over_since: datetime | None = None


def predict_breach(
    series: Series,
    history: History,
    usual_paths: FloatArray,
    present: Present,
    *,
    rng: np.random.Generator,
    impact_level: float | None = None,
) -> BreachOutlook | None:
    """Predict probability and time of a breach.

    Args:
        series: with its threshold or limit.
        history: all whole steps up to now.
        usual_paths: (count, steps), simulated by the forecaster from the end of the history on.
        present: the value now and an hour ago.
        rng: source of all randomness.
        impact_level: value from which other series are affected; null = the threshold.
    Returns:
        null if the series has no threshold.
    """
    threshold = threshold_of(series)
    if threshold is None:
        return None
    upward = is_upward(series)
    past = _Past.of(history, present, steps_ahead=usual_paths.shape[1] + 1)
    sawtooth = find_resets(past.values if upward else -past.values)
    growth = past.growth(inert=is_inert(series))
    shifted = np.append(usual_paths[:, 1:], usual_paths[:, -1:], axis=1)
    paths = interpolate(usual_paths, shifted, past.step_fraction)
    count = len(paths)
    towards = growth.per_hour > 0 if upward else growth.per_hour < 0
    filling = round(growth.weight * count) if towards else 0
    if filling:
        paths[:filling] = past.fills(growth, sawtooth if upward else None, paths[:filling].shape, rng)
    simulated = SimulatedPaths(
        values=history.bounds.clip(paths), level=present.level, at=present.at, step_s=history.step_s
    )
    breach = simulated.breach(threshold, upward=upward, horizons_s=BREACH_HORIZONS_S)
    impact = breach
    if impact_level is not None and impact_level != threshold:
        impact = simulated.breach(impact_level, upward=upward, horizons_s=BREACH_HORIZONS_S)
    over = bool(is_past(np.array([present.level]), threshold, upward=upward)[0])
    return BreachOutlook(
        pattern=_pattern(over, filling > count // 4, sawtooth, breach),
        breach=breach,
        growth=growth,
        sawtooth=sawtooth,
        level=present.level,
        impact=impact,
        at=present.at,
        paths=simulated.values,
    )


@dataclass(frozen=True, slots=True)
class _Past:
    """The past of a series up to the present.

    Attributes:
        values: the past without NaN.
        usual: the seasonal median at each of these steps.
        ahead: the seasonal median at the next steps.
        step_s: seconds of a step.
        present: the value now and an hour ago.
        step_fraction: share of the unfinished step that has passed. The history does not cover it, `present` does.
    """

    values: FloatArray
    usual: FloatArray
    ahead: FloatArray
    step_s: int
    present: Present
    step_fraction: float

    @classmethod
    def of(cls, history: History, present: Present, *, steps_ahead: int) -> "_Past":
        passed = (present.at - history.end).total_seconds() / history.step_s
        values = prepare(history)
        usual, ahead = _seasonal_medians(values, history, steps_ahead)
        return cls(values, usual, ahead, history.step_s, present, float(np.clip(passed, 0.0, 1.0)))

    def growth(self, *, inert: bool) -> Growth:
        """The present growth beyond what is usual at this time."""
        return measure_growth(
            self.values,
            np.append(self.usual, self.ahead[0]),
            self.step_s,
            self.present,
            step_fraction=self.step_fraction,
            inert=inert,
        )

    def fills(
        self, growth: Growth, sawtooth: Sawtooth | None, shape: tuple[int, int], rng: np.random.Generator
    ) -> FloatArray:
        """Paths (count, steps) on which the growth continues, in addition to the usual changes of the season."""
        resets = None
        if sawtooth is not None:
            resets = sawtooth.at_present(self.values, self.present.level, self.step_fraction)
        fills = self.present.level + simulate_growth(growth, shape, self.step_s, rng, resets)
        usual_ahead = interpolate(self.ahead[:-1], self.ahead[1:], self.step_fraction)
        result: FloatArray = (
            fills + usual_ahead - interpolate(self.usual[-1], self.ahead[0], self.step_fraction)
        )
        return result


def is_inert(series: Series) -> bool:
    """Whether the series fills and empties, so that its growth continues; a series measured per request jumps."""
    return series.role in (Role.CAPACITY, Role.SATURATION)


def _pattern(over: bool, filling: bool, sawtooth: Sawtooth | None, breach: Breach) -> BreachPattern:
    if over:
        return BreachPattern.OVER
    if filling:
        return BreachPattern.FILL
    if sawtooth is not None:
        return BreachPattern.SAWTOOTH
    return BreachPattern.SEASONAL if breach.probability >= SEASONAL_FROM else BreachPattern.CLEAR


def _seasonal_medians(
    values: FloatArray, history: History, horizon_steps: int
) -> tuple[FloatArray, FloatArray]:
    """The median by phase of the season, for each past step and for the steps ahead; growth is measured against it."""
    if not history.usable_seasons:
        middle = float(np.median(values))
        return np.full(len(values), middle), np.full(horizon_steps, middle)
    n, season = len(values), history.usable_seasons[0]
    whole = n // season * season
    by_phase = np.median(values[n - whole :].reshape(-1, season), axis=0)
    return by_phase[(np.arange(n) - n) % season], np.resize(by_phase, horizon_steps)
