"""How the models of all series of a grid are fitted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from core.domain import Series
from core.errors import InsufficientDataError
from models.baseline.baselines import Baselines
from models.baseline.changepoints import hourly_medians
from models.baseline.excursions import lone_excursion, unfinished_excursion
from models.baseline.residuals import residuals
from models.detect.calibration import MIN_SCORES, STEEPEST, Calibration, calibrate
from models.detect.catalog import make_detector, max_tail_slope, memorises, reads_of
from models.detect.filters import variance_ratio_z
from models.detect.protocols import FittedDetector, Reads, TimedDetector
from models.detect.series_model import SeriesModel, ServiceTable, combined_surprise
from models.series.grid import Grid
from models.series.magnitude import rows_to_ordinary

#: Fewer values are not enough to compare a new value with.
MIN_VALUES = 24
#: A detector that learns while it scores needs this share of the history to settle. At first everything is new to it,
#: so its scores do not show yet how normal values score.
SETTLING = 0.25
#: A detector that memorises is fitted on this share of the history and calibrated on the rest.
LEARN_SHARE = 0.7


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GridHistory:
    """The history that the models of one grid are fitted on.

    Attributes:
        values: of the grid, shape (series, n); NaN where nothing may be learned.
        series: series id -> series, at least those of the grid.
        deploys_s: series id -> epoch seconds of the deploys of its service.
    """

    grid: Grid
    values: FloatArray
    baselines: Baselines
    series: Mapping[int, Series]
    deploys_s: Mapping[int, Sequence[int]]

    def residuals(self) -> FloatArray:
        """Signed distance from the baseline in units of its spread, shape (series, n); NaN = missing."""
        return np.stack([
            residuals(
                self.baselines, row, self.grid.times_s, self.values[row], self.grid.step_s, from_end=False,
                deploys_s=self.deploys_s.get(int(key), ()),
            ).deviation for row, key in enumerate(self.grid.series_ids)
        ])  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SeriesHistory:
    """The history that the detectors of one series are fitted on.

    Attributes:
        local_s: epoch seconds in the local time of the series, shape (n,).
        values: in units of 2**exponent of the series, shape (n,); NaN where nothing may be learned.
        residual: shape (n,); NaN where nothing may be learned.
        table_scores: detector -> scores of the service's table at these times, shape (n,).
    """

    local_s: IntArray
    values: FloatArray
    residual: FloatArray
    step_s: int
    table_scores: Mapping[str, FloatArray]

    def after(self, share: float) -> BoolArray:
        """True after the first `share` of the history, shape (n,)."""
        return np.arange(self.values.size) >= share * self.values.size


def fit_grid(
    history: GridHistory, names: Sequence[str], seed: int
) -> tuple[dict[int, SeriesModel], dict[int, str]]:
    """Fit the model of each series of a grid.

    Args:
        names: of the detectors; seed: of those that draw random numbers.
    Returns:
        series id -> model; series id -> reason, of each series that cannot be fitted.
    """
    grid, baselines = history.grid, history.baselines
    residual = history.residuals()
    excursion = np.stack(
        [unfinished_excursion(row, grid.times_s) | lone_excursion(row, grid.times_s) for row in residual]
    )
    residual = np.where(excursion, np.nan, residual)
    values = rows_to_ordinary(np.where(excursion, np.nan, history.values), baselines.exponent)
    hourly, _ = hourly_medians(
        values - np.stack([baselines.season(row, grid.times_s) for row in range(len(grid.series_ids))]),
        grid.start_s,
        grid.step_s,
    )
    enough = np.isfinite(residual).sum(axis=1) >= MIN_VALUES
    skipped = {int(key): f"fewer than {MIN_VALUES} values to learn from" for key in grid.series_ids[~enough]}
    rows_of: dict[str, list[int]] = {}
    for row in np.flatnonzero(enough):
        rows_of.setdefault(history.series[int(grid.series_ids[row])].service, []).append(int(row))
    models: dict[int, SeriesModel] = {}
    local_s = baselines.clock.local_s(grid.times_s)
    for rows in rows_of.values():
        table, table_scores = _fit_table(residual[rows].T, names, seed)
        for column, row in enumerate(rows):
            one = history.series[int(grid.series_ids[row])]
            try:
                detectors, calibrations, combined = _fit_detectors(
                    SeriesHistory(
                        local_s=local_s,
                        values=values[row],
                        residual=residual[row],
                        step_s=grid.step_s,
                        table_scores=table_scores,
                    ),
                    names,
                    seed,
                )
            except InsufficientDataError as error:
                skipped[one.series_id] = str(error)
                continue
            models[one.series_id] = SeriesModel(
                series=one,
                baselines=baselines,
                row=row,
                detectors=detectors,
                table=table,
                column=column,
                calibrations=calibrations,
                combined=combined,
                randomness_z=variance_ratio_z(hourly[row]),
            )
    return models, skipped


def _fit_table(
    table: FloatArray, names: Sequence[str], seed: int
) -> tuple[ServiceTable, dict[str, FloatArray]]:
    """Fit the detectors that read the table of one service. Also returns their scores of the history."""
    detectors: dict[str, FittedDetector] = {}
    for name in names:
        if reads_of(name) is Reads.TABLE:
            try:
                detectors[name] = make_detector(name, seed).fit(table)
            except InsufficientDataError:
                continue
    fitted = ServiceTable(columns=table.shape[1], detectors=detectors)
    return fitted, fitted.score(table)


def _fit_detectors(
    history: SeriesHistory, names: Sequence[str], seed: int
) -> tuple[dict[str, FittedDetector], dict[str, Calibration], Calibration]:
    """Fit the detectors of one series.

    Returns:
        Its own detectors by name; the calibration of each detector that scores it; the calibration of all together.
    Raises:
        InsufficientDataError: the history is too short for every detector.
    """
    detectors: dict[str, FittedDetector] = {}
    calibrations: dict[str, Calibration] = {}
    surprises: dict[str, FloatArray] = {}
    counted, too_short = history.after(0.0), ""
    for name in names:
        try:
            fitted, scores, counts = _fit_detector(name, history, seed)
            calibration = calibrate(_counted(scores, counts), max_slope=max_tail_slope(name))
        except InsufficientDataError as error:
            too_short = str(error)
            continue
        if fitted is not None:
            detectors[name] = fitted
        counted = counted & counts
        calibrations[name] = calibration
        surprises[name] = calibrations[name].surprise_of(scores)
    if not calibrations:
        raise InsufficientDataError(too_short)
    together = combined_surprise(history.residual, surprises)
    return detectors, calibrations, calibrate(_counted(together, counted), max_slope=STEEPEST)


def _fit_detector(
    name: str, history: SeriesHistory, seed: int
) -> tuple[FittedDetector | None, FloatArray, BoolArray]:
    """Fit one detector and score the history.

    Returns:
        The fitted detector (null: the service's table has it), its scores of the history, and a mask of the scores to
        calibrate with; both of shape (n,).
    Raises:
        InsufficientDataError: the history is too short.
    """
    reads, everywhere = reads_of(name), history.after(0.0)
    if reads is Reads.TABLE:
        if name not in history.table_scores:
            raise InsufficientDataError(f"{name} has too few rows of this service to learn from")
        return None, np.where(np.isfinite(history.residual), history.table_scores[name], np.nan), everywhere
    detector = make_detector(name, seed)
    if isinstance(detector, TimedDetector) and reads is Reads.VALUES:
        fitted, scores = detector.learn(history.local_s, history.values, history.step_s)
        return fitted, scores, history.after(SETTLING)
    known = history.values if reads is Reads.VALUES else history.residual
    fitted = detector.fit(known)
    if not memorises(name):
        return fitted, fitted.score(known), everywhere
    new = history.after(LEARN_SHARE)
    scores = np.full(known.size, np.nan)
    scores[new] = detector.fit(known[~new]).score(known[new])
    return fitted, scores, new


def _counted(scores: FloatArray, counts: BoolArray) -> FloatArray:
    """The scores to calibrate with, NaN elsewhere; all scores if too few are marked."""
    kept = np.where(counts, scores, np.nan)
    return kept if np.isfinite(kept).sum() >= MIN_SCORES else scores
