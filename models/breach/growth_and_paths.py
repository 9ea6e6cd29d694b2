"""Time to breach: when simulated courses cross a threshold, and how many of them do.

A course is drawn from one of two regimes. In the usual one the series goes on as its forecaster says, with
the errors that it really makes. In the fill regime it goes on growing as it has for the last hours, at an
uneven pace, until something resets it. How much each regime weighs follows from how rare such growth is in
the series' own past.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np

from core.domain import Breach, TimeRange
from models.breach.resets import Sawtooth
from models.forecast.protocols import FloatArray

#: Robust spread of a normal distribution: 1 / Phi^-1(3/4), Rousseeuw and Croux (1993).
MAD_TO_SIGMA = 1.4826
#: Growth is measured over these spans; each has a say by how much it stands out.
SPANS_H = (1, 2, 3, 6, 12)
#: Growth that stands out by so many usual spreads begins to be believed, and is believed.
NOTICED, BELIEVED = 2.0, 5.0
#: The last hour must still show this share of the growth, or it was a step and is over.
STILL = 0.5
#: What has no inertia grew before the last hour too, by this share of all, or it has only jumped.
LASTED = 1 / 3
#: ChunkPool of the pace of a fill from hour to hour, and of what is known of it, both of the logarithm.
PACE_SPREAD, KNOWN_SPREAD = 0.5, 0.2
#: Hours over which the pace stays alike.
PACE_H = 2.0
#: Share of fills that stop by themselves in an hour: four in ten over the ten hours that a fill takes.
STOP_PER_HOUR = 0.05
#: Growth that hardly differs from a straight line is still not known better than this share of its spread.
LEAST_SPREAD = 0.5


Values = TypeVar("Values", float, FloatArray)


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How a series grows now, and how unusual that is.

    Attributes:
        per_hour: units an hour over the span that stands out most, signed.
        span_s: that span.
        usual_per_hour: the median growth over spans of that length in the past.
        weight: how far it is believed to go on, 0 to 1.
        paces: units an hour over each span, and the say of each; they add up to 1 unless none has one.
    """

    per_hour: float
    span_s: int
    usual_per_hour: float
    weight: float
    paces: tuple[float, ...] = ()
    says: tuple[float, ...] = ()


def between(before: Values, after: Values, part: float) -> Values:
    """On the straight line from `before` (part 0) to `after` (part 1)."""
    return before + part * (after - before)


