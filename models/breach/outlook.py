"""Predicts whether and when a series crosses its threshold, by counting crossings of simulated paths.

Each path follows one of two regimes. In the usual regime the series follows its forecast, with the errors that its
forecaster really makes. In the fill regime it goes on growing as in the last hours, at a varying rate, until something
resets it. The rarer such growth is in the past of the series, the more paths follow the fill regime.
"""

from dataclasses import dataclass, replace
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
from models.series.magnitude import from_ordinary, scaled_number, to_ordinary
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
            paths=from_ordinary(self.paths, exponent),
        )

    def mirrored(self) -> "BreachOutlook":
        """The same outlook of the series with the opposite sign."""
        return replace(
            self,
            breach=replace(self.breach, threshold=0.0 - self.breach.threshold),
            growth=self.growth.mirrored(),
            level=0.0 - self.level,
            impact=replace(self.impact, threshold=0.0 - self.impact.threshold),
            paths=0.0 - self.paths,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesForecast:
    """What is known of one series and its usual future.

    Attributes:
        history: all whole steps up to now.
        usual_paths: (count, steps), simulated by the forecaster from the end of the history on.
        present: the value now and an hour ago.
    """

    history: History
    usual_paths: FloatArray
    present: Present

    def mirrored(self) -> "SeriesForecast":
        """The same of the series with the opposite sign."""
        return SeriesForecast(
            history=self.history.mirrored(),
            usual_paths=0.0 - self.usual_paths,
            present=self.present.mirrored(),
        )


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
        usual_paths: (count, steps), simulated by the forecaster from the end of the history on, in the unit of the
            series.
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
    exponent = history.exponent
    forecast = SeriesForecast(
        history=history, usual_paths=to_ordinary(usual_paths, exponent), present=present.scaled(-exponent)
    )
    levels = [threshold] if impact_level is None or impact_level == threshold else [threshold, impact_level]
    crossed = tuple(scaled_number(level, -exponent) for level in levels)
    if is_upward(series):
        found = _predict_upward(forecast, crossed, rng, inert=is_inert(series))
        return replace(found.scaled(exponent), level=present.level)
    # Negation is exact, so that a series for which low is bad gets exactly the prediction of its mirror image.
    mirrored = tuple(0.0 - level for level in crossed)
    found = _predict_upward(forecast.mirrored(), mirrored, rng, inert=is_inert(series)).mirrored()
    return replace(found.scaled(exponent), level=present.level)


def _predict_upward(
    forecast: SeriesForecast, crossed: tuple[float, ...], rng: np.random.Generator, *, inert: bool
) -> BreachOutlook:
    """Predict the breaches of a series for which high is bad.

    Args:
        crossed: the threshold, and the impact level where it is another one.
    """
    history, usual_paths, present = forecast.history, forecast.usual_paths, forecast.present
    # The share of the unfinished step that has passed. The history does not cover it, the present level does.
    step_fraction = float(np.clip((present.at - history.end).total_seconds() / history.step_s, 0.0, 1.0))
    values = prepare(history)
    sawtooth = find_resets(values)
    count, steps = usual_paths.shape
    usual, ahead = _seasonal_medians(values, history, steps + 1)
    growth = measure_growth(
        values,
        np.append(usual, ahead[0]),
        history.step_s,
        present,
        step_fraction=step_fraction,
        inert=inert,
    )
    shifted = np.append(usual_paths[:, 1:], usual_paths[:, -1:], axis=1)
    paths = interpolate(usual_paths, shifted, step_fraction)
    filling = round(growth.weight * count) if growth.per_hour > 0 else 0
    if filling:
        resets = None if sawtooth is None else sawtooth.at_present(values, present.level, step_fraction)
        fills = present.level + simulate_growth(growth, (filling, steps), history.step_s, rng, resets)
        usual_ahead = interpolate(ahead[:-1], ahead[1:], step_fraction)
        paths[:filling] = fills + usual_ahead - interpolate(usual[-1], ahead[0], step_fraction)
    simulated = SimulatedPaths(
        values=paths, level=present.level, at=present.at, step_s=history.step_s, bounds=history.bounds
    )
    breach = simulated.breach(crossed[0], horizons_s=BREACH_HORIZONS_S)
    impact = breach
    if len(crossed) > 1:
        impact = simulated.breach(crossed[1], horizons_s=BREACH_HORIZONS_S)
    return BreachOutlook(
        pattern=_pattern(present.level >= crossed[0], filling > count // 4, sawtooth, breach),
        breach=breach,
        growth=growth,
        sawtooth=sawtooth,
        level=present.level,
        impact=impact,
        at=present.at,
        paths=simulated.possible(),
    )


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
