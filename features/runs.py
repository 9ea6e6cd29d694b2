"""Features of machines that run to failure: levels and slopes of sensors, corrected for operating conditions.

The code works for any data set of such runs.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from sklearn.cluster import KMeans

from core.arrays import BoolArray, Float32Array, FloatArray, IntArray
from features import windows

#: Largest number of operating conditions.
MOST_CONDITIONS = 12
#: Conditions are accepted if less than 1 % of the variance of the settings remains within them.
UNEXPLAINED = 0.01
#: More conditions are accepted if they leave less than a tenth of the variance that random settings would leave.
MORE_THAN_JITTER = 0.1
#: Number of rows in which conditions are searched.
SOUGHT_AMONG = 6_000
#: Windows, in cycles.
SHORT, MIDDLE, LONG = 5, 15, 40
#: The first cycles of a unit show its state when it was new.
NEW = 15


@dataclass(frozen=True)
class Conditions:
    """Operating conditions, and the usual values of each sensor in each of them.

    Attributes:
        centers: (conditions, settings), in standardised settings.
        shift, scale: of the settings.
        mean, std: (conditions, sensors).
        kept: sensors that vary within conditions; the others are not used.
    """

    centers: FloatArray
    shift: FloatArray
    scale: FloatArray
    mean: FloatArray
    std: FloatArray
    kept: BoolArray

    def assign(self, settings: FloatArray) -> IntArray:
        """The condition of each row."""
        points = (settings - self.shift) / self.scale
        distance = ((points[:, None, :] - self.centers[None]) ** 2).sum(axis=2)
        return np.asarray(distance.argmin(axis=1))

    def normalised(self, settings: FloatArray, sensors: FloatArray) -> FloatArray:
        """Sensors in standard deviations from their mean in the same condition, (rows, kept sensors)."""
        at = self.assign(settings)
        return np.asarray(((sensors - self.mean[at]) / self.std[at])[:, self.kept])


def fit_conditions(settings: FloatArray, sensors: FloatArray, seed: int) -> Conditions:
    """Find the operating conditions from the settings; one condition if the settings only vary at random."""
    shift = settings.mean(axis=0)
    spread = settings.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    points = (settings - shift) / scale
    centers = _centers(points, seed)
    draft = Conditions(centers, shift, scale, np.empty(0), np.empty(0), np.empty(0, dtype=bool))
    at = draft.assign(settings)
    mean = np.stack([sensors[at == one].mean(axis=0) for one in range(len(centers))])
    std = np.stack([sensors[at == one].std(axis=0) for one in range(len(centers))])
    # A sensor that is constant in a condition is 0 there; a sensor that is constant in all of them is not used.
    floor = 1e-6 * np.abs(mean)
    kept = (std > floor).any(axis=0)
    return Conditions(centers, shift, scale, mean, np.where(std > floor, std, np.inf), kept)


def _centers(points: FloatArray, seed: int) -> FloatArray:
    """Centres of the conditions: as few as explain the settings, one if the settings only vary at random."""
    some = points[np.random.default_rng(seed).permutation(len(points))[:SOUGHT_AMONG]]
    most = min(MOST_CONDITIONS, len(np.unique(some, axis=0)))
    found = [KMeans(count, n_init=4, random_state=seed).fit(some) for count in range(1, most + 1)]
    left = np.array([one.inertia_ for one in found])
    for index in range(1, most):
        if left[index] >= UNEXPLAINED * left[0]:
            continue
        # Random settings on a line, cut into j pieces instead of k, keep (k/j)^2 of their variance; in a plane more.
        pieces = np.arange(index + 2, most + 1)
        jitter = left[index] * ((index + 1) / pieces) ** 2
        if not (left[index + 1 :] < MORE_THAN_JITTER * jitter).any():
            return np.asarray(found[index].cluster_centers_, dtype=np.float64)
    return np.zeros((1, points.shape[1]))


def run_features(
    units: IntArray, cycles: FloatArray, sensors: FloatArray
) -> tuple[Float32Array, tuple[str, ...]]:
    """Features of each cycle from that and earlier cycles of the same unit.

    Args:
        units: unit of each row; rows are ordered by unit, then by cycle.
        sensors: (rows, sensors), normalised.
    Returns:
        (rows, features) and their names; NaN if there is too little history.
    """
    columns = [f"s{index}" for index in range(sensors.shape[1])]
    frame = pl.DataFrame(sensors, schema=columns).with_columns(unit=pl.Series(units), cycle=pl.Series(cycles))
    expressions: dict[str, pl.Expr] = {"cycle": pl.col("cycle")}
    for name in columns:
        sensor = pl.col(name)
        level = windows.mean(sensor, MIDDLE)
        new = pl.when(pl.int_range(pl.len()) < NEW).then(sensor).cum_sum().forward_fill() / pl.min_horizontal(
            pl.int_range(1, pl.len() + 1), NEW
        )
        expressions[f"{name}_level_short"] = windows.mean(sensor, SHORT)
        expressions[f"{name}_level"] = level
        expressions[f"{name}_level_long"] = windows.mean(sensor, LONG)
        expressions[f"{name}_slope"] = windows.slope_per_h(sensor, MIDDLE, 1.0)
        expressions[f"{name}_slope_long"] = windows.slope_per_h(sensor, LONG, 1.0)
        expressions[f"{name}_since_new"] = level - new
        expressions[f"{name}_spread"] = windows.spread(sensor, MIDDLE)
    table = frame.select(expression.over("unit").alias(name) for name, expression in expressions.items())
    return table.to_numpy().astype(np.float32), tuple(expressions)