def measure_growth(
    values: FloatArray,
    usual: FloatArray,
    step_s: int,
    *,
    part: float,
    level: float,
    an_hour_ago: float,
    inert: bool = True,
) -> Growth:
    """The growth that stands out from what the series usually does.

    Args:
        values: the past on an even grid, without NaN, newest last.
        usual: what was expected at each of them, and in the step after them, by season alone; one longer.
        part: how much of the step after them has passed, in [0, 1].
        level, an_hour_ago: the value now and then, finer than the grid.
        inert: true of what fills, where an hour of growth is the beginning of more; false of what is measured by the
            request, where it is a jump unless it began before.
    """
    away = values - usual[:-1]
    steps_an_hour = max(1, 3_600 // step_s)

    def back(course: FloatArray, steps: int) -> float:
        """A course where now lies between its steps, so many from its end."""
        return float(between(course[-1 - steps], course[-steps], part))

    newest = level - back(usual, 1)
    last_hour = level - an_hour_ago
    before = an_hour_ago - back(usual, 1 + min(steps_an_hour, len(values) - 1))
    found: list[tuple[float, float, float]] = []
    for span_h in SPANS_H:
        span = span_h * steps_an_hour
        if len(away) < 4 * span + 2:
            break
        slopes = (away[span:] - away[:-span]) / span_h
        past = slopes[:-span]
        middle = float(np.median(past))
        spread = MAD_TO_SIGMA * float(np.median(np.abs(past - middle)))
        low, high = np.percentile(past, [16, 84])
        spread = max(spread, LEAST_SPREAD * float(high - low) / 2, 1e-12)
        # The mean of a step lies half a step before its end, the newest value does not.
        then = back(away, span)
        now = (newest - then) / (span_h + step_s / 7_200)
        stands_out = (abs(now - middle) / spread - NOTICED) / (BELIEVED - NOTICED)
        goes_on = last_hour / (STILL * now) if now else 0.0
        grown = newest - then
        lasted = 1.0 if inert else (before - then) / (LASTED * grown) if grown else 0.0
        weight = np.clip(stands_out, 0, 1) * np.clip(goes_on, 0, 1) * np.clip(lasted, 0, 1)
        found.append((now, middle, float(weight)))
    if not found or max(weight for _, _, weight in found) == 0:
        return Growth(per_hour=0.0, span_s=3_600, usual_per_hour=0.0, weight=0.0)
    best = max(range(len(found)), key=lambda index: (found[index][2], index))
    upward = found[best][0] > 0
    says = [weight if (now > 0) == upward else 0.0 for now, _, weight in found]
    return Growth(
        per_hour=found[best][0],
        span_s=SPANS_H[best] * 3_600,
        usual_per_hour=found[best][1],
        weight=found[best][2],
        paces=tuple(now for now, _, _ in found),
        says=tuple(say / sum(says) for say in says),
    )


def fill_paths(
    level: float,
    growth: Growth,
    horizon_steps: int,
    step_s: int,
    count: int,
    rng: np.random.Generator,
    sawtooth: Sawtooth | None = None,
) -> FloatArray:
    """Courses on which the present growth goes on: uneven, stopping at times, reset where that is the habit.

    Returns:
        (count, horizon_steps).
    """
    hours = step_s / 3_600
    pace = np.empty((count, horizon_steps))
    keep = np.exp(-hours / PACE_H)
    state = rng.normal(0.0, PACE_SPREAD, count)
    for step in range(horizon_steps):
        state = keep * state + np.sqrt(1 - keep**2) * rng.normal(0.0, PACE_SPREAD, count)
        pace[:, step] = np.exp(state - PACE_SPREAD**2 / 2)
    base = rng.choice(np.array(growth.paces), count, p=np.array(growth.says))
    base = base * np.exp(rng.normal(0.0, KNOWN_SPREAD, count))
    stops = rng.exponential(1.0 / STOP_PER_HOUR, count)
    clock = hours * np.arange(1, horizon_steps + 1)
    moves = base[:, None] * hours * pace * (clock[None, :] <= stops[:, None])
    if sawtooth is not None:
        moves -= sawtooth.ahead(count, horizon_steps, rng)
    return np.asarray(level + np.cumsum(moves, axis=1), dtype=np.float64)


def breach_of(
    paths: FloatArray,
    *,
    level: float,
    threshold: float,
    upward: bool,
    at: datetime,
    step_s: int,
    horizons_s: Sequence[int] = (),
) -> Breach:
    """The share of the courses that cross, and when those do.

    Args:
        paths: (count, h); the first step ends `step_s` after `at`.
        level: the value now; a crossing inside a step is placed by a straight line.
        upward: true where too much is the trouble, false where too little is.
        horizons_s: shorter horizons that are asked for too, in seconds; those within the first step mean all of it.
    """
    sign = 1.0 if upward else -1.0
    course = sign * np.concatenate([np.full((len(paths), 1), level), paths], axis=1)
    edge = sign * threshold
    horizon_s = paths.shape[1] * step_s
    over = course >= edge
    crossed = np.maximum.accumulate(over, axis=1).mean(axis=0)
    steps = {horizon: min(max(1, horizon // step_s), paths.shape[1]) for horizon in horizons_s}
    shares = {horizon: float(crossed[step]) for horizon, step in steps.items()}
    crosses = over.any(axis=1)
    when = None
    if crosses.any():
        first = np.argmax(over[crosses], axis=1)
        rows = np.arange(len(first))
        before = course[crosses][rows, np.maximum(first - 1, 0)]
        after = course[crosses][rows, first]
        part = np.divide(edge - before, after - before, out=np.ones_like(after), where=after > before)
        seconds = np.where(first == 0, 0.0, (first - 1 + np.clip(part, 0.0, 1.0)) * step_s)
        p10, p50, p90 = (
            at + timedelta(seconds=round(float(s))) for s in np.percentile(seconds, [10, 50, 90])
        )
        when = TimeRange(p10=p10, p50=p50, p90=p90)
    return Breach(
        threshold=threshold,
        probability=float(np.mean(crosses)),
        horizon_s=horizon_s,
        when=when,
        probability_by_horizon_s=shares,
    )
