"""Measures failure prediction on machines that ran to failure (C-MAPSS), on units that were not learned from."""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import average_precision_score

from core.arrays import Float32Array, FloatArray, IntArray
from core.errors import InputError
from core.json_text import json_text
from features.runs import fit_conditions, run_features
from models.failure.calibration import calibration_error
from models.failure.fit import NEARBY
from models.failure.learning import (
    CLASSIFIER,
    REGRESSOR,
    FittedHorizon,
    Member,
    Training,
    fit_horizons,
    group_folds,
    margin,
)
from models.failure.measures import coverage, nasa_score
from models.failure.remaining import RemainingTime, fit_remaining
from pipelines.bench.failure_peers import fit_logistic, fit_rule
from pipelines.common.progress import Progress, silent

#: Remaining cycles are capped here, as is usual for this data: sensors of a new machine do not show its remaining life.
CAP = 125.0
#: A failure within so many cycles counts as soon.
SOON = 30.0
COLUMNS = 26
SEED = 20260101
FOLDS = 5
#: With many folds the models behind the ranges learn from nearly as many units as the final model. With few folds the
#: ranges would be too wide.
RANGE_FOLDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureBenchReport:
    """Figures of one subset.

    Attributes:
        rmse, rmse_uncapped: error of P50 at the last cycle of each test unit, with the truth capped at 125 or not.
        coverage, coverage_uncapped: share of these truths between P10 and P90.
        average_precision, calibration_error: of "fails within 30 cycles" over all cycles of the test units.
        cross_validated: the same two over all cycles of training units, each unit held out once; and RMSE.
        peers: average precision of a logistic regression and of a threshold on one level, as above.
    """

    subset: str
    units: int
    conditions: int
    rmse: float
    rmse_uncapped: float
    nasa_score: float
    coverage: float
    coverage_uncapped: float
    average_precision: float
    calibration_error: float
    cross_validated: Mapping[str, float]
    peers: Mapping[str, float]


@dataclass(frozen=True)
class Runs:
    """The rows of one file, ordered by unit, then by cycle."""

    units: IntArray
    cycles: FloatArray
    settings: FloatArray
    sensors: FloatArray

    @property
    def lasts(self) -> IntArray:
        """The row of each unit's last cycle."""
        return np.append(np.flatnonzero(np.diff(self.units)), len(self.units) - 1)


@dataclass(frozen=True)
class _Subset:
    """One subset of C-MAPSS: training units that ran to failure, and test units that were stopped before.

    Attributes:
        name: such as "FD001".
        truth: cycles that remained after the last cycle of each test unit.
    """

    name: str
    train: Runs
    test: Runs
    truth: FloatArray

    @classmethod
    def read(cls, path: Path, name: str) -> "_Subset":
        train, test = (_runs(path, f"{part}_{name}.txt") for part in ("train", "test"))
        truth = _read(path, f"RUL_{name}.txt")[:, 0]
        if len(truth) != len(test.lasts):
            raise InputError(f"RUL_{name}.txt has {len(truth)} rows for {len(test.lasts)} test units")
        return cls(name, train, test, truth)

    @property
    def remaining(self) -> FloatArray:
        """Cycles that remain at each row of the training units."""
        return _remaining(self.train, np.zeros(len(self.train.lasts)))

    @property
    def remaining_test(self) -> FloatArray:
        """Cycles that remain at each row of the test units."""
        return _remaining(self.test, self.truth)


@dataclass(frozen=True)
class _Features:
    """Features of all cycles of the training units (`train`) and of the test units (`test`).

    Attributes:
        levels: columns that hold a level; the rule of `failure_peers.fit_rule` uses them.
        conditions: number of operating conditions.
    """

    train: Float32Array
    test: Float32Array
    levels: list[int]
    conditions: int

    @classmethod
    def of(cls, data: _Subset) -> "_Features":
        conditions = fit_conditions(data.train.settings, data.train.sensors, SEED)
        (train, names), (test, _) = (
            run_features(runs.units, runs.cycles, conditions.normalised(runs.settings, runs.sensors))
            for runs in (data.train, data.test)
        )
        levels = [index for index, name in enumerate(names) if name.endswith("_level") or name == "cycle"]
        return cls(train, test, levels, len(conditions.centers))


