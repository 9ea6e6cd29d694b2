"""Measures how fast a series grows now, and how unusual this growth is for the series."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

import numpy as np

from core.arrays import FloatArray
from core.durations import HOUR_S
from models.series.magnitude import scaled_number, to_ordinary
from models.series.robust import MAD_TO_SIGMA_PRINTED, least_spread, middle_of, middle_of_sorted

#: Growth is measured over these spans. Each span gets a weight by how much its growth stands out.
SPANS_H = (1, 2, 3, 6, 12)
#: Growth gets weight 0 if it exceeds the usual growth by this many spreads, and weight 1 from the second number on.
NOTICED, BELIEVED = 2.0, 5.0
#: The last hour must still show this share of the growth. Otherwise the growth was a step and is over.
STILL = 0.5
#: A series without inertia must have made this share of its growth before the last hour. Otherwise it only jumped.
LASTED = 1 / 3
#: A growth's spread is at least this share of the spread between its percentiles 16 and 84, even if its median
#: absolute deviation is smaller.
LEAST_SPREAD = 0.5


Values = TypeVar("Values", float, FloatArray)


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """The present value of a series, known from its samples and so more precisely than from its hourly history.

    Attributes:
        at: the present, less than one step after the end of the history.
        level: value now, in the unit of the series.
        level_an_hour_ago: value one hour before `at`.
    """

    at: datetime
    level: float
    level_an_hour_ago: float

    def scaled(self, exponent: int) -> "Present":
        """The same of the values multiplied by 2**exponent, held within `models.series.magnitude.LIMIT`."""
        level, before = to_ordinary(np.array([self.level, self.level_an_hour_ago]), -exponent).tolist()
        return Present(at=self.at, level=level, level_an_hour_ago=before)

    def mirrored(self) -> "Present":
        """The same of the series with the opposite sign."""
        return Present(at=self.at, level=0.0 - self.level, level_an_hour_ago=0.0 - self.level_an_hour_ago)


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How a series grows now, and how unusual that is.

    Attributes:
        per_hour: growth over the span that stands out most, in units per hour; negative = falling.
        span_s: length of that span in seconds.
        usual_per_hour: median growth over spans of this length in the past, in units per hour.
        weight: how likely the growth continues, in [0, 1].
        rates_per_hour: growth over each span of `SPANS_H` that the history allows, in units per hour.
        rate_weights: weight of each of these rates, in [0, 1]; sum 1. Both are empty if nothing stands out.
    """

    per_hour: float
    span_s: int
    usual_per_hour: float
    weight: float
    rates_per_hour: tuple[float, ...] = ()
    rate_weights: tuple[float, ...] = ()

    def scaled(self, exponent: int) -> "Growth":
        """The same growth of the values multiplied by 2**exponent."""
        return replace(
            self,
            per_hour=scaled_number(self.per_hour, exponent),
            usual_per_hour=scaled_number(self.usual_per_hour, exponent),
            rates_per_hour=tuple(scaled_number(rate, exponent) for rate in self.rates_per_hour),
        )

    def mirrored(self) -> "Growth":
        """The same growth of the series with the opposite sign."""
        return replace(
            self,
            per_hour=0.0 - self.per_hour,
            usual_per_hour=0.0 - self.usual_per_hour,
            rates_per_hour=tuple(0.0 - rate for rate in self.rates_per_hour),
        )


def interpolate(before: Values, after: Values, fraction: float) -> Values:
    """The point on the straight line from `before` (fraction 0) to `after` (fraction 1)."""
    return before + fraction * (after - before)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualGrowth:
    """What a series usually does over each of `SPANS_H` that its history allows, length k.

    Attributes:
        away: the newest part of the past without its seasonal median, as long as the longest span, newest last.
        usual: the seasonal median at each of these steps and at the next step.
        middle, spread: of the growth over each span, in units per hour.
        step_s: length of a step in seconds.
    """

    away: FloatArray
    usual: FloatArray
    middle: tuple[float, ...]
    spread: tuple[float, ...]
    step_s: int


