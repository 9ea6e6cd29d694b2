"""Nightly and weekly flow of a whole fleet: seconds and memory, from raw samples to promoted models.

    python tests/benchmarks/bench_training.py              160 and 2,000 series
    python tests/benchmarks/bench_training.py 10000        others: an hour, and 20 GB of disk

The fleet is the first simulator's, of eight series a service, with 45 days of samples every five minutes. It is made
and ingested in parts first, which is not counted. Then the flows run as on a schedule, with a Prefect server of their
own. Each size runs in a process of its own. MiB are the peak of this process, and of this process, its workers and the
servers that they started together.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import psutil

from core.batch import Batch
from core.clock import FixedClock
from core.settings import Settings
from flows.environment import prepare_prefect
from pipelines.collect.ingest import ingest
from pipelines.sources.simulated import SimulatedFleet
from pipelines.stores.ready import down
from pipelines.wiring import open_platform

SIZES = (160, 2_000)
SERIES_OF_SERVICE, DAYS = 8, 45
#: Services that are simulated at once.
PART = 100
END = datetime(2026, 3, 1, tzinfo=UTC)
TENANT = "bench"
KINDS = ("failure", "detector", "forecaster")


@dataclass
class Memory:
    """The peak of this process, and of all its processes together, in MiB; a process that ends is forgotten."""

    own: float = 0.0
    together: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        process = psutil.Process()
        while not self.stop.wait(2.0):
            sizes = [process.memory_info().rss]
            for child in process.children(recursive=True):
                try:
                    sizes.append(child.memory_full_info().uss)
                except psutil.NoSuchProcess:
                    continue
            self.own = max(self.own, sizes[0] / 2**20)
            self.together = max(self.together, sum(sizes) / 2**20)


@dataclass
class Told:
    """Step -> when its progress was told first and last."""

    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)

    def __call__(self, step: str, done: int, total: int) -> None:
        now = time.perf_counter()
        self.first.setdefault(step, now)
        self.last[step] = now


def main(sizes: list[int]) -> None:
    print("| series | part | s | MiB, this process | together |")
    print("|---:|---|---:|---:|---:|")
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=os.environ.get("FOREWARN_BENCH_HOME")) as folder:
            environment = {
                **os.environ,
                "FOREWARN_DATA_DIR": f"{folder}/data",
                "FOREWARN_MLRUNS_DIR": f"{folder}/mlruns",
                "FOREWARN_TENANT": TENANT,
                # The first night of a longer history also deletes weeks at once, which later nights do not.
                "FOREWARN_RETENTION_RAW_DAYS": str(2 * DAYS),
            }
            try:
                for part in ("ingest", "learn"):
                    subprocess.run(
                        [sys.executable, __file__, part, str(size)], env=environment, cwd=folder, check=True
                    )
            finally:
                down(Settings(_env_file=None, data_dir=Path(folder) / "data"))


def take_in(size: int) -> None:
    """Store the samples, events and incidents of the fleet."""
    began, samples = time.perf_counter(), 0
    with open_platform(Settings(_env_file=None), clock=FixedClock(END)) as platform:
        for number, first in enumerate(range(0, size // SERIES_OF_SERVICE, PART)):
            services = min(PART, size // SERIES_OF_SERVICE - first)
            fleet = SimulatedFleet(services, DAYS, seed=number + 1, end=END, tenant=TENANT)
            samples += ingest(platform, Part(fleet, number)).inserted
    print(f"{samples:,} samples in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Part:
    """A part of a fleet, whose services have a number in their names (`core.ports.MetricSource`)."""

    fleet: SimulatedFleet
    number: int

    @property
    def name(self) -> str:
        return f"{self.fleet.name}/{self.number}"

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        named = [replace(one, service=self._named(one.service)) for one in self.fleet.series]
        ids = {old.series_id: new.series_id for old, new in zip(self.fleet.series, named, strict=True)}
        for batch in self.fleet.batches(cursor):
            if batch.samples is None:
                continue
            yield replace(
                batch,
                series=named,
                samples=batch.samples.with_columns(pl.col("series_id").replace_strict(ids)),
                events=[replace(one, service=self._named(one.service)) for one in batch.events],
                incidents=[replace(one, service=self._named(one.service)) for one in batch.incidents],
            )

    def _named(self, service: str) -> str:
        return f"{service}-{self.number:02}"


def learn(size: int) -> None:
    """Run both flows, and print what they took."""
    prepare_prefect(Settings(_env_file=None))
    from flows.main_job import nightly, weekly
    from flows.progress_listener import progress_to

    for name, flow in {"nightly": nightly, "weekly": weekly}.items():
        told, began = Told(), time.perf_counter()
        with measured() as memory, progress_to(told):
            flow(tenant=TENANT, at=END)
        seconds = time.perf_counter() - began
        print(
            f"| {size:,} | {name} | {seconds:.0f} | {memory.own:,.0f} | {memory.together:,.0f} |", flush=True
        )
        for step, first in told.first.items():
            print(f"| {size:,} | {name}: {step} | {told.last[step] - first:.0f} | | |", flush=True)
    for kind, version in champions().items():
        print(f"{kind}: version {version} is the champion", file=sys.stderr, flush=True)


@contextmanager
def measured() -> Iterator[Memory]:
    memory = Memory()
    thread = threading.Thread(target=memory.watch)
    thread.start()
    try:
        yield memory
    finally:
        memory.stop.set()
        thread.join()


def champions() -> Mapping[str, int]:
    """Kind -> version of its champion; raises ModelUnavailableError if one was not promoted."""
    with open_platform(Settings(_env_file=None), clock=FixedClock(END)) as platform:
        return {kind: platform.registry.load(kind)[0].version for kind in KINDS}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["ingest", size]:
            take_in(int(size))
        case ["learn", size]:
            learn(int(size))
        case sizes:
            main([int(one) for one in sizes] or list(SIZES))
