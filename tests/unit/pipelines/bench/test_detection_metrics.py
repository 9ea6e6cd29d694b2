"""The measures agree with the libraries and with slow, plain versions of themselves."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from pipelines.bench.detection_metrics import average_precision, count_events, ranges, vus_pr


def labelled(n: int = 2000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = np.zeros(n, dtype=bool)
    for first in rng.integers(0, n - 40, 6):
        label[first : first + rng.integers(1, 30)] = True
    return rng.random(n) + 0.3 * label, label


@pytest.mark.parametrize("digits", [1, 2, 9])
def test_average_precision_is_that_of_scikit_learn(digits: int) -> None:
    score, label = labelled()
    score = np.round(score, digits)
    assert average_precision(score, label) == pytest.approx(average_precision_score(label, score))


def plain_vus_pr(score: np.ndarray, label: np.ndarray, window: int) -> float:
    """The reference implementation's steps one by one (TSB-AD, RangeAUC_volume_opt)."""
    segments, n, total = ranges(label), label.size, 0.0
    falling = np.sort(score)[::-1]
    for width in range(window + 1):
        soft = label.astype(float)
        for first, last in segments:
            for i in range(last + 1, min(last + width // 2 + 1, n)):
                soft[i] += np.sqrt(1 - (i - last) / width)
            for i in range(max(first - width // 2, 0), first):
                soft[i] += np.sqrt(1 - (first - i) / width)
        soft = np.minimum(soft, 1)
        merged: list[list[int]] = []
        for first, last in segments:
            low, high = max(first - width // 2, 0), min(last + width // 2, n - 1)
            if merged and low <= merged[-1][1]:
                merged[-1][1] = high
            else:
                merged.append([low, high])
        before = 0.0
        for i in np.linspace(0, n - 1, 250).astype(int):
            flagged = score >= falling[i]
            seen = np.where(label, 1.0, soft * flagged)
            true = float(np.sum(seen[flagged]))
            recall = min(true / ((label.sum() + seen.sum()) / 2), 1.0)
            recall *= np.mean([flagged[low : high + 1].any() for low, high in merged])
            total += (recall - before) * true / flagged.sum()
            before = recall
    return total / (window + 1)


def test_vus_pr_is_that_of_the_reference_steps() -> None:
    score, label = labelled(600)
    assert vus_pr(score, label, 12) == pytest.approx(plain_vus_pr(score, label, 12), abs=1e-9)


def test_a_perfect_score_beats_a_random_one_and_nothing_labelled_is_nan() -> None:
    score, label = labelled()
    assert vus_pr(label.astype(float), label, 10) > vus_pr(score, label, 10)
    assert np.isnan(vus_pr(score, np.zeros_like(label)))
    assert np.isnan(average_precision(score, np.zeros_like(label)))


def test_events_count_once_and_delays_from_their_start() -> None:
    label, flagged = np.zeros(100, dtype=bool), np.zeros(100, dtype=bool)
    label[20:30] = label[60:65] = True
    flagged[[23, 24, 27, 80, 81]] = True
    counts = count_events(flagged, label, 60 * np.arange(100), join_s=300)
    assert (counts.events, counts.found, counts.alarms, counts.true_alarms) == (2, 1, 2, 1)
    assert counts.delays_s == (180.0,)
    both = counts + counts
    assert (both.precision, both.recall, both.f1) == (0.5, 0.5, 0.5)
