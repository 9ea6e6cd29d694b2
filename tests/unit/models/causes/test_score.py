import doctest
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import models.causes.score
from core.diagnosis import (
    CauseKind,
    Evidence,
    EvidenceKind,
    FactorName,
    Hypothesis,
    IncidentState,
    PolicyDecision,
    ScoredHypothesis,
)
from core.errors import InputError
from models.causes.score import (
    NEXT_STATES,
    WEIGHTS,
    require_transition,
    score_hypotheses,
    score_hypothesis,
    sigma_of_probability,
)

ONSET = datetime(2026, 3, 2, 12, tzinfo=UTC)


def symptom(
    sigma: float | None = 3.0, *, source: str = "latency", supports: bool = True, strong: bool = True
) -> Evidence:
    return Evidence(
        kind=EvidenceKind.SYMPTOM,
        source=source,
        at=ONSET,
        text="",
        deviation_sigma=sigma,
        supports=supports,
        strong=strong,
    )


def change(kind: EvidenceKind, before_s: float) -> Evidence:
    return Evidence(kind=kind, source=kind, at=ONSET - timedelta(seconds=before_s), text="")


def hypothesis(*evidence: Evidence, **counts: int) -> Hypothesis:
    return Hypothesis(
        tenant="t",
        service="checkout",
        cause=CauseKind.DEPLOY,
        statement="bad deploy",
        evidence=evidence,
        **counts,
    )


def value(scored: ScoredHypothesis, name: FactorName) -> float:
    return next(factor.value for factor in scored.factors if factor.factor is name)


def test_the_docstring_examples_hold() -> None:
    assert doctest.testmod(models.causes.score).failed == 0


def test_the_weights_are_those_of_the_table_and_sum_to_one() -> None:
    assert list(WEIGHTS.values()) == [0.25, 0.20, 0.20, 0.20, 0.15]
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
    assert set(WEIGHTS) == set(FactorName)


@pytest.mark.parametrize(
    ("sigma", "expected"),
    [
        (None, 0.0),
        (0.0, 0.0),
        (0.999, 0.0),
        (1.0, 0.4),
        (1.999, 0.4),
        (2.0, 0.7),
        (2.999, 0.7),
        (3.0, 0.9),
        (40.0, 0.9),
        (-3.0, 0.9),
        (-1.5, 0.4),
        (float("inf"), 0.9),
    ],
)
def test_signal_strength_steps_at_one_two_and_three_sigma(sigma: float | None, expected: float) -> None:
    assert value(score_hypothesis(hypothesis(symptom(sigma))), FactorName.SIGNAL_STRENGTH) == expected


def test_the_strongest_symptom_counts() -> None:
    scored = score_hypothesis(hypothesis(symptom(1.0), symptom(3.2), symptom(2.0)))
    assert value(scored, FactorName.SIGNAL_STRENGTH) == 0.9


def test_a_symptom_that_contradicts_gives_no_strength() -> None:
    scored = score_hypothesis(hypothesis(symptom(5.0, supports=False)))
    assert value(scored, FactorName.SIGNAL_STRENGTH) == 0.0


@pytest.mark.parametrize(
    ("kind", "before_s", "expected"),
    [
        (EvidenceKind.DEPLOY, 0, 0.95),
        (EvidenceKind.DEPLOY, 299, 0.95),
        (EvidenceKind.DEPLOY, 300, 0.95),
        (EvidenceKind.DEPLOY, 301, 0.3),
        (EvidenceKind.DEPLOY, -1, 0.3),
        (EvidenceKind.CONFIG_CHANGE, 0, 0.85),
        (EvidenceKind.CONFIG_CHANGE, 1_800, 0.85),
        (EvidenceKind.CONFIG_CHANGE, 1_801, 0.3),
        (EvidenceKind.CONFIG_CHANGE, -60, 0.3),
        (EvidenceKind.REPORT, 10, 0.3),
    ],
)
def test_temporal_correlation_needs_the_change_to_come_first_and_soon(
    kind: EvidenceKind, before_s: float, expected: float
) -> None:
    scored = score_hypothesis(hypothesis(symptom(), change(kind, before_s)))
    assert value(scored, FactorName.TEMPORAL_CORRELATION) == expected


