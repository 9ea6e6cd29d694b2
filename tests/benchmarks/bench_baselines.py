"""Baselines of 30 days at 5 min, all series at once, beside statsmodels' STL series by series."""

import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from statsmodels.tsa.seasonal import STL

from core.durations import DAY_S
from models.baseline.baselines import fit_baselines
from models.series.grid import Grid

STEP_S, DAYS, PERIOD = 300, 30, 288
MONDAY_S = 1_767_571_200
SAMPLE = 3


@dataclass(frozen=True)
class Row:
    what: str
    series: int
    seconds: float
    ms_per_series: float
    times_faster: float | None = None
    peak_gib: float | None = None


def fleet(series: int) -> np.ndarray:
    """A daily and weekly course with noise, different in every series; NumPy float64 (series, steps)."""
    rng = np.random.default_rng(series)
    times_s = MONDAY_S + STEP_S * np.arange(DAYS * PERIOD)
    day = np.sin(2 * np.pi * times_s / DAY_S)
    weekend = (times_s - MONDAY_S) // DAY_S % 7 >= 5
    values = rng.normal(0, 1, (series, times_s.size))
    values += rng.uniform(1, 5, (series, 1)) * day - rng.uniform(0, 3, (series, 1)) * weekend
    values += 50
    return values


def main(series: tuple[int, ...] = (100, 1000, 10_000)) -> list[Row]:
    """Measure and print a table; the peak of memory holds the values themselves too."""
    fit_baselines(Grid(np.arange(2), MONDAY_S, STEP_S, fleet(2)))  # compiles
    sample = fleet(SAMPLE)
    began = time.perf_counter()
    for one in sample:
        STL(one, period=PERIOD).fit()
    stl_s = (time.perf_counter() - began) / SAMPLE
    results = [Row("statsmodels STL, not robust, daily season only", SAMPLE, stl_s * SAMPLE, 1000 * stl_s)]
    for count in series:
        values = fleet(count)
        began = time.perf_counter()
        fit_baselines(Grid(np.arange(count), MONDAY_S, STEP_S, values))
        seconds = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        results.append(
            Row("Forewarn, robust, daily and weekly, shifts, bands", count, seconds, 1000 * seconds / count,
                stl_s / (seconds / count), peak)
        )  # fmt: skip
    print("| what | series | seconds | ms a series | times faster | peak GiB |")
    print("|---|---|---|---|---|---|")
    for row in results:
        faster = "" if row.times_faster is None else f"{row.times_faster:.0f}"
        peak_text = "" if row.peak_gib is None else f"{row.peak_gib:.1f}"
        print(
            f"| {row.what} | {row.series} | {row.seconds:.2f} | {row.ms_per_series:.2f} | {faster} | {peak_text} |"
        )
    return results


if __name__ == "__main__":
    main(tuple(int(count) for count in sys.argv[1:]) or (100, 1000, 10_000))
