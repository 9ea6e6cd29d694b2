"""A watch cycle as the fleet grows: seconds, memory, rows and queries of each step.

    python tests/benchmarks/bench_watch.py                160, 2,000, 10,000 and 50,000 series
    python tests/benchmarks/bench_watch.py 160            others

The models are trained once, on 45 days of 20 simulated services with 8 series each (ten minutes). Larger fleets are
copies: each copy has series, models and two days of samples of its own. Each cycle pulls the samples of its five
minutes first. `FOREWARN_BENCH_HOME` names a folder that keeps the trained fleet for the next run.

Each size runs in a process of its own: two cycles that are not counted, then `CYCLES` cycles five minutes apart. The
median of those is printed, and beside it the cycle that completes an hour, in which each series has a new forecast.
Queries, rows and MiB are those of the process of the cycle; the largest of its workers has a line of its own. MiB are
the peak while a step ran, the highest of the counted cycles.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import polars as pl
import psutil
import psycopg
from psycopg import sql

from core.batch import Batch
from core.clock import FixedClock
from core.domain import Series
from core.frames import SAMPLES
from core.settings import Settings
from core.training import Training
from models.breach.bundle import BreachBundle
from models.detect.bundle import DetectorBundle
from models.detect.series_model import SeriesModel, ServiceTable
from models.forecast.bundle import ForecasterBundle
from pipelines.collect.ingest import ingest
from pipelines.common.tenant_platform import Platform
from pipelines.learn import baseline, features, train_detectors, train_failure, train_forecasters
from pipelines.processes.parallel import kept_workers
from pipelines.processes.worker_pool import worker_pids
from pipelines.sources.simulated import SimulatedFleet
from pipelines.watch.deliver import deliver
from pipelines.watch.detect import detect
from pipelines.watch.diagnose import diagnose
from pipelines.watch.forecast import forecast
from pipelines.watch.predict_failure import predict_failure
from pipelines.wiring import Tenancy, kept_platform, open_tenancy

SIZES = (160, 2_000, 10_000, 50_000)
SERVICES, DAYS = 20, 45
CYCLES, UNCOUNTED = 4, 2
#: The models are trained here; the cycles come after it.
TRAINED_AT = datetime(2026, 3, 1, tzinfo=UTC)
FIRST_CYCLE = TRAINED_AT + timedelta(minutes=45)
EVERY = timedelta(minutes=5)
#: An hour is complete in this one of the counted cycles: the one that pulls its last samples.
HOURLY = 2
#: So many days of samples a copy has.
COPIED = timedelta(days=2)
ORIGINAL = "original"
#: The first cycle pulls samples from here on; a file has all that cycles pull.
PULLED_FROM = FIRST_CYCLE - EVERY
COMING = "coming.parquet"
KINDS = ("detector", "forecaster", "failure")
STEPS: Mapping[str, Callable[[Platform], Any]] = {
    "score": detect,
    "forecast": forecast,
    "predict": predict_failure,
    "diagnose": diagnose,
    "send": deliver,
}


@dataclass
class Counted:
    """What the statements of this process asked of the database."""

    queries: int = 0
    rows: int = 0


@dataclass(frozen=True)
class Used:
    """What one step took."""

    seconds: float
    core_seconds: float
    queries: int
    rows: int
    mib: float


@dataclass
class Measured:
    """Step -> what it took in each counted cycle."""

    steps: dict[str, list[Used]] = field(default_factory=dict)

    def add(self, name: str, used: Used) -> None:
        self.steps.setdefault(name, []).append(used)

    def lines(self, series: int) -> Iterator[str]:
        usual = [number for number in range(CYCLES) if number != HOURLY]
        for name, used in self.steps.items():
            some = [used[number] for number in usual]
            yield (
                f"| {series:,} | {name} | {_median(one.seconds for one in some):.2f}"
                f" | {_median(one.core_seconds for one in some):.2f}"
                f" | {some[-1].queries:,} | {some[-1].rows:,} | {max(one.mib for one in used):,.0f} |"
            )
        cycles = [self._cycle(number) for number in range(CYCLES)]
        memory = max(one.mib for used in self.steps.values() for one in used)
        seconds, core_seconds = (_median(cycles[number][at] for number in usual) for at in (0, 1))
        yield f"| {series:,} | cycle | {seconds:.2f} | {core_seconds:.2f} | | | {memory:,.0f} |"
        seconds, core_seconds = cycles[HOURLY]
        yield f"| {series:,} | cycle with new forecasts | {seconds:.2f} | {core_seconds:.2f} | | | |"
        if workers := [psutil.Process(pid).memory_info().rss for pid in worker_pids()]:
            yield f"| {series:,} | largest worker | | | | | {max(workers) / 2**20:,.0f} |"

    def _cycle(self, number: int) -> tuple[float, float]:
        """Seconds and core seconds of a counted cycle."""
        steps = [used[number] for used in self.steps.values()]
        return sum(one.seconds for one in steps), sum(one.core_seconds for one in steps)


def _median(values: Iterable[float]) -> float:
    return statistics.median(list(values))


def main(sizes: list[int]) -> None:
    home = os.environ.get("FOREWARN_BENCH_HOME")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(home or scratch)
        if not (folder / "trained").exists():
            print("training ...", file=sys.stderr)
            run("train", str(folder))
            (folder / "trained").touch()
        print("| series | step | s | core s | queries | rows read | MiB |")
        print("|---:|---|---:|---:|---:|---:|---:|")
        for size in sizes:
            run("copy", str(folder), str(size))
            run("watch", str(folder), str(size))


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, __file__, *arguments], check=True)


def settings(folder: Path) -> Settings:
    return Settings(_env_file=None, data_dir=folder / "data", mlruns_dir=folder / "mlruns", seed=1)


def fleet() -> SimulatedFleet:
    end = FIRST_CYCLE + (CYCLES + UNCOUNTED) * EVERY
    return SimulatedFleet(SERVICES, DAYS, seed=1, end=end, tenant=ORIGINAL)


def train(folder: Path) -> None:
    """Ingest the original fleet and train all kinds of models."""
    with open_tenancy(settings(folder), clock=FixedClock(fleet().end)) as tenancy:
        ingest(tenancy.platform(ORIGINAL), fleet())
    with open_tenancy(settings(folder), clock=FixedClock(TRAINED_AT)) as tenancy:
        platform = tenancy.platform(ORIGINAL)
        features.build_features(platform)
        features.materialize(platform)
        baseline.build_baselines(platform)
        for train_kind in (
            train_failure.train_failure,
            train_detectors.train_detectors,
            train_forecasters.train_forecasters,
        ):
            platform.registry.promote(train_kind(platform).model)


def tenant_of(size: int) -> str:
    """The tenant with so many series."""
    return ORIGINAL if size == len(fleet().series) else f"copies_{size}"


def copy(folder: Path, size: int) -> None:
    """Make the fleet of `size` series, in a process of its own: this needs memory that the cycles do not need."""
    tenant = tenant_of(size)
    if not (folder / COMING).exists():
        fleet().samples.filter(pl.col("ts") >= PULLED_FROM).write_parquet(folder / COMING)
    with open_tenancy(settings(folder), clock=FixedClock(TRAINED_AT)) as tenancy:
        if tenant != ORIGINAL and not tenancy.platform(tenant).store.series.find():
            copy_fleet(tenancy, tenant, size)
        with tenancy.pool.connection() as connection:  # of a run before
            connection.execute(
                "DELETE FROM service_features WHERE tenant = %s AND ts > %s", [tenant, TRAINED_AT]
            )
            for table in ("forecasts", "signals", "diagnoses", "cursors"):
                connection.execute(
                    sql.SQL("DELETE FROM {} WHERE tenant = %s").format(sql.Identifier(table)), [tenant]
                )
            connection.execute(
                "DELETE FROM samples USING series WHERE samples.series_id = series.series_id AND tenant = %s"
                " AND ts >= %s",
                [tenant, PULLED_FROM],
            )


def watch(folder: Path, size: int) -> None:
    """Print what the cycles of a fleet of `size` series took."""
    tenant, measured = tenant_of(size), Measured()
    coming = Coming.read(folder, tenant, size)
    with kept_workers():
        for number in range(UNCOUNTED + CYCLES):
            for name, used in cycle(folder, tenant, FIRST_CYCLE + number * EVERY, coming):
                if number >= UNCOUNTED:
                    measured.add(name, used)
        for line in measured.lines(size):
            print(line, flush=True)


@dataclass(frozen=True)
class Coming:
    """The samples after those that were trained on, which cycles pull (`core.ports.MetricSource`).

    Attributes:
        samples: `core.frames.SAMPLES` of all cycles.
        since, until: those of one cycle.
    """

    series: Sequence[Series]
    samples: pl.DataFrame
    since: datetime = PULLED_FROM
    until: datetime = PULLED_FROM
    name: str = "coming"

    @classmethod
    def read(cls, folder: Path, tenant: str, size: int) -> "Coming":
        with kept_platform(settings(folder), tenant=ORIGINAL, clock=FixedClock(TRAINED_AT)) as platform:
            chosen = copies(platform.store.series.find(), tenant, size)
        ids = pl.DataFrame(
            {"copy": list(chosen), "series_id": [one.series_id for one, _ in chosen.values()]},
            schema={"copy": pl.Int64, "series_id": pl.Int64},
        )
        found = pl.read_parquet(folder / COMING).join(ids, on="series_id")
        series = [copied(one, tenant, number) for one, number in chosen.values()]
        return cls(
            series, found.select(pl.col("copy").alias("series_id"), "ts", "value").select(list(SAMPLES))
        )

    def before(self, at: datetime) -> "Coming":
        """What the cycle at that moment pulls."""
        return replace(self, since=at - EVERY, until=at)

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        new = self.samples.filter(pl.col("ts") >= self.since, pl.col("ts") < self.until)
        yield Batch(series=self.series, samples=new, cursor=self.until.isoformat())


def cycle(folder: Path, tenant: str, at: datetime, coming: Coming) -> Iterator[tuple[str, Used]]:
    """Run a watch cycle; each step with what it took."""
    new = coming.before(at)
    for name, step in {"pull": lambda platform: ingest(platform, new), **STEPS}.items():
        with kept_platform(settings(folder), tenant=tenant, clock=FixedClock(at)) as platform:
            yield name, measure(step, platform)


def measure(step: Callable[[Platform], Any], platform: Platform) -> Used:
    forget_peak()
    with counted() as found:
        began, began_core = time.perf_counter(), core_seconds()
        step(platform)
        seconds, used = time.perf_counter() - began, core_seconds() - began_core
        return Used(seconds, used, found.queries, found.rows, peak_mib())


def forget_peak() -> None:
    """Let the kernel measure the peak of this process's memory anew."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mib() -> float:
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].removesuffix("kB")) / 1024


