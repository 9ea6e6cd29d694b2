"""How many values a second each detector scores, on one core."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from models.detect.catalog import detector_classes

#: Detectors by distance are measured on fewer values: their speed does not depend on how many.
MANY, FEW = 1_000_000, 20_000
STATISTICAL = ("zscore", "mad", "ewma", "holt_winters")


@dataclass(frozen=True)
class Row:
    detector: str
    values: int
    values_per_s: float


def main() -> list[Row]:
    """Measure and print a table."""
    rng = np.random.default_rng(0)
    history, many = rng.normal(size=2000), rng.normal(size=MANY)
    results = []
    for name, detector in detector_classes().items():
        values = many if name in STATISTICAL or name == "stream" else many[:FEW]
        fitted = detector().fit(history)
        fitted.score(values[:100])  # compiles
        times = []
        for _ in range(3):
            began = time.perf_counter()
            fitted.score(values)
            times.append(time.perf_counter() - began)
        results.append(Row(name, values.size, values.size / min(times)))
    print("| detector | values | values a second |")
    print("|---|---|---|")
    for row in sorted(results, key=lambda row: -row.values_per_s):
        print(f"| {row.detector} | {row.values} | {row.values_per_s:,.0f} |")
    return results


if __name__ == "__main__":
    main()
