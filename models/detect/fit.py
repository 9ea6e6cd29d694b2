"""How the models of all series of a grid are learned."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from core.domain import Series
from core.errors import InsufficientDataError
from models.baseline.baselines import Baselines
from models.baseline.changepoints import hourly_medians
from models.baseline.excursions import unfinished_excursion
from models.baseline.residuals import residuals
from models.detect.calibration import MIN_SCORES, Calibration, calibrate
from models.detect.detectors.isolation_forest import FittedIsolationForest, IsolationForest
from models.detect.detectors.stream import EVIDENCE, FittedStream, Stream
from models.detect.filters import variance_ratio_z
from models.detect.series_model import COMBINED, FOREST, SINGLE, STREAM, SeriesModel
from models.series.clock import LocalClock
from models.series.grid import FloatArray, Grid

#: With fewer values there is nothing to compare a new one with.
MIN_VALUES = 24
#: Share of the history in which the stream settles.
SETTLING = 0.25


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
    trouble = np.stack([unfinished_excursion(row, grid.times_s) for row in residual])
    residual, values = np.where(trouble, np.nan, residual), np.where(trouble, np.nan, values)
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
                one,
                baselines,
                row,
                residual[row],
                variance_ratio_z(hourly[row]),
                forest,
                shared,
                column,
                _follow(grid, values[row], baselines.clock),
            )
    return models, skipped


def _fit_forest(table: FloatArray, seed: int) -> tuple[FittedIsolationForest | None, FloatArray | None]:
    """A forest over the metrics of a service, and its scores of what it learned from."""
    try:
        forest = IsolationForest(seed=seed).fit(table)
    except InsufficientDataError:
        return None, None
    return forest, forest.score(table)


def _follow(grid: Grid, values: FloatArray, clock: LocalClock) -> tuple[FittedStream, FloatArray]:
    """The stream after the history, and its evidence on it, each value scored before it was learned."""
    local = clock.local_s(grid.times_s)
    out, fitted = Stream(step_s=grid.step_s, start_s=int(local[0])).fresh().run(local, values)
    return fitted, out[:, EVIDENCE]


def _fit_series(
    series: Series, baselines: Baselines, row: int, residual: FloatArray, randomness_z: float,
    forest: FittedIsolationForest | None, shared: FloatArray | None, column: int,
    followed: tuple[FittedStream, FloatArray],
) -> SeriesModel:  # fmt: skip
    detectors = tuple(detector.fit(residual) for detector in SINGLE)
    calibrations: dict[str, Calibration] = {}
    for detector, fitted in zip(SINGLE, detectors, strict=True):
        calibrations[detector.name] = calibrate(fitted.score(residual))
    if forest is not None and shared is not None:
        calibrations[FOREST] = calibrate(np.where(np.isfinite(residual), shared, np.nan))
    stream, evidence = followed
    # In its first days everything is new to it: what it thought then is no measure of what is normal.
    settled = np.where(np.arange(evidence.size) >= SETTLING * evidence.size, evidence, np.nan)
    alone = calibrate(settled if np.isfinite(settled).sum() >= MIN_SCORES else evidence)
    # The stream multiplies two kinds of evidence that may say the same twice, as of a new record. Whichever way they
    # depend, the square root of the product is evidence (Cauchy-Schwarz); beyond what was seen it is no more than that.
    calibrations[STREAM] = replace(alone, slope=min(alone.slope, 0.5))
    draft = SeriesModel(series, baselines, row, detectors, calibrations, randomness_z, forest, column, stream)
    together = draft.surprises(residual, shared, evidence)[COMBINED]
    counted = np.where(np.isnan(settled), np.nan, together)
    calibrations[COMBINED] = calibrate(counted if np.isfinite(counted).sum() >= MIN_SCORES else together)
    return draft
