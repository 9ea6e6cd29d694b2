"""The breaches of a series' past, and what would have been said of them: what the next ones are corrected by."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from core.domain import Series
from models.breach.growth_and_paths import BELIEVED, LASTED, NOTICED, SPANS_H
from models.breach.outlook import PATHS, BreachPattern, Outlook, breach_outlook, is_inert
from models.forecast.choice.selection import Choice
from models.forecast.intervals.widths import unrest
from models.forecast.pool.pool import POOL
from models.forecast.pool.pool_forecaster import PoolForecaster
from models.forecast.protocols import FloatArray, History
from models.series.thresholds import is_past, is_upward, threshold_of

#: A value that returns over the threshold within this time is the same breach.
SAME_S = 3 * 3_600
#: How far before a breach looks are taken, and how many steps apart: those of neighbouring hours are alike.
BACKTEST_STEPS, APART_STEPS = 24, 3
#: The values before a look that it sees as they came, with nothing left out.
SEEN_STEPS = 36
#: Below this probability of a breach within the longest horizon a look says nothing that could prove wrong.
LIKELY_AT = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class PastBreaches:
    """What really happened to a series.

    Attributes:
        at_s: epoch seconds of each breach, from `find_breaches`.
        tried: steps of the history's grid that are looked from whether a breach came or not, from `find_rises`.
        seen: the history's own grid with nothing left out: a look sees its last hours as they came.
        seconds, values: the samples themselves, smoothed a little.
    """

    at_s: tuple[float, ...]
    tried: tuple[int, ...] = ()
    seen: FloatArray
    seconds: FloatArray
    values: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class PastForecast:
    """What was said at a moment of the past, and what came.

    Attributes:
        kind, case: see `kind_of`.
        episode: looks of the same one resemble one another.
        told: probability by horizon in seconds.
        told_s: P10, P50 and P90 in seconds from then; null where no course crossed.
        came_s: when a breach came, in seconds from then; null where none came within the longest horizon.
        chosen: true where the moment was chosen because a breach came after it.
    """

    kind: str
    pattern: BreachPattern
    episode: str
    told: Mapping[int, float] = field(default_factory=dict)
    told_s: tuple[float, float, float] | None
    came_s: float | None
    chosen: bool


def kind_of(series: Series, pattern: BreachPattern) -> str:
    """What resembles one another: breaches of a metric by growth, and those by chance.

    What fills and what is measured by the request are kept apart: one has an inertia, the other has not.
    """
    how = "fill" if pattern is BreachPattern.FILL else "other"
    stock = "stock" if is_inert(series) else "flow"
    return f"{how}/{stock}/{series.metric}"


def find_breaches(seconds: FloatArray, values: FloatArray, threshold: float, *, upward: bool) -> FloatArray:
    """When the values came to the threshold from the good side.

    Args:
        seconds: epoch seconds of each value, ascending.
        values: smoothed a little, so that one bad sample is no breach.
    """
    over = is_past(values, threshold, upward=upward)
    found: list[float] = []
    last_over = -np.inf
    for index in np.flatnonzero(over[1:] != over[:-1]) + 1:
        if not over[index]:
            last_over = float(seconds[index - 1])
        elif seconds[index] - last_over > SAME_S:
            found.append(float(seconds[index]))
    return np.array(found)


def gradual_breaches(
    at_s: FloatArray, seconds: FloatArray, values: FloatArray, threshold: float, *, usual: float
) -> FloatArray:
    """Those breaches that could be foreseen: an hour before, part of the way from what is usual was behind.

    Args:
        at_s: from `find_breaches`, of the same seconds and values.
    """
    if not len(at_s) or threshold == usual:
        return at_s
    hour_before = values[np.maximum(np.searchsorted(seconds, at_s - 3_600, side="right") - 1, 0)]
    return np.asarray(at_s[(hour_before - usual) / (threshold - usual) >= LASTED], dtype=np.float64)


def find_rises(seen: FloatArray, threshold: float, *, upward: bool, season: int) -> list[int]:
    """Steps at which growth stands out that would cross the threshold within `BACKTEST_STEPS`, whether it did or not.

    What stands out on a day is judged by the days before it, roughly as `measure_growth` does it finely.

    Args:
        seen: the past on an even grid, NaN = missing; step k is looked from with the values before k.
        season: steps of a season.
    """
    if not np.isfinite(seen).any():
        return []
    known = pl.Series(seen).fill_nan(None).forward_fill().backward_fill().to_numpy()
    level, edge = (known, threshold) if upward else (-known, -threshold)
    noticed = NOTICED + LIKELY_AT * (BELIEVED - NOTICED)
    last = len(level) - BACKTEST_STEPS
    found: set[int] = set()
    for first in range(2 * BACKTEST_STEPS, last + 1, BACKTEST_STEPS):
        steps = np.arange(first, min(first + BACKTEST_STEPS, last + 1))
        newest = level[steps - 1]
        away = level[: steps[-1]] - _usual(level[:first], int(steps[-1]), season)
        for span in SPANS_H:
            slopes = (away[span:] - away[:-span]) / span
            now = slopes[steps - 1 - span]
            crossing = (now > 0) & (newest < edge) & (newest + BACKTEST_STEPS * now >= edge)
            if not crossing.any():
                continue
            low, middle, high = np.percentile(slopes[: first - span], [16, 50, 84])
            found.update(steps[crossing & (now - middle > noticed * (high - low) / 2)].tolist())
    return sorted(found)


def _usual(past: FloatArray, length: int, season: int) -> FloatArray:
    """The median by phase of the season, for `length` steps from the beginning of the past."""
    whole = len(past) // season * season
    if not whole:
        return np.full(length, np.median(past))
    return np.resize(np.median(past[:whole].reshape(-1, season), axis=0), length)


def backtest_breaches(
    series: Series, history: History, choice: Choice, past: PastBreaches, *, seed: int
) -> list[PastForecast]:
    """What would have been said before each breach, and from each step tried, with nothing known that came later.

    Args:
        history: what was learned from, with incidents left out.
    """
    threshold = threshold_of(series)
    if threshold is None:
        return []
    seconds, at_s = past.seconds, np.array(past.at_s)
    over = is_past(past.values, threshold, upward=is_upward(series))
    # The best of the quick ones alone: fifteen of them cost as many times, and the growth decides.
    best = max(
        (name for name in choice.weights if name in POOL), key=lambda name: choice.weights[name], default=None
    )
    forecaster = PoolForecaster() if best is None else PoolForecaster({best: 1.0})
    season = history.seasons[0] if history.seasons else 1
    begin = history.start.timestamp()
    looks: list[PastForecast] = []
    for known, chosen in _steps(history, past):
        now_s = begin + known * history.step_s
        newest = int(np.searchsorted(seconds, now_s)) - 1
        before = int(np.searchsorted(seconds, now_s - 3_600)) - 1
        then = history.until(known)
        newly = past.seen[max(0, known - SEEN_STEPS) : known]
        recent = np.concatenate([then.values[:-SEEN_STEPS], newly])
        # What was over a moment ago and will be again is the same breach, and no news.
        lately = over[int(np.searchsorted(seconds, now_s - SAME_S)) : newest + 1].any()
        if before < 0 or lately or np.isfinite(recent).sum() < BACKTEST_STEPS:
            continue
        then = replace(then, values=recent)
        rng = np.random.default_rng([seed, series.series_id % 2**32, int(now_s)])
        yhat = forecaster.fit(then).predict(BACKTEST_STEPS)
        errors = choice.errors.at(unrest(then.values, season), known - len(history))
        outlook = breach_outlook(
            series,
            then,
            errors.paths(yhat, PATHS, then.bounds, rng),
            level=float(past.values[newest]),
            an_hour_ago=float(past.values[before]),
            rng=rng,
        )
        if outlook is not None:
            coming = at_s[(at_s >= now_s) & (at_s <= now_s + BACKTEST_STEPS * history.step_s)]
            came = float(coming[0]) if len(coming) else None
            looks.append(_look(series, outlook, now_s, came, chosen=chosen))
    return looks


def _steps(history: History, past: PastBreaches) -> Iterator[tuple[int, bool]]:
    """How much of the history each look knows, and whether the look was chosen for what came after it."""
    begin = history.start.timestamp()
    for came in past.at_s:
        last = int((came - begin) // history.step_s)
        # From the last whole hour backwards: every distance from it is there alike.
        first = max(last, 2 * BACKTEST_STEPS) - BACKTEST_STEPS
        for known in range(min(last, len(history)), first, -APART_STEPS):
            yield known, True
    for known in past.tried:
        yield known, False


def _look(
    series: Series, outlook: Outlook, now_s: float, came: float | None, *, chosen: bool
) -> PastForecast:
    when = outlook.breach.when
    told_s = None
    if when is not None:
        p10, p50, p90 = (moment.timestamp() - now_s for moment in (when.p10, when.p50, when.p90))
        told_s = (p10, p50, p90)
    # What came to nothing has no breach to be called after; looks of one half day are alike.
    episode = came if came is not None else now_s // (12 * 3_600)
    return PastForecast(
        kind=kind_of(series, outlook.pattern),
        pattern=outlook.pattern,
        episode=f"{series.series_id} {episode:.0f}",
        told=outlook.breach.probability_by_horizon_s,
        told_s=told_s,
        came_s=None if came is None else came - now_s,
        chosen=chosen,
    )
