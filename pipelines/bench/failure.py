"""Failure prediction on machines that ran to failure: the C-MAPSS files, judged on units not learned from."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import average_precision_score

from core.arrays import FloatArray, IntArray
from core.errors import InputError
from features.runs import fit_conditions, run_features
from models.failure.calibration import calibration_error
from models.failure.fit import NEARBY
from models.failure.learning import CLASSIFIER, Member, fit_horizons, group_folds, margin
from models.failure.measures import coverage, nasa_score
from models.failure.remaining import fit_remaining
from pipelines.bench.failure_peers import fit_logistic, fit_rule
from pipelines.common.progress import Progress, silent

#: Remaining life beyond this is not to be told from the sensors; the convention of the field.
CAP = 125.0
#: "Fails soon", in cycles.
SOON = 30.0
COLUMNS = 26
SEED = 20260101
FOLDS = 5
#: Ranges come from models that learned from nearly as many units as the last one, or they are too wide.
RANGE_FOLDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureBenchReport:
    """What was measured on one subset.

    Attributes:
        rmse, rmse_uncapped: of P50 for the last cycle of each test unit, truth capped at 125 or as it is.
        coverage, coverage_uncapped: share of those truths between P10 and P90.
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
    """One file: by unit, then cycle."""

    units: IntArray
    cycles: FloatArray
    settings: FloatArray
    sensors: FloatArray

    @property
    def lasts(self) -> IntArray:
        """The row of each unit's last cycle."""
        return np.append(np.flatnonzero(np.diff(self.units)), len(self.units) - 1)


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
        json_file: where the report goes as JSON.
    Raises:
        InputError: another format, or a file that is not there or not of this kind.
    """
    if data_format != "cmapss":
        raise InputError(f"the format must be cmapss, got {data_format!r}")
    train, test = (_runs(path, f"{part}_{subset}.txt") for part in ("train", "test"))
    truth = _read(path, f"RUL_{subset}.txt")[:, 0]
    if len(truth) != len(test.lasts):
        raise InputError(f"RUL_{subset}.txt has {len(truth)} rows for {len(test.lasts)} test units")
    progress("features", 0, 3)
    conditions = fit_conditions(train.settings, train.sensors, SEED)
    (x, names), (x_test, _) = (
        run_features(runs.units, runs.cycles, conditions.normalised(runs.settings, runs.sensors))
        for runs in (train, test)
    )
    remaining = _remaining(train, np.zeros(len(train.lasts)))
    remaining_test = _remaining(test, truth)
    soon, soon_test = ((rest <= SOON).astype(np.float64) for rest in (remaining, remaining_test))
    folds = group_folds(train.units, FOLDS, SEED)
    progress("remaining life", 1, 3)
    ranges = group_folds(train.units, RANGE_FOLDS, SEED)
    life = fit_remaining(x, remaining, ranges, cap=CAP, seed=SEED, workers=2)
    progress("fails within 30", 2, 3)
    [risk] = fit_horizons(
        x,
        [[Member((remaining <= share * SOON).astype(np.float64)) for share in (1.0, *NEARBY)]],
        folds,
        seed=SEED,
        workers=2,
        params={**CLASSIFIER, "min_child_weight": 20.0},
    )
    said = risk.calibrator(margin(risk.boosters, x_test))
    last = test.lasts
    quantiles = life.quantiles(x_test[last])
    levels = [index for index, name in enumerate(names) if name.endswith("_level") or name == "cycle"]
    peers = {"logistic": fit_logistic(x, soon, SEED), "rule": fit_rule(x, soon, levels)}
    report = FailureBenchReport(
        subset=subset,
        units=len(last),
        conditions=len(conditions.centers),
        rmse=_rmse(quantiles[:, 1], np.minimum(truth, CAP)),
        rmse_uncapped=_rmse(quantiles[:, 1], truth),
        nasa_score=nasa_score(quantiles[:, 1], np.minimum(truth, CAP)),
        coverage=coverage(np.minimum(truth, CAP), quantiles[:, 0], quantiles[:, 2]),
        coverage_uncapped=coverage(truth, quantiles[:, 0], quantiles[:, 2]),
        average_precision=float(average_precision_score(soon_test, said)),
        calibration_error=calibration_error(said, soon_test),
        cross_validated={
            "rmse": _rmse(life.held_out, np.minimum(remaining, CAP)),
            "average_precision": float(average_precision_score(soon, risk.held_out)),
            "calibration_error": calibration_error(risk.held_out, soon),
        },
        peers={
            name: float(average_precision_score(soon_test, score(x_test))) for name, score in peers.items()
        },
    )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        _predictions(test, quantiles, said[last]).write_parquet(out / f"{subset}.parquet")
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(asdict(report), indent=2) + "\n")
    progress("fails within 30", 3, 3)
    return report


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


def _rmse(said: FloatArray, truth: FloatArray) -> float:
    return float(np.sqrt(np.mean((said - truth) ** 2)))


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
