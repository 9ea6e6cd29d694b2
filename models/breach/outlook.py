"""Predicts whether and when a series crosses its threshold, by counting crossings of simulated paths.

Each path follows one of two regimes. In the usual regime the series follows its forecast, with the errors that its
forecaster really makes. In the fill regime it goes on growing as in the last hours, at a varying rate, until something
resets it. The rarer such growth is in the past of the series, the more paths follow the fill regime.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cache
from math import inf

import numpy as np

from core.arrays import FloatArray, repeated
from core.domain import Breach, Role, Series
from core.durations import HOUR_S
from models.breach.growth import (
    Growth,
    Present,
    UsualGrowth,
    interpolate,
    measure_growth,
    usual_growth,
)
from models.breach.paths import SimulatedPaths, simulate_growth
from models.breach.resets import Sawtooth, find_resets
from models.forecast.history import prepare
from models.forecast.paths import ForecastPaths
from models.forecast.protocols import Bounds, History
from models.series.magnitude import from_ordinary, scaled_number
from models.series.robust import middle_of
from models.series.thresholds import breach_threshold_of, is_upward

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
        paths: computes the simulated paths, (count, steps), for the fan of the plot.
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
    paths: Callable[[], FloatArray]
    impact_since: datetime | None = None
    over_since: datetime | None = None

    def scaled(self, exponent: int) -> "BreachOutlook":
        """The same outlook of the values multiplied by 2**exponent."""
        if exponent == 0:
            return self
        return replace(
            self,
            breach=replace(self.breach, threshold=scaled_number(self.breach.threshold, exponent)),
            growth=self.growth.scaled(exponent),
            sawtooth=None
            if self.sawtooth is None
            else replace(self.sawtooth, drops=from_ordinary(self.sawtooth.drops, exponent)),
            level=scaled_number(self.level, exponent),
            impact=replace(self.impact, threshold=scaled_number(self.impact.threshold, exponent)),
            paths=lambda: from_ordinary(self.paths(), exponent),
        )

    def mirrored(self) -> "BreachOutlook":
        """The same outlook of the series with the opposite sign."""
        return replace(
            self,
            breach=replace(self.breach, threshold=0.0 - self.breach.threshold),
            growth=self.growth.mirrored(),
            level=0.0 - self.level,
            impact=replace(self.impact, threshold=0.0 - self.impact.threshold),
            paths=lambda: 0.0 - self.paths(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPast:
    """What the whole steps of a series tell, for which high is bad: the same until the next step is complete.

    Attributes:
        end, step_s, bounds, exponent: of the history; of its mirror image where low is bad.
        newest: the last two values.
        usual: the seasonal median at the last step.
        ahead: the seasonal median at each of the steps that follow, one more than are forecast.
        growth: what it usually does.
        sawtooth: its resets; null if it has none.
    """

    end: datetime
    step_s: int
    bounds: Bounds
    exponent: int
    newest: FloatArray
    usual: float
    ahead: FloatArray
    growth: UsualGrowth
    sawtooth: Sawtooth | None

    @classmethod
    def of(cls, series: Series, history: History, horizon_steps: int) -> "SeriesPast":
        """The past of a series; raises InsufficientDataError if the history has fewer than two values."""
        upward = history if is_upward(series) else history.mirrored()
        values = prepare(upward)
        usual, ahead = _seasonal_medians(values, upward, horizon_steps + 1)
        return cls(
            end=upward.end,
            step_s=upward.step_s,
            bounds=upward.bounds,
            exponent=upward.exponent,
            newest=values[-2:].copy(),
            usual=float(usual[-1]),
            ahead=ahead,
            growth=usual_growth(values, np.append(usual, ahead[0]), upward.step_s),
            sawtooth=find_resets(values),
        )


def predict_breach(
    series: Series,
    past: SeriesPast,
    usual_paths: ForecastPaths,
    present: Present,
    *,
    rng: np.random.Generator,
    impact_level: float | None = None,
) -> BreachOutlook | None:
    """Predict probability and time of a breach.

    Args:
        series: with its threshold or limit.
        past: of this series.
        usual_paths: of the forecaster from the end of the history on, in the unit of the series.
        present: the value now and an hour ago, in the unit of the series.
        rng: source of all randomness.
        impact_level: value from which other series are affected; null = the threshold.
    Returns:
        null if the series has no threshold.
    """
    threshold = breach_threshold_of(series)
    if threshold is None:
        return None
    # In the units of the history, in which nothing overflows.
    exponent = past.exponent
    paths, now = usual_paths.to_ordinary(exponent), present.scaled(-exponent)
    levels = [threshold] if impact_level is None or impact_level == threshold else [threshold, impact_level]
    crossed = tuple(scaled_number(level, -exponent) for level in levels)
    if is_upward(series):
        found = _predict_upward(past, paths, now, crossed, rng, inert=is_inert(series))
        return replace(found.scaled(exponent), level=present.level)
    # Negation is exact, so that a series for which low is bad gets exactly the prediction of its mirror image.
    mirrored = tuple(0.0 - level for level in crossed)
    found = _predict_upward(past, paths.mirrored(), now.mirrored(), mirrored, rng, inert=is_inert(series))
    return replace(found.mirrored().scaled(exponent), level=present.level)


def _predict_upward(
    past: SeriesPast,
    usual_paths: ForecastPaths,
    present: Present,
    crossed: tuple[float, ...],
    rng: np.random.Generator,
    *,
    inert: bool,
) -> BreachOutlook:
    """Predict the breaches of a series for which high is bad.

    Args:
        crossed: the threshold, and the impact level where it is another one.
    """
    # The share of the unfinished step that has passed. The history does not cover it, the present level does.
    step_fraction = float(np.clip((present.at - past.end).total_seconds() / past.step_s, 0.0, 1.0))
    growth = measure_growth(past.growth, present, step_fraction=step_fraction, inert=inert)
    filling = round(growth.weight * usual_paths.count) if growth.per_hour > 0 else 0
    simulated = SimulatedPaths(
        values=cache(
            lambda: _courses(past, usual_paths.simulate(), present, growth, filling, step_fraction, rng)
        ),
        highest=inf if filling else usual_paths.highest,
        steps=len(past.ahead) - 1,
        level=present.level,
        at=present.at,
        step_s=past.step_s,
        bounds=past.bounds,
    )
    breach = simulated.breach(crossed[0], horizons_s=BREACH_HORIZONS_S)
    impact = breach
    if len(crossed) > 1:
        impact = simulated.breach(crossed[1], horizons_s=BREACH_HORIZONS_S)
    is_fill = filling > usual_paths.count // 4
    return BreachOutlook(
        pattern=_pattern(present.level >= crossed[0], is_fill, past.sawtooth, breach),
        breach=breach,
        growth=growth,
        sawtooth=past.sawtooth,
        level=present.level,
        impact=impact,
        at=present.at,
        paths=simulated.possible,
    )


def _courses(
    past: SeriesPast,
    usual_paths: FloatArray,
    present: Present,
    growth: Growth,
    filling: int,
    step_fraction: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Paths from the present on, (count, steps): the first `filling` go on growing, the others follow the forecast."""
    steps = usual_paths.shape[1]
    shifted = np.append(usual_paths[:, 1:], usual_paths[:, -1:], axis=1)
    paths = interpolate(usual_paths, shifted, step_fraction)
    if filling:
        ahead, sawtooth = past.ahead, past.sawtooth
        resets = None if sawtooth is None else sawtooth.at_present(past.newest, present.level, step_fraction)
        fills = present.level + simulate_growth(growth, (filling, steps), past.step_s, rng, resets)
        usual_ahead = interpolate(ahead[:-1], ahead[1:], step_fraction)
        paths[:filling] = fills + usual_ahead - interpolate(past.usual, float(ahead[0]), step_fraction)
    return paths


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
        middle = float(middle_of(values))
        return np.full(len(values), middle), np.full(horizon_steps, middle)
    n, season = len(values), history.usable_seasons[0]
    whole = n // season * season
    by_phase = middle_of(values[n - whole :].reshape(-1, season))
    return by_phase[(np.arange(n) - n) % season], repeated(by_phase, horizon_steps)
