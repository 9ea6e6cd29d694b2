"""Finds the past breaches of a series, and repeats the predictions that would have been made before them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from core.arrays import FloatArray
from core.domain import Series
from core.durations import HOUR_S
from core.limit_changes import PastLimits
from models.breach.growth import BELIEVED, LASTED, NOTICED, SPANS_H, Present
from models.breach.outlook import PATHS, BreachOutlook, BreachPattern, SeriesPast, is_inert, predict_breach
from models.forecast.choice.selection import Choice
from models.forecast.intervals.widths import variability
from models.forecast.pool.pool import POOL
from models.forecast.pool.pool_forecaster import PoolForecaster
from models.forecast.protocols import History
from models.series.magnitude import to_ordinary
from models.series.thresholds import is_past, is_upward, thresholds_over_time, with_limit_of

#: A value that returns over the threshold within this time belongs to the same breach.
SAME_BREACH_S = 3 * HOUR_S
#: Predictions are repeated up to so many steps before a breach, and so many steps apart, because those of neighbouring
#: hours are alike.
BACKTEST_STEPS, BACKTEST_SPACING = 24, 3
#: Number of the newest steps that a backtest sees unfiltered, with incidents included.
UNFILTERED_STEPS = 36
#: A prediction below this probability within the longest horizon expects no breach, so it cannot prove wrong.
LIKELY_AT = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class PastBreaches:
    """What really happened to a series.

    Attributes:
        at_s: epoch seconds of each breach, from `find_breaches`.
        rises: steps of the history at which a prediction is repeated whether a breach came or not, from `find_rises`.
        unfiltered: the values on the grid of the history with nothing left out, NaN = missing.
        seconds: epoch seconds of the samples, ascending.
        values: the samples, smoothed a little.
        limits: earlier limits of the series.
    """

    at_s: tuple[float, ...]
    rises: tuple[int, ...] = ()
    unfiltered: FloatArray
    seconds: FloatArray
    values: FloatArray
    limits: PastLimits = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PastForecast:
    """A prediction repeated at a past moment, and what came.

    Attributes:
        group: metrics that are corrected together, see `correction_group`.
        pattern: predicted pattern.
        episode: forecasts of the same episode resemble one another.
        probability_by_horizon_s: predicted probability of a breach, by horizon in seconds.
        predicted_s: P10, P50 and P90 of the predicted time, in seconds from that moment; null if no path crossed.
        breach_in_s: seconds from that moment to the breach; null if none came within the longest horizon.
        selected_by_breach: true if the moment was selected because a breach came after it.
    """

    group: str
    pattern: BreachPattern
    episode: str
    probability_by_horizon_s: Mapping[int, float] = field(default_factory=dict)
    predicted_s: tuple[float, float, float] | None
    breach_in_s: float | None
    selected_by_breach: bool


def correction_group(series: Series, pattern: BreachPattern) -> str:
    """The group whose predictions are corrected together: by growth or not, with inertia or not, and metric.

    Examples:
        >>> disk = Series(tenant="t", service="db", metric="disk_used_bytes", role="capacity")
        >>> correction_group(disk, BreachPattern.FILL)
        'fill/stock/disk_used_bytes'
    """
    how = "fill" if pattern is BreachPattern.FILL else "other"
    stock = "stock" if is_inert(series) else "flow"
    return f"{how}/{stock}/{series.metric}"


def find_breaches(
    seconds: FloatArray, values: FloatArray, threshold: float | FloatArray, *, upward: bool
) -> FloatArray:
    """Find the times at which the values crossed the threshold from the good side.

    Args:
        seconds: epoch seconds of each value, ascending.
        values: smoothed a little, so that one bad sample is no breach.
        threshold: in the unit of the values; one for each value where it has changed.
        upward: true if values above the threshold are bad.
    Returns:
        Epoch seconds, ascending.
    """
    over = is_past(values, threshold, upward=upward)
    found: list[float] = []
    last_over = -np.inf
    for index in np.flatnonzero(over[1:] != over[:-1]) + 1:
        if not over[index]:
            last_over = float(seconds[index - 1])
        elif seconds[index] - last_over > SAME_BREACH_S:
            found.append(float(seconds[index]))
    return np.array(found)


def gradual_breaches(
    at_s: FloatArray, seconds: FloatArray, values: FloatArray, threshold: float, *, usual: float
) -> FloatArray:
    """The breaches that could be predicted: an hour before, part of the way to the threshold was already made.

    Args:
        at_s: from `find_breaches`, of the same seconds and values.
        usual: usual value of the series, where the way to the threshold begins.
    """
    if not len(at_s) or threshold == usual:
        return at_s
    hour_before = values[np.maximum(np.searchsorted(seconds, at_s - HOUR_S, side="right") - 1, 0)]
    return np.asarray(at_s[(hour_before - usual) / (threshold - usual) >= LASTED], dtype=np.float64)


def find_rises(values: FloatArray, threshold: float | FloatArray, *, upward: bool, season: int) -> list[int]:
    """Find the steps at which unusual growth would reach the threshold within `BACKTEST_STEPS`, whether it did or not.

    Growth on a day is compared with the days before it. This is a faster, rougher version of `measure_growth`.

    Args:
        values: the past on an even grid, NaN = missing; at step k, the values before k are known.
        threshold: in the unit of the values; one for each value where it has changed.
        upward: true if values above the threshold are bad.
        season: steps of a season.
    Returns:
        Steps, ascending.
    """
    if not np.isfinite(values).any():
        return []
    known = pl.Series(values).fill_nan(None).forward_fill().backward_fill().to_numpy()
    level, targets = (known, np.broadcast_to(threshold, known.shape))
    if not upward:
        level, targets = -level, -targets
    noticed = NOTICED + LIKELY_AT * (BELIEVED - NOTICED)
    last = len(level) - BACKTEST_STEPS
    found: set[int] = set()
    for first in range(2 * BACKTEST_STEPS, last + 1, BACKTEST_STEPS):
        steps = np.arange(first, min(first + BACKTEST_STEPS, last + 1))
        newest, target = level[steps - 1], targets[steps - 1]
        away = level[: steps[-1]] - _seasonal_medians(level[:first], int(steps[-1]), season)
        for span in SPANS_H:
            slopes = (away[span:] - away[:-span]) / span
            now = slopes[steps - 1 - span]
            crossing = (now > 0) & (newest < target) & (newest + BACKTEST_STEPS * now >= target)
            if not crossing.any():
                continue
            low, middle, high = np.percentile(slopes[: first - span], [16, 50, 84])
            found.update(steps[crossing & (now - middle > noticed * (high - low) / 2)].tolist())
    return sorted(found)


def _seasonal_medians(past: FloatArray, length: int, season: int) -> FloatArray:
    """The median by phase of the season, for `length` steps from the beginning of the past."""
    whole = len(past) // season * season
    if not whole:
        return np.full(length, np.median(past))
    return np.resize(np.median(past[:whole].reshape(-1, season), axis=0), length)


def backtest_breaches(
    series: Series, history: History, choice: Choice, past: PastBreaches, *, seed: int
) -> list[PastForecast]:
    """Repeat the prediction before each breach and at each rise, with nothing known that came later.

    Args:
        series: with its threshold or limit.
        history: what the forecaster was trained on, with incidents left out.
        choice: the forecasters that were chosen for the series.
        past: its breaches and rises.
        seed: of the simulated paths.
    Returns:
        Empty if the series has no threshold.
    """
    seconds, at_s = past.seconds, np.array(past.at_s)
    threshold = thresholds_over_time(series, past.limits, seconds)
    if threshold is None:
        return []
    over = is_past(past.values, threshold, upward=is_upward(series))
    forecaster = _fast_forecaster(choice)
    season = history.seasons[0] if history.seasons else 1
    begin = history.start.timestamp()
    found: list[PastForecast] = []
    for known, selected_by_breach in _moments(history, past):
        now_s = begin + known * history.step_s
        newest = int(np.searchsorted(seconds, now_s)) - 1
        hour_before = int(np.searchsorted(seconds, now_s - HOUR_S)) - 1
        then = history.until(known)
        newly = to_ordinary(past.unfiltered[max(0, known - UNFILTERED_STEPS) : known], history.exponent)
        recent = np.concatenate([then.values[:-UNFILTERED_STEPS], newly])
        # A series that was over a moment ago and is over again belongs to the same breach, which needs no prediction.
        lately = over[int(np.searchsorted(seconds, now_s - SAME_BREACH_S)) : newest + 1].any()
        if hour_before < 0 or lately or np.isfinite(recent).sum() < BACKTEST_STEPS:
            continue
        then = replace(then, values=recent)
        rng = np.random.default_rng([seed, series.series_id % 2**32, int(now_s)])
        yhat = forecaster.fit(then).predict(BACKTEST_STEPS)
        errors = choice.errors.at(variability(then.values, season), known - len(history))
        limited = with_limit_of(series, past.limits, now_s)
        outlook = predict_breach(
            limited,
            SeriesPast.of(limited, then, BACKTEST_STEPS),
            errors.paths(yhat, PATHS, then.bounds, rng).from_ordinary(then.exponent),
            Present(
                at=then.end,
                level=float(past.values[newest]),
                level_an_hour_ago=float(past.values[hour_before]),
            ),
            rng=rng,
        )
        if outlook is not None:
            coming = at_s[(at_s >= now_s) & (at_s <= now_s + BACKTEST_STEPS * history.step_s)]
            breach_s = float(coming[0]) if len(coming) else None
            found.append(
                _past_forecast(series, outlook, now_s, breach_s, selected_by_breach=selected_by_breach)
            )
    return found


def _fast_forecaster(choice: Choice) -> PoolForecaster:
    """The fast member with the largest weight: all of them cost fifteen times as much, and the growth decides."""
    best = max(
        (name for name in choice.weights if name in POOL), key=lambda name: choice.weights[name], default=None
    )
    return PoolForecaster() if best is None else PoolForecaster({best: 1.0})


def _moments(history: History, past: PastBreaches) -> Iterator[tuple[int, bool]]:
    """Number of known steps at each moment of a backtest, and whether a later breach selected the moment."""
    begin = history.start.timestamp()
    for breach_s in past.at_s:
        last = int((breach_s - begin) // history.step_s)
        # Backwards from the last whole hour, so that each distance to the breach is equally frequent.
        first = max(last, 2 * BACKTEST_STEPS) - BACKTEST_STEPS
        for known in range(min(last, len(history)), first, -BACKTEST_SPACING):
            yield known, True
    for known in past.rises:
        yield known, False


def _past_forecast(
    series: Series, outlook: BreachOutlook, now_s: float, breach_s: float | None, *, selected_by_breach: bool
) -> PastForecast:
    when = outlook.breach.when
    predicted_s = None
    if when is not None:
        p10, p50, p90 = (moment.timestamp() - now_s for moment in (when.p10, when.p50, when.p90))
        predicted_s = (p10, p50, p90)
    # Without a breach, the forecasts of one half day form an episode, because they are alike.
    episode = breach_s if breach_s is not None else now_s // (12 * HOUR_S)
    return PastForecast(
        group=correction_group(series, outlook.pattern),
        pattern=outlook.pattern,
        episode=f"{series.series_id} {episode:.0f}",
        probability_by_horizon_s=outlook.breach.probability_by_horizon_s,
        predicted_s=predicted_s,
        breach_in_s=None if breach_s is None else breach_s - now_s,
        selected_by_breach=selected_by_breach,
    )
