"""Isolation Forest, 100 trees, 12 features: one row, and 20,000 rows, beside scikit-learn with the same forest."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from sklearn.ensemble import IsolationForest as Forest

from models.detect.detectors.isolation_forest import from_sklearn


@dataclass(frozen=True)
class Row:
    rows: int
    scikit_learn_ms: float
    forewarn_ms: float
    largest_difference: float

    @property
    def times_faster(self) -> float:
        return self.scikit_learn_ms / self.forewarn_ms


def main() -> list[Row]:
    """Measure and print a table."""
    rng = np.random.default_rng(0)
    forest = Forest(n_estimators=100, random_state=0).fit(rng.normal(size=(5000, 12)))
    ours = from_sklearn(forest, np.zeros(12))
    results = []
    for rows in (1, 256, 20_000):
        values = rng.normal(size=(rows, 12))
        theirs, mine = -forest.score_samples(values), ours.score(values)
        results.append(
            Row(
                rows,
                1000 * best(partial(forest.score_samples, values), 5),
                1000 * best(partial(ours.score, values), 50 if rows < 1000 else 5),
                float(np.abs(theirs - mine).max()),
            )
        )
    print("| rows | scikit-learn ms | Forewarn ms | times faster | largest difference |")
    print("|---|---|---|---|---|")
    for row in results:
        print(
            f"| {row.rows} | {row.scikit_learn_ms:.2f} | {row.forewarn_ms:.3f} | {row.times_faster:.1f} "
            f"| {row.largest_difference:.1e} |"
        )
    return results


def best(run: Callable[[], object], repeats: int) -> float:
    """The least of several times, in seconds: what the work takes when nothing else disturbs it."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


if __name__ == "__main__":
    main()