def core_seconds() -> float:
    """Of this process and its workers."""
    workers = [psutil.Process(pid).cpu_times() for pid in worker_pids()]
    return time.process_time() + sum(float(one.user + one.system) for one in workers)


@contextmanager
def counted() -> Iterator[Counted]:
    """Count the statements of this process and the rows that they return or change."""
    found, execute = Counted(), psycopg.Cursor.execute

    def counting(cursor: Any, *arguments: Any, **options: Any) -> Any:
        done = execute(cursor, *arguments, **options)
        found.queries += 1
        found.rows += max(cursor.rowcount, 0)
        return done

    with patch.object(psycopg.Cursor, "execute", counting):
        yield found


def copy_fleet(tenancy: Tenancy, tenant: str, size: int) -> None:
    """Give a tenant so many series, with models and two days of samples."""
    original, target = tenancy.platform(ORIGINAL), tenancy.platform(tenant)
    chosen = copies(original.store.series.find(), tenant, size)
    target.store.series.register(copied(one, tenant, number) for one, number in chosen.values())
    with tenancy.pool.connection() as connection:
        connection.execute(
            "INSERT INTO samples (series_id, ts, value) SELECT c.copy, s.ts, s.value"
            " FROM unnest(%s::bigint[], %s::bigint[]) AS c (copy, original)"
            " JOIN samples s ON s.series_id = c.original WHERE s.ts >= %s AND s.ts < %s",
            [
                list(chosen),
                [one.series_id for one, _ in chosen.values()],
                TRAINED_AT - COPIED,
                PULLED_FROM,
            ],
        )
    bundles = {
        "detector": copied_detectors,
        "forecaster": copied_forecasters,
        "failure": lambda files, *_: files,
    }
    for kind, copy in bundles.items():
        _, files = original.registry.load(kind)
        training = Training(window_start=TRAINED_AT - COPIED, window_end=TRAINED_AT, seed=1)
        target.registry.promote(target.registry.register(kind, copy(files, chosen, tenant), training))


