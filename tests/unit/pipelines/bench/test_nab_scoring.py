"""NAB's score by its published rules."""

import numpy as np
import pytest

from pipelines.bench.nab_scoring import PROFILES, NabSeries, best_threshold, nab_scores, probation

WINDOWS = ((300, 399), (700, 749))


def corpus(scores: np.ndarray) -> list[NabSeries]:
    return [NabSeries(scores, WINDOWS), NabSeries(np.zeros(1000), ())]


def test_never_to_speak_scores_0_and_a_perfect_detector_100() -> None:
    assert nab_scores(corpus(np.full(1000, 0.5))) == dict.fromkeys(
        ("standard", "reward_low_fp", "reward_low_fn"), 0.0
    )
    perfect = np.zeros(1000)
    perfect[[300, 700]] = 1.0
    assert all(score == pytest.approx(100.0) for score in nab_scores(corpus(perfect)).values())


def test_the_probation_of_a_file_has_an_end() -> None:
    assert probation(1000) == 150
    assert probation(22_695) == 750


def plain_score(
    series: list[NabSeries], threshold: float, false_positive: float, false_negative: float
) -> float:
    """The rules row by row, as the benchmark's own sweeper reads."""
    total, windows = 0.0, 0

    def sigmoid(x: float) -> float:
        return -1.0 if x > 3 else 2 / (1 + np.exp(5 * x)) - 1

    for one in series:
        best = [-false_negative] * len(one.windows)
        windows += len(one.windows)
        for row in range(probation(one.scores.size), one.scores.size):
            if one.scores[row] < threshold:
                continue
            inside = [k for k, (first, last) in enumerate(one.windows) if first <= row <= last]
            if inside:
                first, last = one.windows[inside[0]]
                gain = sigmoid(-(last - row + 1) / (last - first + 1)) / sigmoid(-1.0)
                best[inside[0]] = max(best[inside[0]], gain)
                continue
            before = [(first, last) for first, last in one.windows if last < row]
            worth = sigmoid((row - before[-1][1]) / (before[-1][1] - before[-1][0])) if before else -1.0
            total += worth * false_positive
        total += sum(best)
    null = -false_negative * windows
    return 100 * (total - null) / (windows - null)


def test_the_best_threshold_is_the_best_of_all_by_the_rules_row_by_row() -> None:
    rng = np.random.default_rng(2)
    scores = rng.random(1000)
    scores[[310, 720, 760]] += 0.5
    series = corpus(np.round(scores, 2))
    for profile in PROFILES:
        thresholds = np.unique(np.round(scores, 2))
        plain = [
            plain_score(series, cut, profile.false_positive, profile.false_negative) for cut in thresholds
        ]
        assert best_threshold(series, profile)[1] == pytest.approx(max(0.0, *plain))
