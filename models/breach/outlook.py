"""What a series' future holds against its threshold: courses drawn, crossings counted, the case named."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np

from core.domain import Breach, Role, Series
from models.breach.growth_and_paths import Growth, between, breach_of, fill_paths, measure_growth
from models.breach.resets import Sawtooth, find_resets
from models.forecast.history import prepare
from models.forecast.protocols import FloatArray, History
from models.series.thresholds import is_past, is_upward, threshold_of

PATHS = 400
#: Within which times a breach is asked for, in seconds.
HORIZONS_S = (3 * 3_600, 6 * 3_600, 12 * 3_600, 24 * 3_600)


class BreachPattern(StrEnum):
    """Why a series does or does not breach, as a person would call it."""

    OVER = "over"
    FILL = "fill"
    SAWTOOTH = "sawtooth"
    SEASONAL = "seasonal"
    CLEAR = "clear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """One series against its threshold.

    Attributes:
        breach: over the whole horizon, and within each of `HORIZONS_S`.
        felt: the breach of the level from which others feel it, which may lie beyond the threshold.
        impact_since: when it came to that level, or the first moment looked at where it was there before; null where
            it is not, or nobody looked.
        at: the present, from which `paths` go on.
        paths: (count, h), for the fan of the plot.
    """

    pattern: BreachPattern
    breach: Breach
    growth: Growth
    sawtooth: Sawtooth | None
    level: float
    felt: Breach
    at: datetime
    paths: FloatArray
    impact_since: datetime | None = None


def breach_outlook(
    series: Series,
    history: History,
    usual_paths: FloatArray,
    *,
    level: float,
    an_hour_ago: float,
    rng: np.random.Generator,
    at: datetime | None = None,
    impact_level: float | None = None,
) -> Outlook | None:
    """Probability and time of a breach; null where the series has no threshold.

    Args:
        history: all whole steps up to now.
        usual_paths: (count, h), how the forecaster thinks it goes on from there.
        level, an_hour_ago: the value now and then, finer than the grid.
        at: the present, less than a step after the history's end; null: where that ends.
        impact_level: from which value on others feel it; null: from its threshold on.
    """
    threshold = threshold_of(series)
    if threshold is None:
        return None
    upward = is_upward(series)
    at = history.end if at is None else at
    # What has passed of the step that goes on, of which the history knows nothing and the level does.
    part = float(np.clip((at - history.end).total_seconds() / history.step_s, 0.0, 1.0))
    values = prepare(history)
    sawtooth = find_resets(values if upward else -values)
    count, steps = usual_paths.shape
    usual, ahead = _usual(values, history, steps + 1)
    growth = measure_growth(
        values,
        np.append(usual, ahead[0]),
        history.step_s,
        part=part,
        level=level,
        an_hour_ago=an_hour_ago,
        inert=is_inert(series),
    )
    paths = between(usual_paths, np.append(usual_paths[:, 1:], usual_paths[:, -1:], axis=1), part)
    towards = growth.per_hour > 0 if upward else growth.per_hour < 0
    filling = round(growth.weight * count) if towards else 0
    if filling:
        resets = sawtooth.at_present(values, level, part) if sawtooth is not None and upward else None
        fills = fill_paths(level, growth, steps, history.step_s, filling, rng, resets)
        paths[:filling] = fills + between(ahead[:-1], ahead[1:], part) - between(usual[-1], ahead[0], part)
    paths = history.bounds.clip(paths)

    def crossing(edge: float) -> Breach:
        return breach_of(
            paths,
            level=level,
            threshold=edge,
            upward=upward,
            at=at,
            step_s=history.step_s,
            horizons_s=HORIZONS_S,
        )

    breach = crossing(threshold)
    over = bool(is_past(np.array([level]), threshold, upward=upward)[0])
    return Outlook(
        pattern=_name(over, filling > count // 4, sawtooth, breach),
        breach=breach,
        growth=growth,
        sawtooth=sawtooth,
        level=level,
        felt=breach if impact_level is None or impact_level == threshold else crossing(impact_level),
        at=at,
        paths=paths,
    )


def is_inert(series: Series) -> bool:
    """Whether it fills and empties, and so goes on as it went; what is measured by the request jumps."""
    return series.role in (Role.CAPACITY, Role.SATURATION)


def _name(over: bool, filling: bool, sawtooth: Sawtooth | None, breach: Breach) -> BreachPattern:
    if over:
        return BreachPattern.OVER
    if filling:
        return BreachPattern.FILL
    if sawtooth is not None:
        return BreachPattern.SAWTOOTH
    return BreachPattern.SEASONAL if breach.probability >= 0.1 else BreachPattern.CLEAR


def _usual(values: FloatArray, history: History, horizon_steps: int) -> tuple[FloatArray, FloatArray]:
    """The median course by season, over the past and ahead: growth is measured against it."""
    if not history.usable_seasons:
        middle = float(np.median(values))
        return np.full(len(values), middle), np.full(horizon_steps, middle)
    n, season = len(values), history.usable_seasons[0]
    whole = n // season * season
    by_phase = np.median(values[n - whole :].reshape(-1, season), axis=0)
    return by_phase[(np.arange(n) - n) % season], np.resize(by_phase, horizon_steps)