def usual_growth(values: FloatArray, usual: FloatArray, step_s: int) -> UsualGrowth:
    """Measure what a series usually does.

    Args:
        values: the past on an even grid, length n, without NaN, newest last.
        usual: the seasonal median at each of these steps and at the next step, length n + 1.
        step_s: length of a step in seconds.
    """
    away = values - usual[:-1]
    steps_an_hour = max(1, HOUR_S // step_s)
    least = float(least_spread(values))
    middles: list[float] = []
    spreads: list[float] = []
    for span_h in SPANS_H:
        span = span_h * steps_an_hour
        if len(away) < 4 * span + 2:
            break
        past = ((away[span:] - away[:-span]) / span_h)[:-span]
        ordered = np.sort(past)
        middle = float(middle_of_sorted(ordered))
        spread = MAD_TO_SIGMA_PRINTED * float(middle_of(np.abs(past - middle)))
        low, high = _quantile(ordered, 0.16), _quantile(ordered, 0.84)
        middles.append(middle)
        spreads.append(max(spread, LEAST_SPREAD * (high - low) / 2, least))
    kept = SPANS_H[-1] * steps_an_hour + 1
    return UsualGrowth(
        # Copies, because these few values are kept and the others are not.
        away=away[-kept:].copy(),
        usual=usual[-kept - 1 :].copy(),
        middle=tuple(middles),
        spread=tuple(spreads),
        step_s=step_s,
    )


def _quantile(ordered: FloatArray, share: float) -> float:
    """As `np.quantile` of sorted values, to the last bit."""
    place = (len(ordered) - 1) * share
    low = int(place)
    below, above = float(ordered[low]), float(ordered[min(low + 1, len(ordered) - 1)])
    way = place - low
    return above - (above - below) * (1 - way) if way >= 0.5 else below + (above - below) * way


def measure_growth(
    past: UsualGrowth, present: Present, *, step_fraction: float, inert: bool = True
) -> Growth:
    """Measure the growth that exceeds what the series usually does.

    Args:
        present: the value now and an hour ago.
        step_fraction: share of the unfinished step that has passed, in [0, 1].
        inert: true for a series that fills: an hour of growth is likely to continue. False for a series that is
            measured per request: an hour of growth is a jump, unless the growth began earlier.
    """
    away, usual, step_s = past.away, past.usual, past.step_s
    steps_an_hour = max(1, HOUR_S // step_s)

    def back(course: FloatArray, steps: int) -> float:
        """The course so many steps before its end, where the present lies between two steps."""
        return float(interpolate(course[-1 - steps], course[-steps], step_fraction))

    newest = present.level - back(usual, 1)
    last_hour = present.level - present.level_an_hour_ago
    before = present.level_an_hour_ago - back(usual, 1 + min(steps_an_hour, len(away) - 1))
    found: list[tuple[float, float, float]] = []
    for span_h, middle, spread in zip(SPANS_H, past.middle, past.spread, strict=False):
        # The mean of a step lies half a step before its end. The newest value does not.
        then = back(away, span_h * steps_an_hour)
        now = (newest - then) / (span_h + step_s / 7_200)
        stands_out = (abs(now - middle) / spread - NOTICED) / (BELIEVED - NOTICED)
        goes_on = last_hour / (STILL * now) if STILL * now else 0.0
        grown = newest - then
        lasted = 1.0 if inert else (before - then) / (LASTED * grown) if LASTED * grown else 0.0
        weight = np.clip(stands_out, 0, 1) * np.clip(goes_on, 0, 1) * np.clip(lasted, 0, 1)
        found.append((now, middle, float(weight)))
    return _growth_of(found)


def _growth_of(found: list[tuple[float, float, float]]) -> Growth:
    """Combine (rate now, usual rate, weight) of each span; the longest of the spans with the highest weight leads."""
    if not found or max(weight for _, _, weight in found) == 0:
        return Growth(per_hour=0.0, span_s=HOUR_S, usual_per_hour=0.0, weight=0.0)
    best = max(range(len(found)), key=lambda index: (found[index][2], index))
    upward = found[best][0] > 0
    weights = [weight if (now > 0) == upward else 0.0 for now, _, weight in found]
    return Growth(
        per_hour=found[best][0],
        span_s=SPANS_H[best] * HOUR_S,
        usual_per_hour=found[best][1],
        weight=found[best][2],
        rates_per_hour=tuple(now for now, _, _ in found),
        rate_weights=tuple(weight / sum(weights) for weight in weights),
    )
