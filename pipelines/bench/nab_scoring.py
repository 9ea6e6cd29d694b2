"""The score of the Numenta Anomaly Benchmark (NAB), by its published rules.

An early detection inside a labelled window earns up to 1, a missed window costs 1 (or 2), every flagged value
outside costs up to 0.11 (or 0.22), depending on its distance from the last window. All series share one threshold,
the best for the profile. A detector that never flags a value scores 0, a perfect one scores 100.

References:
    Lavin and Ahmad (2015), Evaluating real-time anomaly detection algorithms: the Numenta Anomaly Benchmark,
    ICMLA. The sweep follows `nab/sweeper.py` of the benchmark's own repository.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.arrays import FloatArray

PROBATION_SHARE = 0.15
PROBATION_MOST = 750  # 15 % of 5,000 rows


@dataclass(frozen=True, slots=True)
class NabProfile:
    """The cost of a false positive and of a missed window; a found window earns up to 1."""

    name: str
    false_positive: float
    false_negative: float


PROFILES = (
    NabProfile("standard", 0.11, 1.0),
    NabProfile("reward_low_fp", 0.22, 1.0),
    NabProfile("reward_low_fn", 0.11, 2.0),
)


@dataclass(frozen=True, slots=True)
class NabSeries:
    """Scores of one file, one for each row, and the first and last row (inclusive) of each labelled window."""

    scores: FloatArray
    windows: tuple[tuple[int, int], ...]


def probation(rows: int) -> int:
    """The number of rows at the start of a file that are not scored."""
    return min(int(PROBATION_SHARE * rows), PROBATION_MOST)


def _sigmoid(position: FloatArray) -> FloatArray:
    """1 far before the end of a window, 0 at its end, -1 far behind it."""
    result: FloatArray = np.where(
        position > 3.0, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(position, 3.0))) - 1.0
    )
    return result


def _worth(series: NabSeries) -> tuple[FloatArray, np.ndarray]:
    """The unweighted value of a detection in each row, and the window of that row (-1: none)."""
    n = series.scores.size
    rows = np.arange(n)
    worth, window_of = np.full(n, -1.0), np.full(n, -1)
    for index, (first, last) in enumerate(series.windows):
        width = last - first + 1
        worth[first : last + 1] = _sigmoid(-(last - rows[first : last + 1] + 1) / width) / _sigmoid(
            np.array(-1.0)
        )
        window_of[first : last + 1] = index
        end = series.windows[index + 1][0] if index + 1 < len(series.windows) else n
        behind = rows[last + 1 : end]
        worth[last + 1 : end] = _sigmoid((behind - last) / max(width - 1, 1))
    return worth, window_of


def nab_scores(corpus: Sequence[NabSeries]) -> dict[str, float]:
    """The normalised score of each profile, by name; higher is better, 100 is the maximum."""
    return {profile.name: best_threshold(corpus, profile)[1] for profile in PROFILES}


def best_threshold(corpus: Sequence[NabSeries], profile: NabProfile) -> tuple[float, float]:
    """The threshold with the best score over all series, and that score; scores at or above it are detections."""
    windows = sum(len(series.windows) for series in corpus)
    scores, gains, names = [], [], []
    offset = 0
    for series in corpus:
        worth, window_of = _worth(series)
        scored = slice(probation(series.scores.size), None)
        inside = window_of >= 0
        gains.append(np.where(inside, worth, worth * profile.false_positive)[scored])
        names.append(np.where(inside, window_of + offset, -1)[scored])
        scores.append(np.nan_to_num(series.scores, nan=0.0)[scored])
        offset += len(series.windows)
    score, gain, name = np.concatenate(scores), np.concatenate(gains), np.concatenate(names)
    order = np.argsort(-score, kind="stable")
    score, gain, name = score[order], gain[order], name[order]
    best_of = np.full(windows, -profile.false_negative)
    # Within a window only the best detection counts: each row adds what it improves on the rows before.
    added = np.where(name < 0, gain, 0.0)
    for row in np.flatnonzero(name >= 0):
        better = gain[row] - best_of[name[row]]
        if better > 0:
            added[row] = better
            best_of[name[row]] = gain[row]
    null = -profile.false_negative * windows
    total = null + np.cumsum(added)
    last_of_tie = np.append(score[1:] != score[:-1], True)
    total, score = total[last_of_tie], score[last_of_tie]
    at = int(np.argmax(total))
    if total[at] <= null:  # no detection at all scores better than any threshold
        return float("inf"), 0.0
    return float(score[at]), 100.0 * float(total[at] - null) / (windows - null)
