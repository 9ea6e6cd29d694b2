"""Who costs more must earn its say, on days that it has not learned from; what a whole fleet says counts too."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from core.arrays import FloatArray
from core.errors import InsufficientDataError
from models.forecast.checks import example
from models.forecast.choice.candidates import (
    MAX_CANDIDATE_WEIGHT,
    Candidate,
    errors_by_weight,
    with_candidates,
)
from models.forecast.choice.selection import Plan, kept_back, select
from models.forecast.libraries.prophet import ProphetForecaster
from models.forecast.protocols import Bounds, FittedForecaster, History

PLAN = Plan()


@dataclass(frozen=True)
class Oracle:
    """Knows the noise-free course of `example`, or, when it is no good, its opposite."""

    good: bool
    name: str = "oracle"
    least: int = 0

    def fit(self, history: History) -> FittedForecaster:
        if len(history) < self.least:
            raise InsufficientDataError("too short for the oracle")
        return OracleFitted(len(history), self.good)


@dataclass(frozen=True)
class OracleFitted:
    known: int
    good: bool

    def predict(self, horizon_steps: int) -> FloatArray:
        t = np.arange(self.known, self.known + horizon_steps)
        sign = 1.0 if self.good else -1.0
        return np.asarray(100 + sign * 20 * np.sin(2 * np.pi * t / 24), dtype=np.float64)


def test_a_candidate_that_helps_gets_a_say_and_the_record_says_how_much() -> None:
    choice = with_candidates(
        select(example(), PLAN), example(), PLAN, [Candidate(forecaster=Oracle(good=True))]
    )
    assert choice.weights["oracle"] == pytest.approx(0.2)
    assert sum(choice.weights.values()) == pytest.approx(1.0)
    assert "oracle has a weight of 20%" in choice.reason


def test_a_candidate_that_does_not_help_has_none() -> None:
    before = select(example(), PLAN)
    choice = with_candidates(before, example(), PLAN, [Candidate(forecaster=Oracle(good=False))])
    assert choice.weights == before.weights
    assert "too little for its cost" in choice.reason


def test_several_together_never_outvote_the_pool_by_more_than_one_could() -> None:
    fleet_errors = {0.0: 1.0, 0.2: 0.9, 0.4: 0.8, 0.6: 0.7}
    candidates = [
        Candidate(forecaster=Oracle(good=True, name=name), fleet_errors=fleet_errors)
        for name in ("first", "second")
    ]
    choice = with_candidates(select(example(), PLAN), example(), PLAN, candidates)
    assert choice.weights["first"] == choice.weights["second"] == pytest.approx(MAX_CANDIDATE_WEIGHT / 2)
    assert sum(choice.weights.values()) == pytest.approx(1.0)


def test_what_the_fleet_says_moves_the_share_of_one_series() -> None:
    fleet = {0.0: 1.0, 0.2: 1.5, 0.4: 2.0, 0.6: 3.0}
    candidate = Candidate(forecaster=Oracle(good=True), fleet_errors=fleet)
    choice = with_candidates(select(example(), PLAN), example(), PLAN, [candidate])
    assert "oracle" not in choice.weights


def test_intervals_are_narrower_by_what_the_error_is_expected_to_fall() -> None:
    fleet_errors = {0.0: 1.0, 0.2: 0.9, 0.4: 0.8, 0.6: 0.7}
    before = select(example(), PLAN)
    after = with_candidates(
        before, example(), PLAN, [Candidate(forecaster=Oracle(good=True), fleet_errors=fleet_errors)]
    )
    yhat, free = np.full(24, 100.0), Bounds()
    (low, high), (lower, higher) = (one.errors.interval(yhat, 0.8, free) for one in (after, before))
    assert 0.5 < float(np.mean(high - low) / np.mean(higher - lower)) < 0.8


def test_what_is_tried_may_know_less_than_what_forecasts() -> None:
    candidate = Candidate(forecaster=Oracle(good=True), tried_as=Oracle(good=False))
    choice = with_candidates(select(example(), PLAN), example(), PLAN, [candidate])
    assert "oracle" not in choice.weights


def test_only_the_newest_days_are_tried_and_each_from_its_own_past() -> None:
    history = example()
    weights = select(history, PLAN).before
    first = len(history) - kept_back(history, PLAN)
    early = Candidate(forecaster=Oracle(good=True, least=first))
    late = Candidate(forecaster=Oracle(good=True, least=len(history) + 1))
    assert errors_by_weight(weights, history, PLAN, early)[0.6] < 1
    assert errors_by_weight(weights, history, PLAN, late) == {}


def test_a_constant_leaves_nothing_to_gain() -> None:
    constant = replace(example(), values=np.full(24 * 21, 7.0))
    choice = with_candidates(
        select(constant, PLAN), constant, PLAN, [Candidate(forecaster=Oracle(good=True))]
    )
    assert "oracle" not in choice.weights
    assert "could not be tried" in choice.reason


def test_without_candidates_the_choice_still_knows_its_weights_of_before() -> None:
    before = select(example(), PLAN)
    assert before.before
    assert with_candidates(before, example(), PLAN, []) == before


def test_a_series_too_short_for_a_backtest_keeps_what_it_has() -> None:
    short = replace(example(), values=np.arange(9, dtype=np.float64))
    before = select(short, PLAN)
    assert with_candidates(before, short, PLAN, [Candidate(forecaster=ProphetForecaster())]) == before