def bench_failure(
    path: Path,
    data_format: str = "cmapss",
    *,
    subset: str = "FD001",
    out: Path | None = None,
    json_file: Path | None = None,
    progress: Progress = silent,
) -> FailureBenchReport:
    """Learn from `train_<subset>.txt`, predict `test_<subset>.txt`, compare with `RUL_<subset>.txt` (plain or .gz).

    Args:
        out: folder for `<subset>.parquet`: unit, cycle, rul_p10, rul_p50, rul_p90, p_fail_30 of each test unit's last
            cycle.
        json_file: file for the report as JSON.
    Raises:
        InputError: the format is unknown, or a file is missing or has another format.
    """
    if data_format != "cmapss":
        raise InputError(f"the format must be cmapss, got {data_format!r}")
    data = _Subset.read(path, subset)
    progress("features", 0, 3)
    features = _Features.of(data)
    progress("remaining life", 1, 3)
    ranges = group_folds(data.train.units, RANGE_FOLDS, SEED)
    life = fit_remaining(
        features.train,
        data.remaining,
        Training(folds=ranges, seed=SEED, workers=2, params=REGRESSOR),
        cap=CAP,
    )
    progress("fails within 30", 2, 3)
    [risk] = fit_horizons(
        features.train,
        [[Member((data.remaining <= share * SOON).astype(np.float64)) for share in (1.0, *NEARBY)]],
        Training(
            folds=group_folds(data.train.units, FOLDS, SEED),
            seed=SEED,
            workers=2,
            params={**CLASSIFIER, "min_child_weight": 20.0},
        ),
    )
    report = _report(data, features, life, risk)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        last = data.test.lasts
        quantiles = life.quantiles(features.test[last])
        soon = risk.calibrator(margin(risk.boosters, features.test))[last]
        _predictions(data.test, quantiles, soon).write_parquet(out / f"{subset}.parquet")
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json_text(report) + "\n")
    progress("fails within 30", 3, 3)
    return report


def _report(
    data: _Subset, features: _Features, life: RemainingTime, risk: FittedHorizon
) -> FailureBenchReport:
    last, truth = data.test.lasts, data.truth
    soon, soon_test = ((rest <= SOON).astype(np.float64) for rest in (data.remaining, data.remaining_test))
    predicted = risk.calibrator(margin(risk.boosters, features.test))
    low, middle, high = life.quantiles(features.test[last]).T
    peers = {
        "logistic": fit_logistic(features.train, soon, SEED),
        "rule": fit_rule(features.train, soon, features.levels),
    }
    return FailureBenchReport(
        subset=data.name,
        units=len(last),
        conditions=features.conditions,
        rmse=_rmse(middle, np.minimum(truth, CAP)),
        rmse_uncapped=_rmse(middle, truth),
        nasa_score=nasa_score(middle, np.minimum(truth, CAP)),
        coverage=coverage(np.minimum(truth, CAP), low, high),
        coverage_uncapped=coverage(truth, low, high),
        average_precision=float(average_precision_score(soon_test, predicted)),
        calibration_error=calibration_error(predicted, soon_test),
        cross_validated={
            "rmse": _rmse(life.held_out, np.minimum(data.remaining, CAP)),
            "average_precision": float(average_precision_score(soon, risk.held_out)),
            "calibration_error": calibration_error(risk.held_out, soon),
        },
        peers={
            name: float(average_precision_score(soon_test, score(features.test)))
            for name, score in peers.items()
        },
    )


def _predictions(test: Runs, quantiles: FloatArray, soon: FloatArray) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "unit": test.units[test.lasts],
            "cycle": test.cycles[test.lasts].astype(np.int64),
            "rul_p10": quantiles[:, 0],
            "rul_p50": quantiles[:, 1],
            "rul_p90": quantiles[:, 2],
            "p_fail_30": soon,
        }
    )


def _remaining(runs: Runs, after_last: FloatArray) -> FloatArray:
    """Cycles that remain at each row, given those that remain after each unit's last row."""
    ends = runs.cycles[runs.lasts] + after_last
    counts = np.diff(np.append(-1, runs.lasts))
    return np.asarray(np.repeat(ends, counts) - runs.cycles)


def _rmse(predicted: FloatArray, truth: FloatArray) -> float:
    return float(np.sqrt(np.mean((predicted - truth) ** 2)))


def _runs(path: Path, name: str) -> Runs:
    table = _read(path, name)
    if table.shape[1] != COLUMNS:
        raise InputError(f"{name} must have {COLUMNS} columns, it has {table.shape[1]}")
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    return Runs(table[:, 0].astype(np.int64), table[:, 1], table[:, 2:5], table[:, 5:])


def _read(path: Path, name: str) -> FloatArray:
    for file in (path / name, path / f"{name}.gz"):
        if not file.is_file():
            continue
        try:
            with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as text:
                table = np.loadtxt(text, ndmin=2)
        except (ValueError, OSError) as error:
            raise InputError(f"{file.name} is no table of numbers: {error}") from error
        if not table.size:
            raise InputError(f"{file.name} is empty")
        return np.asarray(table, dtype=np.float64)
    raise InputError(f"there is no {name} or {name}.gz in {path}")
