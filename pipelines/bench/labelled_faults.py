"""Readers of data sets with injected faults, for `forewarn bench localise`."""

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from core.domain import Series, ServiceEdges
from core.frames import SAMPLES, TIME
from core.metric_names import guess_metric
from models.causes.localise import CALLEE, CALLER, SEEN_BY, Origin
from pipelines.bench.labelled_data import read_by

TENANT = "bench"
#: Kind of injected fault -> its true origin. Faults in code (wrong returns, exceptions) belong to the service.
ORIGINS = {
    "cpu_contention": Origin.CPU,
    "cpu_consumed": Origin.CPU,
    "network_delay": Origin.NETWORK,
    "return": Origin.SERVICE,
    "exception": Origin.SERVICE,
}


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """One injected fault.

    Attributes:
        at: when it began.
        service: where it was injected.
        kind: its name in the data set.
        origin: null if the data set gives only the service.
        history: `core.frames.SAMPLES` from before the fault, to learn from.
        recent: `core.frames.SAMPLES` from before and after `at`.
        edges: (caller, callee).
    """

    at: datetime
    service: str
    kind: str
    origin: Origin | None
    series: tuple[Series, ...]
    history: pl.DataFrame
    recent: pl.DataFrame
    edges: ServiceEdges


def read_faults(path: Path, data_format: str) -> Iterator[Fault]:
    """Read the faults of a folder, in the order of time.

    Raises:
        InputError: the format is unknown, or the folder holds no data of it.
    """
    readers: dict[str, Callable[[Path], Iterator[Fault]]] = {"nezha": _nezha, "petshop": _petshop}
    return read_by(readers, path, data_format)


def _nezha(path: Path) -> Iterator[Fault]:
    """One folder for each day; the history of a fault is all that was measured before it."""
    series: dict[int, Series] = {}
    parts: list[pl.DataFrame] = []
    injected: list[tuple[datetime, str, str]] = []
    edges: set[tuple[str, str]] = set()
    for list_file in sorted(path.glob("*/*-fault_list.json")):
        folder = list_file.parent / "metric"
        for file in sorted(folder.glob("*_metric.csv")):
            service = _workload(file.name.removesuffix("_metric.csv"))
            parts += _columns(file, lambda name, service=service: _own(service, name), series)  # type: ignore[misc]
        for seen_by in ("source", "destination"):
            file = folder / f"{seen_by}_50.csv"
            parts += _columns(file, lambda name, seen_by=seen_by: _between(name, seen_by), series)  # type: ignore[misc]
        for source, target, _ in csv.reader((folder / "dependency.csv").read_text().splitlines()[1:]):
            edges.add((source, target))
        for faults in json.loads(list_file.read_text()).values():
            injected += [
                (
                    datetime.fromtimestamp(int(one["inject_timestamp"]), UTC),
                    _workload(one["inject_pod"]),
                    one["inject_type"],
                )
                for one in faults
            ]
    if not parts:
        return
    samples = pl.concat(parts).sort("series_id", "ts")
    for at, service, kind in sorted(injected):
        yield Fault(
            at=at,
            service=service,
            kind=kind,
            origin=ORIGINS.get(kind),
            series=tuple(series.values()),
            history=samples.filter(pl.col("ts") < at),
            recent=samples.filter(pl.col("ts").is_between(at - timedelta(hours=3), at + timedelta(hours=1))),
            edges=tuple(sorted(edges)),
        )


def _workload(pod: str) -> str:
    """The workload of a pod: its name without the suffix that Kubernetes adds. Pods are replaced, workloads stay."""
    return pod.rsplit("-", 2)[0]


def _own(service: str, metric: str) -> Series:
    guess = guess_metric(metric)
    return Series(tenant=TENANT, service=service, metric=metric, unit=guess.unit, role=guess.role, step_s=60)


def _between(name: str, seen_by: str) -> Series:
    caller, callee = name.split("_", 1)
    guess = guess_metric("latency_p50")
    return Series(
        tenant=TENANT,
        service=caller if seen_by == "source" else callee,
        metric="latency_p50",
        labels={CALLER[0]: caller, CALLEE[0]: callee, SEEN_BY: seen_by},
        role=guess.role,
        step_s=60,
    )


def _columns(
    file: Path, series_of: Callable[[str], Series], series: dict[int, Series]
) -> Iterator[pl.DataFrame]:
    """Each numeric column as samples; the time is read from the text column, because some epoch numbers are wrong."""
    frame = pl.read_csv(file, infer_schema_length=None)
    texts = frame.columns[0], frame.columns[1], "PodName"
    moments = frame[texts[0]].str.slice(0, 16).str.to_datetime("%Y-%m-%d %H:%M").dt.replace_time_zone("UTC")
    for name in frame.columns:
        if name in texts:
            continue
        one = series_of(name)
        series[one.series_id] = one
        yield _samples(one, moments, frame[name])


def _samples(series: Series, moments: pl.Series, values: pl.Series) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "series_id": pl.repeat(series.series_id, len(values), dtype=pl.Int64, eager=True),
            "ts": moments.cast(TIME),
            "value": values.cast(pl.Float64, strict=False).fill_nan(None),
        }
    ).select(list(SAMPLES))


def _petshop(path: Path) -> Iterator[Fault]:
    """One folder of about an hour for each issue; the history is the folder without any issue."""
    quiet = path / "noissue" / "metrics.csv"
    if not quiet.exists():
        return
    series, history = _wide(quiet)
    table = list(csv.reader((path / "graph.csv").read_text().splitlines()))
    edges = tuple(
        (row[0], callee)
        for row in table[1:]
        for callee, calls in zip(table[0][1:], row[1:], strict=True)
        if float(calls or 0)
    )
    for file in sorted(path.glob("*/*/target.json")):
        target = json.loads(file.read_text())
        _, recent = _wide(file.parent / "metrics.csv")
        yield Fault(
            at=datetime.fromtimestamp(target["target"]["timestamp"], UTC),
            service=target["root_cause"]["node"],
            kind=target["target"]["metric"],
            origin=None,
            series=series,
            history=history,
            recent=recent,
            edges=edges,
        )


def _wide(file: Path) -> tuple[tuple[Series, ...], pl.DataFrame]:
    """A table with three rows of heading: component, metric, statistic."""
    rows = list(csv.reader(file.read_text().splitlines()))
    body = [row for row in rows[4:] if row]
    moments = pl.Series([int(float(row[0])) * 1_000_000 for row in body]).cast(TIME)
    series, parts = [], []
    for column in range(1, len(rows[0])):
        metric = f"{rows[1][column]}_{rows[2][column]}"
        one = Series(
            tenant=TENANT, service=rows[0][column], metric=metric, role=guess_metric(rows[1][column]).role
        )
        series.append(one)
        values = pl.Series([float(row[column]) if row[column] else None for row in body], dtype=pl.Float64)
        parts.append(_samples(one, moments, values))
    return tuple(series), pl.concat(parts).sort("series_id", "ts")
