"""A night of training forecasters: seconds a series and peak memory as the fleet grows, by where it is computed.

    python tests/benchmarks/bench_nightly.py                        1,000 and 4,000 series over processes
    python tests/benchmarks/bench_nightly.py dask 500 1000          others

The samples are made when they are read, so that what is measured is the training and not a database.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing import active_children
from pathlib import Path
from typing import Any, Literal, get_args

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402 - after the path
import polars as pl  # noqa: E402
from fakes.platform import platform_of  # noqa: E402
from fakes.ports import FakeStore, NoRegistry, unsupported  # noqa: E402
from fakes.serving import FakeSeriesStore  # noqa: E402

from core.alert_changes import AlertChange  # noqa: E402
from core.clock import FixedClock  # noqa: E402
from core.diagnosis import Feedback  # noqa: E402
from core.domain import Event, Incident, ModelRef, Role, Series  # noqa: E402
from core.frames import SAMPLES  # noqa: E402
from core.ports import (  # noqa: E402
    EventRepository,
    FeedbackRepository,
    IncidentRepository,
    SampleRepository,
    WriteResult,
)
from core.settings import Settings  # noqa: E402
from core.training import Training  # noqa: E402
from pipelines.learn.train_forecasters import WINDOW_DAYS, train_forecasters  # noqa: E402

Compute = Literal["processes", "dask", "ray"]

END = datetime(2026, 3, 1, tzinfo=UTC)
HOURS = WINDOW_DAYS * 24
SIZES = (1_000, 4_000)


class MadeSamples(SampleRepository):
    """Load with days, weeks and noise that lasts, another for each series; the same whenever it is read."""

    def span(self) -> tuple[datetime, datetime]:
        return END - timedelta(hours=HOURS), END - timedelta(hours=1)

    def write(self, frame: pl.DataFrame) -> WriteResult:
        unsupported(self, "write")

    def latest(self) -> pl.DataFrame:
        unsupported(self, "latest")

    def newest_times(self, series_ids: Sequence[int]) -> dict[int, datetime]:
        unsupported(self, "newest_times")

    def stored_at(self, times: pl.DataFrame) -> pl.DataFrame:
        unsupported(self, "stored_at")

    def remove(self, series_id: int) -> int:
        unsupported(self, "remove")

    def read(self, start: datetime, end: datetime, series_ids: Sequence[int] | None = None) -> pl.DataFrame:
        times = pl.datetime_range(start, end, "1h", closed="left", eager=True, time_zone="UTC")
        return pl.concat(
            pl.DataFrame(
                {"series_id": [key] * len(times), "ts": times, "value": _course(key, len(times))},
                schema=dict(SAMPLES),
            )
            for key in series_ids or ()
        )


def _course(key: int, hours: int) -> np.ndarray:
    rng = np.random.default_rng(key % 2**32)
    t = np.arange(hours)
    load = (
        1
        + rng.uniform(0.1, 0.5) * np.sin(2 * np.pi * (t - rng.uniform(0, 24)) / 24)
        + 0.1 * (t // 24 % 7 < 5)
    )
    noise = np.convolve(rng.normal(0, 0.04, hours + 11), np.ones(12) / 3, mode="valid")
    course: np.ndarray = 100 * load * np.exp(noise)
    return course


class NoEvents(EventRepository):
    """Nothing ever happened."""

    def add(self, events: Iterable[Event]) -> int:
        unsupported(self, "add")

    def between(self, start: datetime, end: datetime, service: str | None = None) -> list[Event]:
        return []


class NoIncidents(IncidentRepository):
    """Nothing ever broke."""

    def add(self, incidents: Iterable[Incident]) -> int:
        unsupported(self, "add")

    def change(self, changes: Iterable[AlertChange]) -> int:
        unsupported(self, "change")

    def between(self, start: datetime, end: datetime, service: str | None = None) -> list[Incident]:
        return []


class NoFeedback(FeedbackRepository):
    """Nobody gave feedback."""

    def add(self, feedback: Iterable[Feedback]) -> int:
        unsupported(self, "add")

    def list(self, subject_ids: Sequence[str] | None = None) -> list[Feedback]:
        return []


class Kept(NoRegistry):
    """A registry that counts bytes."""

    size = 0

    def register(self, kind: str, files: Mapping[str, bytes], training: Training) -> ModelRef:
        self.size = sum(map(len, files.values()))
        return ModelRef(name=kind, version=1, run_id="run")


def night(compute: Compute, count: int) -> dict[str, Any]:
    """Train `count` series in this process and its workers."""
    series = [
        Series(tenant="t", service=f"service-{number}", metric="requests_per_second", role=Role.TRAFFIC)
        if number % 4
        # Of what users feel more is remembered: how high it rose.
        else Series(
            tenant="t",
            service=f"service-{number}",
            metric="latency_p99_milliseconds",
            role=Role.LATENCY,
            slo_threshold=1_000.0,
        )
        for number in range(count)
    ]
    store = FakeStore(
        "t",
        series=FakeSeriesStore(series),
        samples=MadeSamples(),
        events=NoEvents(),
        incidents=NoIncidents(),
        feedback=NoFeedback(),
    )
    settings = Settings(_env_file=None, compute=compute)
    kept = Kept()
    platform = platform_of(store, FixedClock(END), settings=settings, registry=kept)
    begun = time.perf_counter()
    peaks: list[float] = []
    report = train_forecasters(platform, progress=lambda step, done, total: peaks.append(_peak_of_workers()))
    return {
        "compute": compute,
        "series": report.trained,
        "seconds": time.perf_counter() - begun,
        "steps told": len(peaks),
        "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "worker MiB": max(peaks),
        "bundle MiB": kept.size / 2**20,
    }


def _peak_of_workers() -> float:
    """MiB, the largest; `getrusage` would count what a worker was before it became one: a copy of its parent."""
    found = [0.0]
    for worker in active_children():
        try:
            status = Path(f"/proc/{worker.pid}/status").read_text(encoding="ascii")
        except FileNotFoundError:  # it has ended
            continue
        found += [float(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")]
    return max(found)


def main(compute: str, sizes: Sequence[int]) -> None:
    """Print a row for each size; each runs in a process of its own, whose peak is then its own."""
    print(
        "| computed by | series | seconds | ms a series | progress reports | peak MiB, parent | a worker | bundle |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for size in sizes:
        told = subprocess.run(
            [sys.executable, __file__, "--one", compute, str(size)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        row = json.loads(told.stdout.splitlines()[-1])
        print(
            f"| {row['compute']} | {row['series']:,} | {row['seconds']:.0f} "
            f"| {1e3 * row['seconds'] / row['series']:.0f} | {row['steps told']} | {row['peak MiB']:.0f} "
            f"| {row['worker MiB']:.0f} | {row['bundle MiB']:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        (by,) = (name for name in get_args(Compute) if name == sys.argv[2])
        print(json.dumps(night(by, int(sys.argv[3]))))
    else:
        asked = sys.argv[1:] or ["processes"]
        main(asked[0], [int(one) for one in asked[1:]] or SIZES)
