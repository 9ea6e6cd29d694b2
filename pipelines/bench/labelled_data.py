"""Readers of labelled data sets, for `forewarn bench detect`."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from core.arrays import BoolArray, FloatArray, IntArray
from core.errors import InputError
from pipelines.bench.nab_scoring import probation
from pipelines.sources.columns import TIME_NAMES
from pipelines.sources.times import parse_times

Item = TypeVar("Item")

VALUE_NAMES = ("value", "val", "y", "metric")
LABEL_NAMES = ("label", "is_anomaly", "anomaly", "labels", "anomaly_label", "ground_truth")
_DELIMITERS = ",;\t|"
_TRUE_WORDS = ("true", "t", "yes", "y", "anomaly", "anomalous", "abnormal")
#: Seconds between rows of data sets without times.
ROW_S = 60


@dataclass(frozen=True, slots=True, eq=False)
class LabelledSeries:
    """One metric of a data set, or one server with several metrics.

    Attributes:
        times_s: epoch second of each row; without times, the number of the row times 60.
        values: float64, (n,) or (n, d).
        history: earlier values that a detector may learn from; null: there are none.
        history_times_s: epoch second of each row of the history.
        label: True = anomalous; null: unknown.
        windows: the labelled windows of NAB, first and last row.
        warm_up: rows at the start that the measures leave out.
        has_times: whether the data set has times.
    """

    name: str
    times_s: IntArray
    values: FloatArray
    history: FloatArray | None = None
    history_times_s: IntArray | None = None
    label: BoolArray | None = None
    windows: tuple[tuple[int, int], ...] = ()
    warm_up: int = 0
    has_times: bool = True


def read_labelled(path: Path, data_format: str) -> Iterator[LabelledSeries]:
    """Read the series of a folder (or, for csv, of a single file), in the order of their names.

    Raises:
        InputError: the format is unknown, the path holds no data of it, or a file cannot be read.
    """
    readers: dict[str, Callable[[Path], Iterator[LabelledSeries]]] = {
        "nab": _nab, "kpi": _kpi, "smd": _smd, "asd": _asd, "csv": _csv,
    }  # fmt: skip
    return read_by(readers, path, data_format)


def read_by(
    readers: Mapping[str, Callable[[Path], Iterator[Item]]], path: Path, data_format: str
) -> Iterator[Item]:
    """Read a path with the reader of a format.

    Raises:
        InputError: the format is unknown, or the path holds no data of it.
    """
    if data_format not in readers:
        raise InputError(f"unknown data format {data_format!r}; the formats are {', '.join(readers)}")
    found = False
    for item in readers[data_format](path):
        found = True
        yield item
    if not found:
        raise InputError(f"{path} holds no data of the format {data_format!r}")


def read_csv_series(path: Path) -> tuple[IntArray | None, FloatArray, BoolArray | None]:
    """Read a file of timestamp,value[,label].

    The header is optional, in upper or lower case. Commas, semicolons, tabs or bars separate the fields, which may be
    quoted. Times are ISO 8601 (UTC if they have no zone) or epoch numbers. A value that is no number is missing.

    Returns:
        times (null: none), values and labels (null: none), in the order of time.
    Raises:
        InputError: a column is missing, or a time cannot be read.
    """
    header, rows = _text_table(path)
    names = [name.strip().strip('"').lower() for name in header]
    label = next((names.index(name) for name in LABEL_NAMES if name in names), None)
    time = next((names.index(name) for name in TIME_NAMES if name in names), None)
    value = next((names.index(name) for name in VALUE_NAMES if name in names), None)
    others = [at for at in range(len(names)) if at not in (label, time, value)]
    if time is None and (len(others) > 1 or (value is not None and others)):
        time = others.pop(0)
    if value is None:
        if not others:
            raise InputError(f"{path} needs the columns timestamp and value")
        value = others[0]
    numbers = _numbers(rows[value])
    truth = None if label is None else _truth(rows[label])
    if time is None:
        return None, numbers, truth
    times_s = _seconds(rows[time], path)
    order = np.argsort(times_s, kind="stable")
    return times_s[order], numbers[order], None if truth is None else truth[order]


def _text_table(path: Path) -> tuple[list[str], list[pl.Series]]:
    """Names and text columns of a file; rows with too few fields, such as empty rows, are left out."""
    try:
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(_DELIMITERS, key=first.count)
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(map(str.strip, row))]
    if not rows or len(rows[0]) < 2 or "\0" in text:
        raise InputError(f"{path} needs the columns timestamp and value, and at least one row")
    named = parse_times(pl.Series(rows[0][:1]))[0] is None
    header = rows.pop(0) if named else ["timestamp", "value", "label", *map(str, range(len(rows[0])))]
    width = len(header) if named else len(rows[0])
    whole = [row[:width] for row in rows if len(row) >= width]
    if not whole:
        raise InputError(f"{path} needs the columns timestamp and value, and at least one row")
    columns = [pl.Series([field.strip() for field in column]) for column in zip(*whole, strict=True)]
    return header[:width], columns


def _numbers(text: pl.Series) -> FloatArray:
    """Float64, NaN if a text is no finite number; a decimal comma counts as a decimal point."""
    found = text.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    numbers = found.fill_null(float("nan")).to_numpy()
    return np.where(np.isfinite(numbers), numbers, np.nan)


def _truth(text: pl.Series) -> BoolArray:
    words = text.str.to_lowercase().is_in(_TRUE_WORDS)
    return np.asarray(words.to_numpy() | (np.nan_to_num(_numbers(text)) > 0), dtype=np.bool_)


def _seconds(text: pl.Series, path: Path) -> IntArray:
    times = parse_times(text)
    if times.null_count():
        bad = text.filter(times.is_null())[0]
        raise InputError(f"{path}: cannot read {bad!r} as a time; use ISO 8601 or epoch seconds")
    return np.asarray(times.dt.epoch("s").to_numpy(), dtype=np.int64)


def _csv(path: Path) -> Iterator[LabelledSeries]:
    files = sorted(path.rglob("*.csv")) if path.is_dir() else [path]
    for file in files:
        times_s, values, label = read_csv_series(file)
        name = str(file.relative_to(path).with_suffix("")) if path.is_dir() else file.stem
        rows = ROW_S * np.arange(values.size, dtype=np.int64)
        yield LabelledSeries(
            name,
            rows if times_s is None else times_s,
            values,
            label=label,
            warm_up=probation(values.size),
            has_times=times_s is not None,
        )


def _nab(path: Path) -> Iterator[LabelledSeries]:
    labels = path / "labels" / "combined_windows.json"
    if not labels.exists():
        raise InputError(f"{path} has no labels/combined_windows.json, which the NAB format needs")
    windows = json.loads(labels.read_text())
    for file in sorted((path / "data").rglob("*.csv")):
        frame = pl.read_csv(file, infer_schema=False)
        times_s = _seconds(frame["timestamp"], file)  # in the file's own order, as NAB feeds it
        row_of: dict[int, int] = {}
        for row, second in enumerate(times_s.tolist()):
            row_of.setdefault(second, row)
        key = file.relative_to(path / "data").as_posix()
        found = []
        for pair in windows.get(key, []):
            first, last = _seconds(pl.Series(pair), labels).tolist()
            found.append((row_of[first], row_of[last]))
        label = np.zeros(times_s.size, dtype=np.bool_)
        for first, last in found:
            label[first : last + 1] = True
        values = frame["value"].cast(pl.Float64).to_numpy()
        yield LabelledSeries(
            key.removesuffix(".csv"),
            times_s,
            values,
            label=label,
            windows=tuple(found),
            warm_up=probation(values.size),
        )


def _kpi(path: Path) -> Iterator[LabelledSeries]:
    for file in sorted((path / "test").glob("*.csv")):
        times_s, values, label = read_csv_series(file)
        history_times_s, history, _ = read_csv_series(path / "train" / file.name)
        if times_s is None or history_times_s is None:
            raise InputError(f"{file} and the file of its history need a column timestamp")
        yield LabelledSeries(file.stem, times_s, values, history, history_times_s, label)


def _smd(path: Path) -> Iterator[LabelledSeries]:
    for file in sorted((path / "test").iterdir()):
        name = file.name.removesuffix(".gz").removesuffix(".txt")
        history, values = _table(path / "train" / file.name), _table(file)
        label = _table(next((path / "test_label").glob(f"{name}.txt*"))).astype(np.bool_).ravel()
        yield _server(name, history, values, label)


def _asd(path: Path) -> Iterator[LabelledSeries]:
    for file in sorted(path.glob("*.npz")):
        with np.load(file, allow_pickle=False) as data:
            history, values = data["train"].astype(np.float64), data["test"].astype(np.float64)
            yield _server(file.stem, history, values, data["label"].astype(np.bool_).ravel())


def _server(name: str, history: FloatArray, values: FloatArray, label: BoolArray) -> LabelledSeries:
    rows = ROW_S * np.arange(len(history) + len(values), dtype=np.int64)
    return LabelledSeries(
        name, rows[len(history) :], values, history, rows[: len(history)], label=label, has_times=False
    )


def _table(file: Path) -> FloatArray:
    try:
        text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        return np.loadtxt(text.decode().splitlines(), delimiter=",", dtype=np.float64)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is not a table of comma-separated numbers: {error}") from error
