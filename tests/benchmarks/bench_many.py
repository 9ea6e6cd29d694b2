"""The default forecast on sets of many series, where the common trees learn across them: hourly and 5-minute.

python tests/benchmarks/bench_many.py             all sets
python tests/benchmarks/bench_many.py kpi_hourly  some of them
"""

import gzip
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from core.arrays import FloatArray
from models.forecast.history import on_grid
from pipelines.bench.forecast import bench_forecast
from pipelines.bench.forecast_run import DEFAULT, ForecastSetup
from pipelines.bench.forecast_sets import read_set
from pipelines.sources.simulated import SimulatedFleet

DATASETS = Path(os.environ.get("FOREWARN_DATASETS", Path(__file__).parents[3] / "shared" / "datasets"))
START = datetime(2024, 1, 1, tzinfo=UTC)
END = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 45
#: A metric that stands still has no scale to measure an error in.
LEAST_SPREAD = 1e-4

Many = Mapping[str, FloatArray]


@dataclass(frozen=True)
class Set:
    """Series on one grid and how they are asked."""

    name: str
    read: Callable[[], Many]
    step_s: int
    horizon: int
    season: tuple[int, ...]
    origins: int


def averaged(values: FloatArray, factor: int) -> FloatArray:
    """Means of `factor` values each, the newest last and whole; NaN where all are missing."""
    whole = values[len(values) % factor :].reshape(-1, factor)
    known = np.isfinite(whole)
    count = known.sum(axis=1)
    total = np.where(known, whole, 0.0).sum(axis=1)
    means: FloatArray = np.divide(total, count, out=np.full(len(whole), np.nan), where=count > 0)
    return means


def kpi() -> Many:
    """Train and test apart, by the hour."""
    parts = [(part, read_set(DATASETS / "kpi_aiops2018" / part, "kpi")) for part in ("train", "test")]
    return {f"{one.unique_id}-{part}": averaged(one.values, 12) for part, found in parts for one in found}


def fleet(seed: int, services: int, step_s: int) -> Many:
    """A simulated fleet."""
    made = SimulatedFleet(services, DAYS, seed=seed, end=END)
    grids = on_grid(made.samples, step_s=step_s, end=END, steps=DAYS * 86_400 // step_s)
    return {f"{one.service}.{one.metric}": grids[one.series_id] for one in made.series}


def asd() -> Many:
    """A fifth of the metrics of all servers."""
    rng = np.random.default_rng(124)
    found: dict[str, FloatArray] = {}
    for number in range(1, 13):
        with np.load(DATASETS / "asd" / f"omi-{number}.npz") as parts:
            whole = np.concatenate([parts["train"], parts["test"]]).astype(np.float64)
        for column in range(whole.shape[1]):
            values = whole[:, column]
            some = rng.random() < 0.2
            if some and np.std(values) > LEAST_SPREAD and len(np.unique(np.round(values[-1000:], 6))) > 20:
                found[f"omi-{number}.{column}"] = 100 * values
    return found


def smd() -> Many:
    """A seventh of the metrics of all servers, by 5 minutes."""
    rng = np.random.default_rng(123)
    found: dict[str, FloatArray] = {}
    for file in sorted((DATASETS / "smd" / "train").glob("*")):
        parts = []
        for path in (file, DATASETS / "smd" / "test" / file.name):
            with gzip.open(path, "rt") as lines:
                parts.append(np.loadtxt(lines, delimiter=","))
        whole = np.concatenate(parts)
        for column in range(whole.shape[1]):
            values = averaged(whole[:, column], 5)
            if rng.random() < 0.15 and np.std(values) > LEAST_SPREAD:
                found[f"{file.name}.{column}"] = 1_000 * values
    return found


SETS = (
    Set("kpi_hourly", kpi, 3_600, 24, (24, 168), 2),
    Set("fleet_hourly", lambda: fleet(41, 8, 3_600), 3_600, 48, (24,), 1),
    Set("asd_5min", asd, 300, 288, (288,), 1),
    Set("fleet_5min", lambda: fleet(42, 5, 300), 300, 48, (288,), 2),
    Set("smd_5min", smd, 300, 48, (288,), 1),
)


def write(found: Many, step_s: int, path: Path) -> None:
    """One long CSV file, as a user would bring it."""
    frames = []
    for name, values in found.items():
        known = np.flatnonzero(np.isfinite(values))
        times = [START + timedelta(seconds=step_s * int(at)) for at in known - known[0]]
        frames.append(
            pl.DataFrame({"unique_id": [name] * len(known), "timestamp": times, "value": values[known]})
        )
    pl.concat(frames).write_csv(path)


def main(names: Sequence[str]) -> None:
    """Print a row for each set."""
    print(
        "| set | series, origins | sMAPE | mean MASE | OWA | 80 % | 95 % | MSIS | trees have most say | s a series |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for one in SETS:
        if names and one.name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            write(one.read(), one.step_s, Path(folder) / "series.csv")
            report = bench_forecast(
                Path(folder),
                "csv",
                ForecastSetup(horizon=one.horizon, season=one.season, origins=one.origins),
            )
        ours = report.models[DEFAULT]
        print(
            f"| {one.name} | {report.series}, {report.origins} | {ours.smape:.2f} | {ours.mase:.3f} | {ours.owa:.3f} "
            f"| {ours.coverage['80']:.3f} | {ours.coverage['95']:.3f} | {ours.msis:.2f} "
            f"| {report.winners.get('global_trees', 0)} | {ours.seconds_a_series:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
