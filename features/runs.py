"""Features of machines that run to failure: sensors freed from the operating condition, then levels and slopes.

The rules hold for any fleet of runs; they do not know which data set they see.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from sklearn.cluster import KMeans

from core.arrays import BoolArray, Float32Array, FloatArray, IntArray
from features import windows

#: At most so many operating conditions are told apart.
MOST_CONDITIONS = 12
#: Conditions are real when they leave under 1 % of the settings' variance; settings that merely jitter never do.
UNEXPLAINED = 0.01
#: More of them are real when they leave under a tenth of what cutting mere jitter into as many pieces would leave.
MORE_THAN_JITTER = 0.1
#: Rows that the conditions are sought among.
SOUGHT_AMONG = 6_000
#: Windows, in cycles.
SHORT, MIDDLE, LONG = 5, 15, 40
#: The first cycles of a unit, which tell how it was when it was new.
NEW = 15


@dataclass(frozen=True)
class Conditions:
    """Operating conditions, and what each sensor usually shows in each.

    Attributes:
        centers: (conditions, settings), in standardised settings.
        shift, scale: of the settings.
        mean, std: (conditions, sensors).
        kept: sensors that vary within conditions; the others say nothing.
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
    """Find the operating conditions from the settings alone; one where they only jitter."""
    shift = settings.mean(axis=0)
    spread = settings.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    points = (settings - shift) / scale
    centers = _centers(points, seed)
    draft = Conditions(centers, shift, scale, np.empty(0), np.empty(0), np.empty(0, dtype=bool))
    at = draft.assign(settings)
    mean = np.stack([sensors[at == one].mean(axis=0) for one in range(len(centers))])
    std = np.stack([sensors[at == one].std(axis=0) for one in range(len(centers))])
    # A sensor that stands still in some condition carries nothing there; one that always does carries nothing.
    floor = 1e-6 * np.maximum(np.abs(mean), 1.0)
    kept = (std > floor).any(axis=0)
    return Conditions(centers, shift, scale, mean, np.where(std > floor, std, np.inf), kept)


def _centers(points: FloatArray, seed: int) -> FloatArray:
    """Centres of the conditions, as few as explain the settings; one where they only jitter."""
    some = points[np.random.default_rng(seed).permutation(len(points))[:SOUGHT_AMONG]]
    most = min(MOST_CONDITIONS, len(np.unique(some, axis=0)))
    found = [KMeans(count, n_init=4, random_state=seed).fit(some) for count in range(1, most + 1)]
    left = np.array([one.inertia_ for one in found])
    for index in range(1, most):
        if left[index] >= UNEXPLAINED * left[0]:
            continue
        # Cutting jitter along a line into j pieces instead of k leaves (k/j)^2 of it, in a plane more than that.
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
        units: of each row; rows are by unit, then cycle.
        sensors: (rows, sensors), normalised.
    Returns:
        (rows, features) and their names; NaN where there is too little history.
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