def test_a_deploy_wins_over_a_config_change() -> None:
    evidence = symptom(), change(EvidenceKind.CONFIG_CHANGE, 5), change(EvidenceKind.DEPLOY, 200)
    assert value(score_hypothesis(hypothesis(*evidence)), FactorName.TEMPORAL_CORRELATION) == 0.95


@pytest.mark.parametrize(
    ("precedents", "expected"),
    [(0, 0.3), (1, 0.5), (2, 0.5), (3, 0.7), (9, 0.7), (10, 0.9), (500, 0.9)],
)
def test_precedents_step_at_one_three_and_ten(precedents: int, expected: float) -> None:
    scored = score_hypothesis(hypothesis(precedents=precedents))
    assert value(scored, FactorName.PRECEDENT_FREQUENCY) == expected


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        ((), 0.4),
        ((symptom(strong=False),), 0.4),
        ((symptom(strong=False), symptom(strong=False, source="errors")), 0.4),
        ((symptom(),), 0.7),
        ((symptom(), symptom()), 0.7),
        ((symptom(), symptom(source="errors", strong=False)), 0.7),
        ((symptom(), symptom(source="errors")), 0.95),
        ((symptom(), symptom(source="errors"), symptom(source="cpu", supports=False)), 0.4),
    ],
)
def test_evidence_quality_counts_independent_strong_sources(
    evidence: tuple[Evidence, ...], expected: float
) -> None:
    assert value(score_hypothesis(hypothesis(*evidence)), FactorName.EVIDENCE_QUALITY) == expected


@pytest.mark.parametrize(
    ("accepted", "rejected", "expected"),
    [(0, 0, 0.5), (8, 2, 0.8), (10, 0, 1.0), (1, 1, 0.5), (2, 8, 0.2), (1, 9, 0.2), (0, 10, 0.2)],
)
def test_human_validation_is_the_accepted_share(accepted: int, rejected: int, expected: float) -> None:
    scored = score_hypothesis(hypothesis(accepted=accepted, rejected=rejected))
    assert value(scored, FactorName.HUMAN_VALIDATION) == expected


def test_the_confidence_of_a_case_worked_by_hand() -> None:
    case = hypothesis(
        symptom(3.5),
        symptom(2.1, source="errors"),
        change(EvidenceKind.DEPLOY, 120),
        precedents=4,
        accepted=8,
        rejected=2,
    )
    scored = score_hypothesis(case)
    # .25 x .9 + .2 x .95 + .2 x .7 + .2 x .95 + .15 x .8
    assert scored.confidence == pytest.approx(0.865)
    assert score_hypotheses([case]).decision is PolicyDecision.ACKNOWLEDGE
    assert scored.low < scored.confidence < scored.high


EVIDENCE = st.builds(
    Evidence,
    kind=st.sampled_from(EvidenceKind),
    source=st.sampled_from(["a", "b", "c"]),
    at=st.integers(-4_000, 4_000).map(lambda s: ONSET + timedelta(seconds=s)),
    text=st.just(""),
    supports=st.booleans(),
    strong=st.booleans(),
    deviation_sigma=st.none() | st.floats(-10, 10),
)


@given(
    st.lists(EVIDENCE, max_size=8),
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(0, 30),
    st.randoms(),
)
def test_a_score_is_in_the_unit_interval_and_the_order_of_evidence_does_not_matter(
    evidence: list[Evidence], precedents: int, accepted: int, rejected: int, random: Random
) -> None:
    counts = {"precedents": precedents, "accepted": accepted, "rejected": rejected}
    scored = score_hypothesis(hypothesis(*evidence, **counts))
    shuffled = list(evidence)
    random.shuffle(shuffled)
    again = score_hypothesis(hypothesis(*shuffled, **counts))
    assert (again.confidence, again.uncertainty, again.factors) == (
        scored.confidence,
        scored.uncertainty,
        scored.factors,
    )
    assert 0 <= scored.low <= scored.confidence <= scored.high <= 1
    assert scored.confidence == pytest.approx(sum(factor.contribution for factor in scored.factors))


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_the_order_of_hypotheses_does_not_matter(precedents: list[int]) -> None:
    cases = [
        replace(hypothesis(symptom(2.0), precedents=n), statement=f"{i}") for i, n in enumerate(precedents)
    ]
    assert score_hypotheses(cases) == score_hypotheses(cases[::-1])


