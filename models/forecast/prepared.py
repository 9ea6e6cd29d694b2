"""Prepares a history once for all fast members, and moves their forecasts from an hourly grid to a finer one.

On a 5-minute grid a day has 288 steps and a week 2,016. That is too many for models that learn by lag or phase, and
most differences between neighbours are noise. So the day is forecast on 24 points, and then the usual shape inside the
hour is added.

References:
    Athanasopoulos, G. et al. (2017). Forecasting with temporal hierarchies. EJOR 262(1).
"""

from dataclasses import dataclass

import numpy as np

from core.arrays import FloatArray, repeated
from models.forecast.history import prepare
from models.forecast.protocols import Bounds, Course, History
from models.series.robust import middle_of

#: Points of the shortest season on the coarse grid.
POINTS = 24
#: The shape inside coarse steps is the median over so many seasons.
SHAPE_OVER = 14


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the fast members need of a history.

    Attributes:
        values: on the grid of the history, without NaN.
        coarse: means of `factor` values each; the newest is last and complete.
        factor: steps of the history in a coarse step.
        seasons: usable ones, in coarse steps.
        shape: what to add at each phase of the grid of the history; the first is for the next value.
    """

    values: FloatArray
    coarse: FloatArray
    factor: int
    seasons: tuple[int, ...]
    shape: FloatArray
    bounds: Bounds

    def path(self, course: Course, horizon_steps: int) -> FloatArray:
        """The forecast of a course on the grid of the history, within the bounds."""
        path = course(self.coarse, self.seasons, self.coarse_steps(horizon_steps))
        return self.on_grid(path, horizon_steps)

    def coarse_steps(self, horizon_steps: int) -> int:
        """How many coarse steps cover the horizon."""
        return -(-horizon_steps // self.factor)

    def on_grid(self, path: FloatArray, horizon_steps: int) -> FloatArray:
        """A forecast of coarse steps on the grid of the history, within the bounds."""
        if self.factor > 1:
            centres = np.arange(len(path)) * self.factor + (self.factor - 1) / 2.0
            # Starts at the middle of the last known coarse step, so that the first hour continues from it.
            places = np.concatenate(([-(self.factor + 1) / 2.0], centres))
            line = np.interp(np.arange(horizon_steps), places, np.concatenate((self.coarse[-1:], path)))
            path = line + repeated(self.shape, horizon_steps)
        return self.bounds.clip(path[:horizon_steps])


def make_ready(history: History) -> Prepared:
    """Fill the gaps of a history and average it to the coarse grid.

    Raises:
        InsufficientDataError: the history has fewer than two values.
    """
    values = prepare(history)
    seasons = history.usable_seasons
    factor = _factor(seasons)
    whole = len(values) // factor * factor
    coarse = values if factor == 1 else values[-whole:].reshape(-1, factor).mean(axis=1)
    bounds = history.bounds
    if bounds.lower is None and float(values.min()) >= 0:
        bounds = Bounds(lower=0.0, upper=bounds.upper)
    return Prepared(
        values=values,
        coarse=coarse,
        factor=factor,
        seasons=tuple(season // factor for season in seasons),
        shape=_shape(values, coarse, factor, seasons[0]) if factor > 1 else np.zeros(1),
        bounds=bounds,
    )


def _factor(seasons: tuple[int, ...]) -> int:
    """Steps in a coarse step: 1 unless every season divides into 24 points or a multiple."""
    if not seasons or seasons[0] < 2 * POINTS:
        return 1
    factor = seasons[0] // POINTS
    return factor if all(season % factor == 0 for season in seasons) else 1


def _shape(values: FloatArray, coarse: FloatArray, factor: int, season: int) -> FloatArray:
    count = min(SHAPE_OVER, len(coarse) * factor // season)
    fine = values[-count * season :]
    means = coarse[-count * season // factor :]
    centres = np.arange(len(means)) * factor + (factor - 1) / 2.0
    rest = fine - np.interp(np.arange(len(fine)), centres, means)
    return middle_of(rest.reshape(count, season))
