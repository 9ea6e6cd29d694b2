"""False alarms and delay of the comparison of replicas, on simulated cross-sections. Takes about ten minutes.

python tests/benchmarks/bench_replicas.py           both tables
python tests/benchmarks/bench_replicas.py alarms    findings for each replica and 30 days
python tests/benchmarks/bench_replicas.py delays    share of changed replicas that are found in time
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from core.arrays import FloatArray
from core.domain import Direction
from models.peers.comparison import compare, outlier_episodes

STEP_S, DAY_STEPS, HOUR_STEPS = 300, 288, 12
DAYS, PAST_DAYS, WINDOW = 13, 3, 24
SIZES = (4, 12, 50)
#: The comparison is made every 25 min: a finding lasts so long at least.
STRIDE = 5
LEAST = 0.05
SOON, TRIALS = 3, 40
CHANGES = {"x 2": 2.0, "x 3": 3.0, "x 10": 10.0, "to 0": 0.0}

Values = Callable[[np.random.Generator, int], FloatArray]


@dataclass(frozen=True)
class Kind:
    """How the values of replicas vary: `values` returns replicas x steps."""

    name: str
    values: Values


def _course(steps: int) -> FloatArray:
    hours = np.arange(steps) / HOUR_STEPS
    return np.asarray(1.0 + 0.6 * np.sin(2 * np.pi * hours / 24))


def _normal(share: float) -> Values:
    def values(rng: np.random.Generator, n: int) -> FloatArray:
        noise: FloatArray = rng.normal(size=(n, DAYS * DAY_STEPS))
        return np.asarray(_course(DAYS * DAY_STEPS) * (1 + share * noise))

    return values


def _heavy(rng: np.random.Generator, n: int) -> FloatArray:
    tails = rng.standard_t(3, size=(n, DAYS * DAY_STEPS))
    return np.asarray(_course(DAYS * DAY_STEPS) * np.exp(0.15 * np.clip(tails, -12, 12)))


def _slow(rng: np.random.Generator, n: int) -> FloatArray:
    """Each replica wanders by 20 % around the others, for hours."""
    noise = rng.normal(size=(n, DAYS * DAY_STEPS))
    state = np.zeros(n)
    out = np.empty_like(noise)
    for step in range(noise.shape[1]):
        state = 0.97 * state + np.sqrt(1 - 0.97**2) * noise[:, step]
        out[:, step] = state
    return np.asarray(_course(out.shape[1]) * np.exp(0.2 * out))


def _offsets(rng: np.random.Generator, n: int) -> FloatArray:
    """Replicas on different hardware; one of them is at three times the others."""
    factors = rng.uniform(0.6, 1.4, n)
    factors[0] = 3.0
    return np.asarray(_normal(0.1)(rng, n) * factors[:, None])


def _nightly(rng: np.random.Generator, n: int) -> FloatArray:
    """One replica has a job every night that takes an hour and four times the usual."""
    values = _normal(0.1)(rng, n)
    hour = np.arange(values.shape[1]) % DAY_STEPS // HOUR_STEPS
    values[0, hour == 2] *= 4
    return values


def _poisson(mean: float) -> Values:
    def values(rng: np.random.Generator, n: int) -> FloatArray:
        counts = rng.poisson(mean * _course(DAYS * DAY_STEPS), size=(n, DAYS * DAY_STEPS))
        return counts.astype(np.float64)

    return values


def _errors(rng: np.random.Generator, n: int) -> FloatArray:
    """Error ratio of 300 requests in a step of which one in a thousand fails: mostly 0."""
    return np.asarray(rng.poisson(0.3, size=(n, DAYS * DAY_STEPS)) / 300)


def _saw(rng: np.random.Generator, n: int) -> FloatArray:
    """Memory that a garbage collector empties, at another time in each replica."""
    period = rng.integers(30, 80, size=(n, 1))
    phase = rng.integers(0, 80, size=(n, 1))
    return np.asarray(0.6 + ((np.arange(DAYS * DAY_STEPS)[None, :] + phase) % period) / period)


def _churn(rng: np.random.Generator, n: int) -> FloatArray:
    """Pods live for a day or so; each is 10 % different, starts with twice the level, and ends without traffic."""
    steps = DAYS * DAY_STEPS
    base = _normal(0.08)(rng, 1)[0]
    rows = []
    alive = np.full(n, 0)
    while alive.min() < steps:
        row = int(alive.argmin())
        born, died = int(alive[row]), min(steps, int(alive[row] + rng.integers(60, 500)))
        values = np.full(steps, np.nan)
        life = np.arange(died - born)
        warm = 1 + 1.5 * np.exp(-life / 2.0)
        noise = 1 + 0.08 * rng.normal(size=len(life))
        values[born:died] = base[born:died] * noise * warm * rng.uniform(0.9, 1.1)
        values[max(died - 1, born) : died] *= 0.1
        rows.append(values)
        alive[row] = died
    return np.array(rows)


KINDS = (
    Kind("normal, 2 %", _normal(0.02)),
    Kind("normal, 10 %", _normal(0.10)),
    Kind("normal, 30 %", _normal(0.30)),
    Kind("heavy tails (Student 3)", _heavy),
    Kind("wanders by 20 % for hours", _slow),
    Kind("one replica at 3 x the others", _offsets),
    Kind("nightly job of one replica", _nightly),
    Kind("saw teeth (garbage collection)", _saw),
    Kind("counts of 3 in the mean", _poisson(3.0)),
    Kind("counts of 0.1 in the mean", _poisson(0.1)),
    Kind("error ratio, mostly 0", _errors),
    Kind("pods live for a day", _churn),
)


def windows(values: FloatArray) -> Iterator[tuple[int, FloatArray, FloatArray]]:
    """The end of each window, its values, and the hourly values of the days before it."""
    for end in range(PAST_DAYS * DAY_STEPS + WINDOW, values.shape[1], STRIDE):
        start = end - WINDOW
        hours = np.arange(start - PAST_DAYS * DAY_STEPS, start, HOUR_STEPS)
        here = ~np.isnan(values[:, start:end]).all(axis=1)
        yield end, values[here][:, start:end], values[here][:, hours]


def false_alarms(values: FloatArray, *, without_past: bool = False) -> float:
    """Findings for each replica and 30 days."""
    found, replica_steps = set(), 0
    open_until: dict[int, int] = {}
    for end, recent, past in windows(values):
        rows = np.flatnonzero(~np.isnan(values[:, end - WINDOW : end]).all(axis=1))
        past = np.full_like(past, np.nan) if without_past else past
        strength = compare(recent, past, least=LEAST, direction=Direction.BOTH).strength
        replica_steps += len(rows) * STRIDE
        for row in np.flatnonzero((np.abs(np.nan_to_num(strength)) >= 1).any(axis=1)):
            for one in outlier_episodes(strength[row]):
                name = int(rows[row])
                if one.is_open:
                    if open_until.get(name, -WINDOW) < end - WINDOW:
                        found.add((name, end))
                    open_until[name] = end
    return len(found) * 30 * DAY_STEPS / replica_steps


def delays(values: FloatArray, factor: float, rng: np.random.Generator) -> tuple[float, float]:
    """Share of changed replicas that are found within 15 min, and within an hour."""
    found = {SOON: 0, HOUR_STEPS: 0}
    for _ in range(TRIALS):
        onset = int(rng.integers(PAST_DAYS * DAY_STEPS + WINDOW, values.shape[1] - HOUR_STEPS))
        row = int(rng.integers(1, len(values)))
        changed = values.copy()
        changed[row, onset:] *= factor
        for after in found:
            start = onset + after - WINDOW
            hours = np.arange(start - PAST_DAYS * DAY_STEPS, start, HOUR_STEPS)
            recent, past = changed[:, start : onset + after], changed[:, hours]
            strength = compare(recent, past, least=LEAST, direction=Direction.BOTH).strength
            found[after] += any(one.is_open for one in outlier_episodes(strength[row]))
    return found[SOON] / TRIALS, found[HOUR_STEPS] / TRIALS


def show_false_alarms() -> None:
    """Print findings for each replica and 30 days."""
    print("Findings for each replica and 30 days, while nothing is wrong:\n")
    print("| values | " + " | ".join(f"{size} replicas" for size in SIZES) + " | 6, no past |")
    print("|---|" + "---:|" * (len(SIZES) + 1))
    for kind in KINDS:
        cells = []
        for size in SIZES:
            values = kind.values(np.random.default_rng(size), size)
            cells.append(f"{false_alarms(values):.2f}")
        values = kind.values(np.random.default_rng(6), 6)
        cells.append(f"{false_alarms(values, without_past=True):.2f}")
        print(f"| {kind.name} | " + " | ".join(cells) + " |", flush=True)


def show_delays() -> None:
    """Print how many changed replicas are found within 15 min, and within an hour."""
    print("\nShare of changed replicas that are found within 15 min (within an hour):\n")
    print("| values | replicas | " + " | ".join(CHANGES) + " |")
    print("|---|---:|" + "---:|" * len(CHANGES))
    for kind in KINDS[:8]:
        for size in SIZES[:2]:
            values = kind.values(np.random.default_rng(size), size)
            rng = np.random.default_rng(1)
            shares = [delays(values, factor, rng) for factor in CHANGES.values()]
            cells = [f"{soon:.0%} ({late:.0%})" for soon, late in shares]
            print(f"| {kind.name} | {size} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    if "delays" not in sys.argv:
        show_false_alarms()
    if "alarms" not in sys.argv:
        show_delays()
