"""Readers of labelled data sets, for `forewarn bench detect`: each gives one case a series or server."""

import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from core.errors import InputError
from models.grid import BoolArray, FloatArray, IntArray
from models.nab_scoring import probation

TIME_NAMES = ("timestamp", "time", "ts", "date", "datetime", "ds")
VALUE_NAMES = ("value", "val", "y", "metric")
LABEL_NAMES = ("label", "is_anomaly", "anomaly", "labels")
#: Epoch numbers above these are milli-, micro- and nanoseconds.
_EPOCH_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
#: Rows of data sets without times are this far apart: one minute.
ROW_S = 60


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One series, or one server with several metrics.

    Attributes:
        times_s: epoch second of each row; of data without times, the row times 60.
        values: float64, (n,) or (n, d); history: what may be learned from, before the values, or null.
        history_times_s: its times; label: True = anomalous, or null where nothing is known.
        windows: NAB's labelled windows, first and last row; warm_up: rows at the start that are not judged.
        has_times: whether the data set came with times.
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


def read_cases(path: Path, data_format: str) -> Iterator[Case]:
    """The cases of a folder (or, for csv, a single file), in the order of their names.

    Raises:
        InputError: no such format or nothing of that format there; a file that cannot be read is named.
    """
    readers: dict[str, Callable[[Path], Iterator[Case]]] = {
        "nab": _nab, "kpi": _kpi, "smd": _smd, "asd": _asd, "csv": _csv,
    }  # fmt: skip
    if data_format not in readers:
        raise InputError(f"no data format {data_format!r}; there are {', '.join(readers)}")
    found = False
    for case in readers[data_format](path):
        found = True
        yield case
    if not found:
        raise InputError(f"{path} holds nothing of the format {data_format!r}")


def read_csv_series(path: Path) -> tuple[IntArray, FloatArray, BoolArray | None]:
    """Times, values and labels (or null) of a file of timestamp,value[,label], in the order of time.

    Any case of the header, quoted or not; times in ISO 8601 (UTC unless they say otherwise) or epoch numbers.

    Raises:
        InputError: a column lacks, or a time cannot be read.
    """
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{path} is no readable CSV: {error}") from error
    frame = frame.rename({name: name.strip().strip('"').lower() for name in frame.columns})
    if frame.width < 2 or frame.is_empty():
        raise InputError(f"{path} needs the columns timestamp and value, and at least one row")
    time = next((name for name in TIME_NAMES if name in frame.columns), frame.columns[0])
    value = next((name for name in VALUE_NAMES if name in frame.columns), frame.columns[1])
    label = next((name for name in LABEL_NAMES if name in frame.columns), None)
    times_s = _seconds(frame[time].str.strip_chars(), path)
    values = frame[value].str.strip_chars().cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
    order = np.argsort(times_s, kind="stable")
    truth = None
    if label is not None:
        words = frame[label].str.strip_chars().str.to_lowercase()
        truth = words.is_in(["1", "1.0", "true", "yes"]).fill_null(value=False).to_numpy()[order]
    return times_s[order], np.asarray(values, dtype=np.float64)[order], truth


def _seconds(text: pl.Series, path: Path) -> IntArray:
    numbers = text.cast(pl.Float64, strict=False)
    if numbers.null_count() == 0:
        epoch = numbers.to_numpy()
        unit = next((unit for least, unit in _EPOCH_UNITS if float(np.median(epoch)) > least), 1.0)
        return np.asarray(epoch / unit, dtype=np.int64)
    plain = text.str.replace("T", " ").str.replace("Z", "").str.replace("/", "-").str.slice(0, 19)
    for pattern in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"):
        parsed = plain.str.to_datetime(pattern, strict=False, time_unit="us")
        if parsed.null_count() == 0:
            shift = text.str.extract(r"[T ]\d\d:\d\d.*([+-]\d\d:?\d\d)$")
            hours = shift.str.slice(0, 3).cast(pl.Int64, strict=False).fill_null(0).to_numpy()
            minutes = shift.str.slice(-2).cast(pl.Int64, strict=False).fill_null(0).to_numpy()
            offset = 3600 * hours + 60 * np.where(hours < 0, -minutes, minutes)
            return np.asarray(parsed.dt.epoch("s").to_numpy() - offset, dtype=np.int64)
    bad = text.filter(plain.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False).is_null())
    raise InputError(f"{path}: cannot read {bad[0]!r} as a time; use ISO 8601 or epoch seconds")


def _csv(path: Path) -> Iterator[Case]:
    files = sorted(path.rglob("*.csv")) if path.is_dir() else [path]
    for file in files:
        times_s, values, label = read_csv_series(file)
        name = str(file.relative_to(path).with_suffix("")) if path.is_dir() else file.stem
        yield Case(name, times_s, values, label=label, warm_up=probation(values.size))


def _nab(path: Path) -> Iterator[Case]:
    labels = path / "labels" / "combined_windows.json"
    if not labels.exists():
        raise InputError(f"{path} lacks labels/combined_windows.json, which the NAB format needs")
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
        yield Case(
            key.removesuffix(".csv"),
            times_s,
            values,
            label=label,
            windows=tuple(found),
            warm_up=probation(values.size),
        )


def _kpi(path: Path) -> Iterator[Case]:
    for file in sorted((path / "test").glob("*.csv")):
        times_s, values, label = read_csv_series(file)
        history_times_s, history, _ = read_csv_series(path / "train" / file.name)
        yield Case(file.stem, times_s, values, history, history_times_s, label)


def _smd(path: Path) -> Iterator[Case]:
    for file in sorted((path / "test").iterdir()):
        name = file.name.removesuffix(".gz").removesuffix(".txt")
        history, values = _table(path / "train" / file.name), _table(file)
        label = _table(next((path / "test_label").glob(f"{name}.txt*"))).astype(np.bool_).ravel()
        yield _server(name, history, values, label)


def _asd(path: Path) -> Iterator[Case]:
    for file in sorted(path.glob("*.npz")):
        with np.load(file, allow_pickle=False) as data:
            history, values = data["train"].astype(np.float64), data["test"].astype(np.float64)
            yield _server(file.stem, history, values, data["label"].astype(np.bool_).ravel())


def _server(name: str, history: FloatArray, values: FloatArray, label: BoolArray) -> Case:
    rows = ROW_S * np.arange(len(history) + len(values), dtype=np.int64)
    return Case(
        name, rows[len(history) :], values, history, rows[: len(history)], label=label, has_times=False
    )


def _table(file: Path) -> FloatArray:
    try:
        text = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        return np.loadtxt(text.decode().splitlines(), delimiter=",", dtype=np.float64)
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is no table of numbers with commas between: {error}") from error
