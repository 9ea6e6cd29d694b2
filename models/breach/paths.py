"""Simulates paths on which a series goes on growing, and counts how many of the paths cross a threshold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf

import numpy as np

from core.arrays import BoolArray, FloatArray
from core.domain import Breach, TimeRange
from core.durations import HOUR_S
from models.breach.growth import Growth
from models.breach.resets import Sawtooth
from models.forecast.protocols import Bounds

#: Standard deviations of the logarithm of the growth rate: its variation from hour to hour, and the error with which
#: the present rate is known.
RATE_SPREAD, KNOWN_SPREAD = 0.5, 0.2
#: Decay time of the variation of the rate, in hours.
RATE_DECAY_H = 2.0
#: Share of fills that stop by themselves in an hour: four in ten over the ten hours that a fill takes.
STOP_PER_HOUR = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedPaths:
    """Possible future courses of a series.

    Attributes:
        values: computes them, (count, steps), in the unit of the series; they may leave the bounds.
        highest: no path exceeds it; infinity = unknown.
        steps: length of each path.
        bounds: smallest and largest possible values.
        level: value now, from which every path starts.
        at: the present; the first step ends `step_s` later.
        step_s: length of a step in seconds.
    """

    values: Callable[[], FloatArray]
    highest: float
    steps: int
    level: float
    at: datetime
    step_s: int
    bounds: Bounds

    @classmethod
    def of(
        cls, values: FloatArray, *, level: float, at: datetime, step_s: int, bounds: Bounds | None = None
    ) -> "SimulatedPaths":
        """Paths that were computed already, (count, steps)."""
        return cls(
            values=lambda: values,
            highest=inf,
            steps=values.shape[1],
            level=level,
            at=at,
            step_s=step_s,
            bounds=bounds or Bounds(),
        )

    def possible(self) -> FloatArray:
        """The values within the bounds, (count, steps)."""
        return self.bounds.clip(self.values())

    def breach(self, threshold: float, *, horizons_s: Sequence[int] = ()) -> Breach:
        """The share of the paths that cross the threshold from below, and when they cross it.

        Args:
            threshold: in the unit of the series. Values from it on are bad.
            horizons_s: shorter horizons to report too, in seconds. A horizon within the first step counts as the
                whole first step.
        """
        horizon_s = self.steps * self.step_s
        if self.level < threshold and self.highest < threshold:
            # Most series are far from their threshold, and need no paths.
            return Breach(
                threshold=threshold,
                probability=0.0,
                horizon_s=horizon_s,
                when=None,
                probability_by_horizon_s=dict.fromkeys(horizons_s, 0.0),
            )
        bounds = self.bounds
        if bounds.upper == threshold:
            # Nothing is left at 0. Paths that stop there would all cross at the end of a step.
            bounds = replace(bounds, upper=None)
        paths = bounds.clip(self.values())
        course = np.concatenate([np.full((len(paths), 1), self.level), paths], axis=1)
        over = course >= threshold
        crossed = np.maximum.accumulate(over, axis=1).mean(axis=0)
        steps = {horizon: min(max(1, horizon // self.step_s), self.steps) for horizon in horizons_s}
        crosses = over.any(axis=1)
        return Breach(
            threshold=threshold,
            probability=float(np.mean(crosses)),
            horizon_s=horizon_s,
            when=self._when(course[crosses], over[crosses], threshold) if crosses.any() else None,
            probability_by_horizon_s={horizon: float(crossed[step]) for horizon, step in steps.items()},
        )

    def _when(self, course: FloatArray, over: BoolArray, threshold: float) -> TimeRange:
        """P10, P50 and P90 of the crossing times; a crossing inside a step is found on a straight line."""
        first = np.argmax(over, axis=1)
        rows = np.arange(len(first))
        before = course[rows, np.maximum(first - 1, 0)]
        after = course[rows, first]
        fraction = np.divide(
            threshold - before, after - before, out=np.ones_like(after), where=after > before
        )
        seconds = np.where(first == 0, 0.0, (first - 1 + np.clip(fraction, 0.0, 1.0)) * self.step_s)
        p10, p50, p90 = (
            self.at + timedelta(seconds=round(float(s))) for s in np.percentile(seconds, [10, 50, 90])
        )
        return TimeRange(p10=p10, p50=p50, p90=p90)


def simulate_growth(
    growth: Growth,
    shape: tuple[int, int],
    step_s: int,
    rng: np.random.Generator,
    resets: Sawtooth | None = None,
) -> FloatArray:
    """Simulate how far the series grows if its present growth continues.

    The rate varies, growth may stop, and a sawtooth is reset at its usual times.

    Args:
        growth: with at least one rate whose weight is above 0.
        shape: (count, steps).
        step_s: length of a step in seconds.
        resets: resets of the series up to the present; null if it has none.
    Returns:
        (count, steps), the change since now in the unit of the series.
    """
    count, horizon_steps = shape
    hours = step_s / HOUR_S
    variation = np.empty((count, horizon_steps))
    keep = np.exp(-hours / RATE_DECAY_H)
    state = rng.normal(0.0, RATE_SPREAD, count)
    for step in range(horizon_steps):
        state = keep * state + np.sqrt(1 - keep**2) * rng.normal(0.0, RATE_SPREAD, count)
        variation[:, step] = np.exp(state - RATE_SPREAD**2 / 2)
    rate = rng.choice(np.array(growth.rates_per_hour), count, p=np.array(growth.rate_weights))
    rate = rate * np.exp(rng.normal(0.0, KNOWN_SPREAD, count))
    stops = rng.exponential(1.0 / STOP_PER_HOUR, count)
    clock = hours * np.arange(1, horizon_steps + 1)
    moves = rate[:, None] * hours * variation * (clock[None, :] <= stops[:, None])
    if resets is not None:
        moves -= resets.ahead(count, horizon_steps, rng)
    return np.asarray(np.cumsum(moves, axis=1), dtype=np.float64)