def copies(original: Sequence[Series], tenant: str, size: int) -> "Chosen":
    """The id of each series of the fleet of `size` -> the series that it copies, and the number of the copy."""
    known = sorted(original, key=lambda one: (one.service, one.series_id))
    if tenant == ORIGINAL:
        return {one.series_id: (one, 0) for one in known}
    every = (
        (copied(one, tenant, number).series_id, (one, number))
        for number in range(-(-size // len(known)))
        for one in known
    )
    return dict(islice(every, size))


def copied(series: Series, tenant: str, number: int) -> Series:
    if tenant == ORIGINAL:
        return series
    return replace(series, tenant=tenant, service=f"{series.service}-{number:04}")


Chosen = Mapping[int, tuple[Series, int]]


def copied_detectors(files: Mapping[str, bytes], chosen: Chosen, tenant: str) -> Mapping[str, bytes]:
    bundle = DetectorBundle.from_files(files)
    tables: dict[tuple[int, int], ServiceTable] = {}
    models: dict[int, SeriesModel] = {}
    for key, (one, number) in chosen.items():
        if (model := bundle.models.get(one.series_id)) is not None:
            # The series of one copy of a service have a table of their own.
            table = tables.setdefault((id(model.table), number), replace(model.table))
            models[key] = replace(model, series=copied(one, tenant, number), table=table)
    return replace(bundle, models=models, skipped={}).to_files()


def copied_forecasters(files: Mapping[str, bytes], chosen: Chosen, tenant: str) -> Mapping[str, bytes]:
    bundle = BreachBundle.from_files(files)
    entries = bundle.forecasters.entries
    parts = replace(
        bundle.forecasters.parts,
        entries={
            key: replace(entries[one.series_id], series=copied(entries[one.series_id].series, tenant, number))
            for key, (one, number) in chosen.items()
            if one.series_id in entries
        },
    )
    return BreachBundle(
        ForecasterBundle(parts), correction=bundle.correction, cascades=bundle.cascades
    ).to_files()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["train", folder]:
            train(Path(folder))
        case ["copy", folder, size]:
            copy(Path(folder), int(size))
        case ["watch", folder, size]:
            watch(Path(folder), int(size))
        case sizes:
            main([int(one) for one in sizes] or list(SIZES))
