"""Failure features of a fleet: how long 1,000 services of 45 days take, and how much memory, chunk by chunk."""

import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from datetime import UTC, datetime

from features.catalog import FEATURE_NAMES, service_features
from features.grid import fleet_grid
from pipelines.features import CHUNK
from pipelines.sources.simulated import SimulatedFleet

END = datetime(2026, 11, 20, 12, tzinfo=UTC)
SERVICES, DAYS, CORES = 1_000, 45, 2
#: Chunks that are timed; all cost the same, and simulating them takes longer than their features.
TIMED = 2


def main() -> dict[str, float]:
    """Prints the figures and returns them; one row a half hour, as the feature pipeline keeps them."""
    cpu_s = wall_s = 0.0
    rows = 0
    for seed in range(TIMED):
        fleet = SimulatedFleet(services=CHUNK, days=DAYS, seed=seed, end=END)
        samples = fleet.samples.sort("series_id", "ts")
        cpu, wall = time.process_time(), time.perf_counter()
        grid = fleet_grid(samples, fleet.series, fleet.events, start=fleet.start, end=fleet.end)
        rows += sum(service_features(wide, phases=(0,)).height for _, wide in grid.wide())
        cpu_s += time.process_time() - cpu
        wall_s += time.perf_counter() - wall
    share = SERVICES / (TIMED * CHUNK)
    figures = {
        "seconds": cpu_s * share / CORES,
        "wall_seconds_one_process": wall_s * share,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    print(
        f"{len(FEATURE_NAMES)} features, {rows:,} rows of {TIMED * CHUNK} services; must: a minute on 2 cores"
    )
    print()
    print("| what | figure |")
    print("|---|---:|")
    print(
        f"| {SERVICES:,} services x {DAYS} days x 5 min, core seconds over {CORES} cores | {figures['seconds']:.1f} |"
    )
    print(f"| the same, one process, wall seconds | {figures['wall_seconds_one_process']:.1f} |")
    print(
        f"| peak memory, with the samples of {CHUNK} services and simulating them (GiB) | {figures['peak_gib']:.2f} |"
    )
    return figures


if __name__ == "__main__":
    main()
