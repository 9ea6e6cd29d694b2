"""The check suite runs over every detector, and fails every broken dummy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from core.errors import InsufficientDataError
from models.detect.catalog import detector_classes
from models.detect.checks import CHECKS
from models.detect.detectors.zscore import FittedZScore, ZScore


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", detector_classes())
def test_every_detector_passes_every_check(name: str, check: Callable[[Any], None]) -> None:
    check(detector_classes()[name]())


@dataclass(frozen=True)
class Broken:
    """A z-score that one thing is wrong with."""

    fault: str
    name = "broken"
    min_points = 12

    def fit(self, values: Any) -> "BrokenFitted":
        if self.fault == "mutates":
            values[0] = 0.0
        if self.fault == "greedy":
            return BrokenFitted(self.fault, ZScore().fit(np.resize(values, 600)))
        if self.fault == "nan history":
            return BrokenFitted(self.fault, FittedZScore(len(values), float(values.mean()), 1.0))
        inner = ZScore().fit(values)
        if self.fault == "infinite":
            inner = FittedZScore(inner.count, inner.mean, 1e-300 if inner.squares == 0 else inner.squares)
        return BrokenFitted(self.fault, inner)

    def from_arrays(self, arrays: Any) -> "BrokenFitted":
        return BrokenFitted(self.fault, ZScore().from_arrays(arrays))


@dataclass
class BrokenFitted:
    fault: str
    inner: FittedZScore
    grown: int = 0

    def score(self, values: Any) -> Any:
        scores = self.inner.score(values)
        match self.fault:
            case "shape":
                return scores[:-1]
            case "sign":
                return -scores
            case "zero for missing":
                return np.nan_to_num(scores)
            case "looks ahead":
                return scores / np.nanmax(scores)
            case "random":
                return scores + np.random.default_rng().normal(size=scores.size)
            case "infinite":
                return np.where(scores == 0, np.inf, scores)
        return scores

    def update(self, values: Any) -> "BrokenFitted":
        return BrokenFitted(self.fault, self.inner, self.grown + len(values))

    def to_arrays(self) -> Any:
        if self.fault == "forgets":
            return {"state": np.array([1.0, 0.0, 1.0])}
        if self.fault == "grows":
            return {**self.inner.to_arrays(), "kept": np.zeros(self.grown)}
        return self.inner.to_arrays()


@pytest.mark.parametrize(
    ("check", "fault"),
    list(
        zip(
            CHECKS,
            ["shape", "sign", "zero for missing", "nan history", "looks ahead", "mutates", "random", "greedy",
             "forgets", "infinite", "grows"],
            strict=True,
        )
    ),
    ids=lambda value: getattr(value, "__name__", value),
)  # fmt: skip
def test_each_check_fails_the_dummy_made_for_it(check: Callable[[Any], None], fault: str) -> None:
    with pytest.raises((AssertionError, ValueError)):
        check(Broken(fault))


def test_a_detector_without_enough_history_says_how_much_it_needs() -> None:
    with pytest.raises(InsufficientDataError, match="zscore needs 12 values to learn from, got 3"):
        ZScore().fit(np.arange(3, dtype=np.float64))
