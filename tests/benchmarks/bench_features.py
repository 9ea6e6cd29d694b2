"""Failure features of a fleet: how long 1,000 services of 45 days take on two cores, and how much memory."""

import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[2]))

from features.catalog import FEATURE_NAMES
from features.grid import fleet_grid
from pipelines.learn.features import SERVICES_PER_JOB, ComputedFeatures, GridSpan, compute_features
from pipelines.processes.parallel import chunked, map_chunks
from pipelines.sources.simulated import SimulatedFleet

END = datetime(2026, 11, 20, 12, tzinfo=UTC)
SERVICES, DAYS, WORKERS = 1_000, 45, 2
#: Services that are simulated.
SIMULATED = 100

Job = tuple[Sequence[tuple[str, pl.DataFrame]], GridSpan]


def compute(job: Job) -> ComputedFeatures:
    return compute_features(*job)


def main() -> dict[str, float]:
    """Prints the figures and returns them; one row a half hour, as the feature pipeline keeps them."""
    # Simulating takes longer than the features: the same services are taken again and again.
    fleet = SimulatedFleet(services=SIMULATED, days=DAYS, seed=0, end=END)
    samples, series, events = fleet.samples.sort("series_id", "ts"), fleet.series, fleet.events

    def jobs() -> Iterator[Job]:
        for _ in range(SERVICES // SIMULATED):
            grid = fleet_grid(samples, series, events, start=fleet.start, end=fleet.end)
            for wide in chunked(grid.wide(), SERVICES_PER_JOB):
                yield wide, GridSpan(fleet.start, fleet.end)

    before, started = _cpu_s(), time.perf_counter()
    made = map_chunks(compute, jobs(), workers=WORKERS)
    rows = sum(len(one.times) for one in made)
    wall_s, cpu_s = time.perf_counter() - started, _cpu_s() - before
    figures = {
        "seconds": wall_s,
        "core_seconds": cpu_s,
        "load": os.getloadavg()[0],
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    days = (fleet.end - fleet.start + timedelta(minutes=5)).days
    print(f"{len(FEATURE_NAMES)} features, {rows:,} rows; must: a minute on 2 cores")
    print()
    print("| what | figure |")
    print("|---|---:|")
    print(
        f"| {SERVICES:,} services x {days} days x 5 min, {WORKERS} processes, wall seconds | {wall_s:.1f} |"
    )
    print(f"| the same, core seconds of all processes | {cpu_s:.1f} |")
    print(f"| load of the machine over the last minute, this included | {figures['load']:.1f} |")
    print(
        f"| peak memory of the first process, simulating {SIMULATED} services included (GiB) |"
        f" {figures['peak_gib']:.2f} |"
    )
    return figures


def _cpu_s() -> float:
    """Of this process and of those it has waited for."""
    both = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


if __name__ == "__main__":
    main()
