"""How the models of all series of a grid are learned."""

from collections.abc import Mapping, Sequence

import numpy as np

from core.domain import Series
from core.errors import InsufficientDataError
from models.baselines import Baselines
from models.calibration import Calibration, calibrate
from models.changepoints import hourly_medians
from models.detectors.isolation_forest import FittedIsolationForest, IsolationForest
from models.gates import variance_ratio_z
from models.grid import FloatArray, Grid
from models.residuals import residuals
from models.series_model import COMBINED, FOREST, SINGLE, SeriesModel

#: With fewer values there is nothing to compare a new one with.
MIN_VALUES = 24


def fit_grid(
    grid: Grid,
    values: FloatArray,
    baselines: Baselines,
    series: Mapping[int, Series],
    deploys_s: Mapping[int, Sequence[int]],
    seed: int,
) -> tuple[dict[int, SeriesModel], dict[int, str]]:
    """The model of each series, and why others have none.

    Args:
        values: of the grid, NaN where nothing may be learned.
    """
    residual = np.stack([
        residuals(baselines, row, grid.times_s, values[row], grid.step_s, from_end=False,
        deploys_s=deploys_s.get(int(grid.series_ids[row]), ())) for row in range(len(grid.series_ids))
    ])  # fmt: skip
    hourly, _ = hourly_medians(
        values - np.stack([baselines.season(row, grid.times_s) for row in range(len(grid.series_ids))]),
        grid.start_s,
        grid.step_s,
    )
    enough = np.isfinite(residual).sum(axis=1) >= MIN_VALUES
    skipped = {int(key): f"fewer than {MIN_VALUES} values to learn from" for key in grid.series_ids[~enough]}
    rows_of: dict[str, list[int]] = {}
    for row in np.flatnonzero(enough):
        rows_of.setdefault(series[int(grid.series_ids[row])].service, []).append(int(row))
    models: dict[int, SeriesModel] = {}
    for rows in rows_of.values():
        forest, shared = _fit_forest(residual[rows].T, seed)
        for column, row in enumerate(rows):
            one = series[int(grid.series_ids[row])]
            models[one.series_id] = _fit_series(
                one, baselines, row, residual[row], variance_ratio_z(hourly[row]), forest, shared, column
            )
    return models, skipped


def _fit_forest(table: FloatArray, seed: int) -> tuple[FittedIsolationForest | None, FloatArray | None]:
    """A forest over the metrics of a service, and its scores of what it learned from."""
    try:
        forest = IsolationForest(seed=seed).fit(table)
    except InsufficientDataError:
        return None, None
    return forest, forest.score(table)


def _fit_series(
    series: Series, baselines: Baselines, row: int, residual: FloatArray, randomness_z: float,
    forest: FittedIsolationForest | None, shared: FloatArray | None, column: int,
) -> SeriesModel:  # fmt: skip
    detectors = tuple(detector.fit(residual) for detector in SINGLE)
    calibrations: dict[str, Calibration] = {}
    for detector, fitted in zip(SINGLE, detectors, strict=True):
        calibrations[detector.name] = calibrate(fitted.score(residual))
    if forest is not None and shared is not None:
        calibrations[FOREST] = calibrate(np.where(np.isfinite(residual), shared, np.nan))
    draft = SeriesModel(series, baselines, row, detectors, calibrations, randomness_z, forest, column)
    calibrations[COMBINED] = calibrate(draft.surprises(residual, shared)[COMBINED])
    return draft
