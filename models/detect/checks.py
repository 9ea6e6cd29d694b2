"""Checks of the contract of detectors, as functions that raise AssertionError. They are installed, so that people who
write a detector can check it.

`check_detector` runs all of them. Tests have a broken detector for each check, which must fail it.
"""

import io
from collections.abc import Callable

import numpy as np

from core.arrays import FloatArray
from core.errors import InsufficientDataError
from models.detect.protocols import Detector


def _quiet(n: int = 600, seed: int = 7) -> FloatArray:
    values: FloatArray = np.random.default_rng(seed).normal(10.0, 2.0, n)
    return values


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise AssertionError(text)


def check_scores_have_the_shape_of_the_values(detector: Detector) -> None:
    scores = detector.fit(_quiet()).score(_quiet(50, seed=8))
    _require(scores.shape == (50,) and scores.dtype == np.float64, "scores must be float64, one a value")


def check_an_outlier_scores_higher_than_the_usual(detector: Detector) -> None:
    values = _quiet(200, seed=9)
    values[150] = 60.0
    scores = detector.fit(_quiet()).score(values)
    _require(
        bool(scores[150] >= np.nanquantile(scores[:150], 0.99)),
        "a value 25 sigma away must score among the highest",
    )


def check_missing_scores_nan_and_never_zero(detector: Detector) -> None:
    values = _quiet(50, seed=8)
    values[20] = np.nan
    scores = detector.fit(_quiet()).score(values)
    _require(bool(np.isnan(scores[20])), "a missing value must score NaN")
    _require(bool(np.isfinite(scores[40:]).all()), "values well after a gap must be scored")


def check_learning_skips_missing(detector: Detector) -> None:
    history = _quiet()
    history[::7] = np.nan
    scores = detector.fit(history).score(_quiet(50, seed=8))
    _require(bool(np.isfinite(scores[-10:]).all()), "missing values in the history must not spoil the scores")


def check_the_future_never_changes_a_past_score(detector: Detector) -> None:
    values = _quiet(120, seed=8)
    fitted = detector.fit(_quiet())
    whole, part = fitted.score(values), fitted.score(values[:80])
    values[80:] = 1e6
    changed = fitted.score(values)
    _require(np.array_equal(whole[:80], part, equal_nan=True), "scores must not depend on how much follows")
    _require(
        np.array_equal(whole[:80], changed[:80], equal_nan=True), "scores must not depend on what follows"
    )


def check_scoring_and_learning_mutate_nothing(detector: Detector) -> None:
    history, values = _quiet(), _quiet(50, seed=8)
    kept_history, kept_values = history.copy(), values.copy()
    fitted = detector.fit(history)
    before = fitted.score(values)
    fitted.update(values)
    _require(np.array_equal(history, kept_history), "fit must not change its input")
    _require(np.array_equal(values, kept_values), "score and update must not change their input")
    _require(
        np.array_equal(before, fitted.score(values), equal_nan=True), "score must not change the detector"
    )


def check_the_same_data_gives_the_same_scores(detector: Detector) -> None:
    values = _quiet(50, seed=8)
    one, other = detector.fit(_quiet()).score(values), detector.fit(_quiet()).score(values)
    _require(np.array_equal(one, other, equal_nan=True), "two fits of the same data must score the same")


def check_too_little_history_is_refused(detector: Detector) -> None:
    try:
        detector.fit(_quiet(detector.min_points - 1))
    except InsufficientDataError:
        return
    raise AssertionError("fit must raise InsufficientDataError below min_points")


def check_arrays_bring_it_back(detector: Detector) -> None:
    fitted, values = detector.fit(_quiet()), _quiet(50, seed=8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **fitted.to_arrays())
    buffer.seek(0)
    with np.load(buffer, allow_pickle=False) as stored:
        back = detector.from_arrays({name: stored[name] for name in stored.files})
    _require(
        np.array_equal(fitted.score(values), back.score(values), equal_nan=True),
        "a detector made from its arrays must score the same",
    )


def check_a_constant_history_can_be_learned(detector: Detector) -> None:
    fitted = detector.fit(np.full(200, 5.0))
    same = fitted.score(np.full(20, 5.0))
    _require(not np.isinf(same).any(), "a constant must not score infinity")
    other = fitted.score(np.array([5.0, 9.0]))
    _require(bool(other[1] >= other[0]), "another value than the constant must not score lower")


def check_memory_does_not_grow(detector: Detector) -> None:
    fitted = detector.fit(_quiet())
    for seed in range(3):
        fitted = fitted.update(_quiet(400, seed=seed))
    first = sum(array.size for array in fitted.to_arrays().values())
    for seed in range(6):
        fitted = fitted.update(_quiet(400, seed=100 + seed))
    last = sum(array.size for array in fitted.to_arrays().values())
    _require(last <= 1.2 * first, f"update must not grow the state, it went from {first} to {last} numbers")


CHECKS: tuple[Callable[[Detector], None], ...] = (
    check_scores_have_the_shape_of_the_values,
    check_an_outlier_scores_higher_than_the_usual,
    check_missing_scores_nan_and_never_zero,
    check_learning_skips_missing,
    check_the_future_never_changes_a_past_score,
    check_scoring_and_learning_mutate_nothing,
    check_the_same_data_gives_the_same_scores,
    check_too_little_history_is_refused,
    check_arrays_bring_it_back,
    check_a_constant_history_can_be_learned,
    check_memory_does_not_grow,
)


def check_detector(detector: Detector) -> None:
    """Run every check.

    Raises:
        AssertionError: the first check that failed.
    """
    for check in CHECKS:
        check(detector)
