"""Readers of forecasting data sets: the M4 competition's layout, CSV, the KPI set and WorldCup98."""

import csv
import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import numpy as np
import polars as pl

from core.arrays import FloatArray
from core.durations import HOUR_S
from core.errors import InputError

#: Series of data sets without times start here, on a Monday.
NO_TIME = datetime(2024, 1, 1, tzinfo=UTC)
KPI_STEP_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSeries:
    """One series to forecast.

    Attributes:
        values: of the training file, NaN = missing.
        future: the values of the test file; null: there is no test file.
    """

    unique_id: str
    values: FloatArray
    start: datetime
    step_s: int
    future: FloatArray | None = None

    @property
    def future_steps(self) -> int:
        """Number of values of the test file."""
        return 0 if self.future is None else len(self.future)


def read_set(path: Path, data_format: str) -> list[BenchSeries]:
    """Read all series of a file or folder.

    Raises:
        InputError: the format is unknown, or the path holds no data of it.
    """
    readers: Mapping[str, Callable[[Path], list[BenchSeries]]] = {
        "m4": _read_m4,
        "csv": _read_csv,
        "kpi": _read_kpi,
        "worldcup98": _read_worldcup,
    }
    if data_format not in readers:
        raise InputError(f"unknown format {data_format!r}; the formats are {', '.join(readers)}")
    if not path.exists():
        raise InputError(f"{path} does not exist")
    found = readers[data_format](path)
    if not found:
        raise InputError(f"{path} holds no series of format {data_format}")
    return found


def _open(path: Path) -> TextIO:
    return gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="")


def _m4_rows(path: Path) -> dict[str, FloatArray]:
    rows: dict[str, FloatArray] = {}
    with _open(path) as file:
        lines = csv.reader(file)
        next(lines, None)
        for line in lines:
            if line and line[0]:
                values = [float(cell) for cell in line[1:] if cell.strip() not in ("", "NA")]
                rows[line[0]] = np.array(values, dtype=np.float64)
    return rows


def _read_m4(path: Path) -> list[BenchSeries]:
    """Read a training file, or a folder with a file named *train* and, if there is one, a file named *test*."""
    files = sorted(path.rglob("*.csv*")) if path.is_dir() else [path]
    train = [file for file in files if "test" not in file.name.lower()]
    if path.is_dir():
        train = [file for file in train if "train" in file.name.lower()] or train
        tests = [file for file in files if "test" in file.name.lower()]
    else:
        tests = _test_beside(path)
    futures = {key: row for file in tests for key, row in _m4_rows(file).items()}
    return [
        BenchSeries(unique_id=key, values=row, start=NO_TIME, step_s=HOUR_S, future=futures.get(key))
        for file in train
        for key, row in _m4_rows(file).items()
        if len(row)
    ]


def _test_beside(path: Path) -> list[Path]:
    """The test file of a training file: `Hourly-test.csv` beside `Hourly-train.csv`, or in ../Test."""
    for train, test in (("train", "test"), ("Train", "Test"), ("TRAIN", "TEST")):
        if train in path.name:
            name = path.name.replace(train, test)
            places = (
                path.with_name(name),
                path.parent.parent / test / name,
                path.parent.parent / "Test" / name,
            )
            return [place for place in places if place.exists() and place != path][:1]
    return []


def _read_csv(path: Path) -> list[BenchSeries]:
    """Read one file for each series, with a column of times and one of values; or long files with a column of ids."""
    files = sorted(path.rglob("*.csv")) if path.is_dir() else [path]
    found: list[BenchSeries] = []
    for file in files:
        frame = pl.read_csv(file, try_parse_dates=True)
        names = [name for name, dtype in frame.schema.items() if dtype in (pl.String, pl.Categorical)]
        names += [name for name in ("unique_id", "series_id", "id") if name in frame.columns]
        times = _time_column(frame, names)
        value = next(
            (
                name
                for name, dtype in frame.schema.items()
                if dtype.is_numeric() and name not in (times, "label", *names)
            ),
            None,
        )
        if value is None:
            raise InputError(f"{file} has no column of numbers")
        parts = frame.partition_by(names[0], as_dict=True) if names else {(file.stem,): frame}
        found += [_on_grid(str(key[0]), part, times, value) for key, part in parts.items()]
    return found


def _time_column(frame: pl.DataFrame, names: list[str]) -> str | None:
    temporal = [name for name, dtype in frame.schema.items() if dtype.is_temporal()]
    if temporal:
        return temporal[0]
    named = [name for name in frame.columns if name.lower() in ("timestamp", "ts", "ds", "time", "date")]
    return named[0] if named and named[0] not in names else None


def _on_grid(name: str, frame: pl.DataFrame, times: str | None, value: str) -> BenchSeries:
    values = frame.get_column(value).cast(pl.Float64).fill_null(float("nan")).to_numpy()
    if times is None:
        return BenchSeries(unique_id=name, values=values, start=NO_TIME, step_s=HOUR_S)
    column = frame.get_column(times)
    seconds = (column.dt.epoch("s") if column.dtype.is_temporal() else column).cast(pl.Int64).to_numpy()
    steps = np.diff(np.unique(seconds))
    if not len(steps):
        raise InputError(f"{name} has fewer than two times")
    return _binned(name, seconds, values, int(np.median(steps)))


def _binned(name: str, seconds: np.ndarray, values: FloatArray, step_s: int) -> BenchSeries:
    """Average the values over steps of `step_s`; NaN if a step has no value."""
    known = np.isfinite(values)
    seconds, values = seconds[known], values[known]
    first = int(seconds.min()) // step_s * step_s
    slot = (seconds - first) // step_s
    count = np.bincount(slot)
    total = np.bincount(slot, values)
    mean = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return BenchSeries(unique_id=name, values=mean, start=datetime.fromtimestamp(first, UTC), step_s=step_s)


def _read_kpi(path: Path) -> list[BenchSeries]:
    """Read the CSV files of the KPI set on a 5-minute grid, because some of them have one value a minute."""
    files = sorted(path.rglob("*.csv")) if path.is_dir() else [path]
    found = []
    for file in files:
        frame = pl.read_csv(file)
        if not {"timestamp", "value"} <= set(frame.columns):
            raise InputError(f"{file} has no column timestamp or no column value")
        seconds = frame.get_column("timestamp").to_numpy()
        values = frame.get_column("value").cast(pl.Float64).to_numpy()
        found.append(_binned(file.stem, seconds, values, KPI_STEP_S))
    return found


def _read_worldcup(path: Path) -> list[BenchSeries]:
    """Read requests per minute, averaged over each hour."""
    file = next(iter(sorted(path.glob("*.csv"))), None) if path.is_dir() else path
    if file is None:
        return []
    frame = pl.read_csv(file, try_parse_dates=True)
    seconds = frame.get_column("period").dt.epoch("s").to_numpy()
    values = frame.get_column("count").cast(pl.Float64).to_numpy()
    return [_binned(file.stem, seconds, values, HOUR_S)]