def test_the_more_was_observed_the_narrower_the_range() -> None:
    cases = [hypothesis(precedents=n, accepted=n) for n in (0, 3, 20)]
    widths = [score_hypothesis(case).uncertainty for case in cases]
    assert all(wide > narrow for wide, narrow in pairwise(widths))


def test_nothing_known_is_inconclusive() -> None:
    judgement = score_hypotheses([hypothesis()])
    assert judgement.ranked[0].confidence == pytest.approx(0.275)
    assert judgement.decision is PolicyDecision.INCONCLUSIVE
    assert score_hypotheses([]).decision is PolicyDecision.INCONCLUSIVE


def test_between_inconclusive_and_shown_is_watched() -> None:
    judgement = score_hypotheses([hypothesis(symptom(1.0, strong=False))])
    assert judgement.ranked[0].confidence == pytest.approx(0.375)
    assert judgement.decision is PolicyDecision.WATCH
    assert judgement.shown == ()


def test_exactly_three_tenths_is_not_inconclusive_and_exactly_four_tenths_is_not_shown() -> None:
    # .06 + .06 + .08 + .15 x share: a share of 2/3 makes 0.3
    judgement = score_hypotheses([hypothesis(accepted=2, rejected=1)])
    assert judgement.ranked[0].confidence == 0.3
    assert judgement.decision is PolicyDecision.WATCH
    # .1 + .06 + .06 + .08 + .15 x 2/3 makes 0.4
    judgement = score_hypotheses([hypothesis(symptom(1.0, strong=False), accepted=2, rejected=1)])
    assert judgement.ranked[0].confidence == 0.4
    assert judgement.shown == ()


def test_at_most_three_are_shown_the_best_first() -> None:
    cases = [replace(hypothesis(symptom(), precedents=n), statement=f"{n}") for n in (0, 1, 3, 10)]
    judgement = score_hypotheses(cases)
    assert [scored.hypothesis.precedents for scored in judgement.shown] == [10, 3, 1]
    assert len(judgement.ranked) == 4
    assert judgement.decision is PolicyDecision.SHOW


def test_without_a_precedent_nothing_is_acknowledged_by_itself() -> None:
    sure = hypothesis(
        symptom(4), symptom(4, source="errors"), change(EvidenceKind.DEPLOY, 60), precedents=10, accepted=10
    )
    assert score_hypotheses([sure]).decision is PolicyDecision.ACKNOWLEDGE
    assert score_hypotheses([replace(sure, precedents=0)]).decision is PolicyDecision.SHOW


def test_a_person_is_asked_when_the_evidence_conflicts() -> None:
    torn = hypothesis(symptom(4), symptom(4, source="errors", supports=False), precedents=10, accepted=10)
    judgement = score_hypotheses([torn])
    assert judgement.decision is PolicyDecision.ASK
    assert "conflicts" in judgement.reason


def test_a_conflict_among_what_is_not_shown_asks_nobody() -> None:
    hopeless = replace(hypothesis(symptom(0.1, supports=False)), statement="hopeless")
    assert score_hypotheses([hypothesis(symptom(4)), hopeless]).decision is PolicyDecision.SHOW


@pytest.mark.parametrize("probability", [-0.1, 1.1])
def test_a_probability_outside_the_unit_interval_is_refused(probability: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        sigma_of_probability(probability)


def test_certainty_is_worth_a_finite_number_of_sigma() -> None:
    assert 5 < sigma_of_probability(1.0) < 10


LEGAL = [
    (None, "detected"),
    ("detected", "acknowledged"),
    ("acknowledged", "investigating"),
    ("investigating", "mitigated"),
    ("mitigated", "resolved"),
    ("resolved", "learned"),
    ("detected", "inconclusive"),
    ("acknowledged", "inconclusive"),
    ("investigating", "inconclusive"),
    ("inconclusive", "learned"),
]


@pytest.mark.parametrize("after", list(IncidentState))
@pytest.mark.parametrize("before", list(NEXT_STATES))
def test_only_the_steps_of_the_table_are_legal(before: IncidentState | None, after: IncidentState) -> None:
    if (before, after) in LEGAL:
        require_transition(before, after)
    else:
        with pytest.raises(InputError, match="cannot change from"):
            require_transition(before, after)
