"""The hypothesis scorer: five factors, their weights, and the policy. It is deterministic and learns nothing.

The confidence is the weighted sum of the values of five factors. The values come from tables, so that anybody can check
the sum by hand. The confidence is given as a range, base ± uncertainty. Without any observation a factor could have any
value of its table, so its uncertainty is half the span of the table; `n` observations divide it by `sqrt(1 + n)`, like
a standard error. The uncertainties of the factors are taken as independent and add up in quadrature, by their weights.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

from core.checks import require_unit_interval
from core.diagnosis import (
    Diagnosis,
    Evidence,
    EvidenceKind,
    FactorName,
    FactorScore,
    Hypothesis,
    IncidentState,
    PolicyDecision,
    ScoredHypothesis,
)
from core.errors import InputError
from core.formatting import format_deviation, format_duration

# The weights and the tables of values are documented and do not change with the data.
WEIGHTS = {
    FactorName.SIGNAL_STRENGTH: 0.25,
    FactorName.TEMPORAL_CORRELATION: 0.20,
    FactorName.PRECEDENT_FREQUENCY: 0.20,
    FactorName.EVIDENCE_QUALITY: 0.20,
    FactorName.HUMAN_VALIDATION: 0.15,
}

#: (least deviation in sigma, value). Below 1 sigma the value is 0: a cause without a symptom, change, precedent and
#: feedback has a confidence of 0.275 then. With a higher value it would never be INCONCLUSIVE (below 0.3).
SIGMA_VALUES = ((3.0, 0.9), (2.0, 0.7), (1.0, 0.4), (0.0, 0.0))
PRECEDENT_VALUES = ((10, 0.9), (3, 0.7), (1, 0.5), (0, 0.3))

AFTER_DEPLOY, NEAR_CONFIG_CHANGE, NO_CHANGE = 0.95, 0.85, 0.3
DEPLOY_WINDOW_S = 300
#: A config change may lie longer before a symptom than a deploy, because caches, pools and workers adopt a new
#: configuration only when they are renewed.
CONFIG_CHANGE_WINDOW_S = 1_800

INDEPENDENT_SOURCES, ONE_STRONG_SOURCE, WEAK_OR_CONFLICTING = 0.95, 0.7, 0.4

NO_HISTORY, OFTEN_REJECTED = 0.5, 0.2

SHOWN_AT_MOST = 3
SHOWN_ABOVE = 0.4
ACKNOWLEDGED_ABOVE = 0.85
INCONCLUSIVE_BELOW = 0.3

#: State of an incident -> states that may follow. It can become inconclusive until it has been mitigated.
NEXT_STATES = {
    None: {IncidentState.DETECTED},
    IncidentState.DETECTED: {IncidentState.ACKNOWLEDGED, IncidentState.INCONCLUSIVE},
    IncidentState.ACKNOWLEDGED: {IncidentState.INVESTIGATING, IncidentState.INCONCLUSIVE},
    IncidentState.INVESTIGATING: {IncidentState.MITIGATED, IncidentState.INCONCLUSIVE},
    IncidentState.MITIGATED: {IncidentState.RESOLVED},
    IncidentState.RESOLVED: {IncidentState.LEARNED},
    IncidentState.INCONCLUSIVE: {IncidentState.LEARNED},
    IncidentState.LEARNED: set[IncidentState](),
}


_STANDARD_NORMAL = NormalDist()


def require_transition(before: IncidentState | None, after: IncidentState) -> None:
    """Refuse a change of state that an incident cannot make; `before` is null for a new incident.

    Raises:
        InputError: the state cannot follow; the error lists the states that can.
    """
    if after not in NEXT_STATES[before]:
        allowed = ", ".join(sorted(NEXT_STATES[before])) or "nothing"
        raise InputError(
            f"an incident cannot change from {before or 'no state'} to {after}; possible next states: {allowed}"
        )


def score_hypotheses(hypotheses: Sequence[Hypothesis]) -> Diagnosis:
    """Score all hypotheses of one incident and apply the policy to them.

    Returns:
        Ranked by confidence, highest first; equal ones are ordered by their statement.
    """
    ranked = tuple(
        sorted(
            (score_hypothesis(hypothesis) for hypothesis in hypotheses),
            key=lambda scored: (
                -scored.confidence,
                scored.hypothesis.statement,
                scored.hypothesis.hypothesis_id,
            ),
        )
    )
    shown = tuple(scored for scored in ranked if scored.confidence > SHOWN_ABOVE)[:SHOWN_AT_MOST]
    decision, reason = _decide(ranked, shown)
    return Diagnosis(decision=decision, reason=reason, ranked=ranked, shown=shown)


def score_hypothesis(hypothesis: Hypothesis) -> ScoredHypothesis:
    """The weighted sum of the five factors, in [0, 1], with its uncertainty and breakdown."""
    supporting = tuple(piece for piece in hypothesis.evidence if piece.supports)
    factors = (
        _signal_strength(supporting),
        _temporal_correlation(supporting),
        _precedent_frequency(hypothesis.precedents),
        _evidence_quality(supporting, hypothesis.conflicting),
        _human_validation(hypothesis.accepted, hypothesis.rejected),
    )
    # Rounded, so that a sum of 0.4 is exactly 0.4, which is a limit of the policy.
    return ScoredHypothesis(
        hypothesis=hypothesis,
        confidence=round(math.fsum(factor.contribution for factor in factors), 9),
        uncertainty=round(math.hypot(*(factor.weight * factor.uncertainty for factor in factors)), 9),
        factors=factors,
    )


def sigma_of_probability(probability: float) -> float:
    """The deviation that is as rare as a prediction is sure: two-sided normal, 68 % is 1 sigma, 95 % is 2, 99.7 % is 3.

    With it, predictions (96 %) and anomalies (2.1 sigma) can be compared in one factor.

    Raises:
        InputError: outside [0, 1].

    Examples:
        >>> [round(sigma_of_probability(p), 2) for p in (0.0, 0.6827, 0.9545, 0.9973)]
        [0.0, 1.0, 2.0, 3.0]
    """
    require_unit_interval(probability, "probability")
    capped = min(probability, 1 - 1e-9)
    return _STANDARD_NORMAL.inv_cdf((1 + capped) / 2)


def _signal_strength(supporting: Sequence[Evidence]) -> FactorScore:
    sigmas = [
        abs(piece.deviation_sigma)
        for piece in supporting
        if piece.kind is EvidenceKind.SYMPTOM and piece.deviation_sigma is not None
    ]
    strongest = max(sigmas, default=0.0)
    value = _from_table(SIGMA_VALUES, strongest)
    if not sigmas:
        reason = "no symptom with a measured deviation"
    elif value == 0.0:
        reason = f"the strongest symptom deviates by {format_deviation(strongest)}, which is normal"
    else:
        reason = (
            f"the strongest of {_count(len(sigmas), 'symptom')} deviates by {format_deviation(strongest)}"
        )
    return _factor(
        FactorName.SIGNAL_STRENGTH, value, reason, len(sigmas), [value for _, value in SIGMA_VALUES]
    )


def _temporal_correlation(supporting: Sequence[Evidence]) -> FactorScore:
    after_deploy = _lags_s(supporting, EvidenceKind.DEPLOY, DEPLOY_WINDOW_S)
    after_config = _lags_s(supporting, EvidenceKind.CONFIG_CHANGE, CONFIG_CHANGE_WINDOW_S)
    if after_deploy:
        value = AFTER_DEPLOY
        reason = f"a symptom {format_duration(min(after_deploy))} after a deploy"
    elif after_config:
        value = NEAR_CONFIG_CHANGE
        reason = f"a symptom {format_duration(min(after_config))} after a config change"
    else:
        value = NO_CHANGE
        reason = "no symptom soon after a deploy or a config change"
    observed = len(after_deploy or after_config)
    return _factor(
        FactorName.TEMPORAL_CORRELATION,
        value,
        reason,
        observed,
        (AFTER_DEPLOY, NEAR_CONFIG_CHANGE, NO_CHANGE),
    )


def _precedent_frequency(precedents: int) -> FactorScore:
    value = _from_table(PRECEDENT_VALUES, precedents)
    reason = (
        f"{_count(precedents, 'similar incident')} before" if precedents else "no similar incident before"
    )
    values = [value for _, value in PRECEDENT_VALUES]
    return _factor(FactorName.PRECEDENT_FREQUENCY, value, reason, precedents, values)


def _evidence_quality(supporting: Sequence[Evidence], conflicting: bool) -> FactorScore:
    strong = {piece.source for piece in supporting if piece.strong}
    if conflicting:
        value, reason = WEAK_OR_CONFLICTING, "the evidence conflicts"
    elif len(strong) > 1:
        value, reason = INDEPENDENT_SOURCES, f"{len(strong)} independent sources agree"
    elif strong:
        value, reason = ONE_STRONG_SOURCE, "one strong source"
    else:
        value, reason = WEAK_OR_CONFLICTING, "only weak evidence" if supporting else "no evidence"
    return _factor(
        FactorName.EVIDENCE_QUALITY,
        value,
        reason,
        len(strong),
        (INDEPENDENT_SOURCES, ONE_STRONG_SOURCE, WEAK_OR_CONFLICTING),
    )


def _human_validation(accepted: int, rejected: int) -> FactorScore:
    """The share of accepted hypotheses, but at least `OFTEN_REJECTED`: a rejected cause may be right the next time."""
    answers = accepted + rejected
    value = max(OFTEN_REJECTED, accepted / answers) if answers else NO_HISTORY
    reason = f"people accepted {accepted} of {answers}" if answers else "no feedback yet"
    return _factor(FactorName.HUMAN_VALIDATION, value, reason, answers, (OFTEN_REJECTED, 1.0))


def _factor(
    name: FactorName, value: float, reason: str, observed: int, possible: Sequence[float]
) -> FactorScore:
    half_span = (max(possible) - min(possible)) / 2
    return FactorScore(
        factor=name,
        weight=WEIGHTS[name],
        value=value,
        uncertainty=half_span / math.sqrt(1 + observed),
        reason=reason,
    )


def _lags_s(supporting: Sequence[Evidence], kind: EvidenceKind, window_s: float) -> list[float]:
    """Seconds from each change to each symptom that followed within the window."""
    lags_s = (
        (symptom.at - change.at).total_seconds()
        for symptom in supporting
        if symptom.kind is EvidenceKind.SYMPTOM
        for change in supporting
        if change.kind is kind
    )
    return [lag_s for lag_s in lags_s if 0 <= lag_s <= window_s]


def _decide(
    ranked: Sequence[ScoredHypothesis], shown: Sequence[ScoredHypothesis]
) -> tuple[PolicyDecision, str]:
    """The policy: the first rule that fits decides."""
    if all(scored.confidence < INCONCLUSIVE_BELOW for scored in ranked):
        return PolicyDecision.INCONCLUSIVE, f"no hypothesis has a confidence of {INCONCLUSIVE_BELOW}"
    conflicts = [scored for scored in shown or ranked[:1] if scored.hypothesis.conflicting]
    if conflicts:
        return PolicyDecision.ASK, f"the evidence for '{conflicts[0].hypothesis.statement}' conflicts"
    top = ranked[0]
    if top.confidence > ACKNOWLEDGED_ABOVE and top.hypothesis.precedents > 0:
        return (
            PolicyDecision.ACKNOWLEDGE,
            f"the confidence {top.confidence:.2f} is above {ACKNOWLEDGED_ABOVE}; similar incidents happened before",
        )
    if shown:
        return (
            PolicyDecision.SHOW,
            f"{_count(len(shown), 'hypothesis', 'hypotheses')} with a confidence above {SHOWN_ABOVE}",
        )
    return (
        PolicyDecision.WATCH,
        f"no confidence is above {SHOWN_ABOVE}, but not all are below {INCONCLUSIVE_BELOW}",
    )


def _from_table(table: Sequence[tuple[float, float]], amount: float) -> float:
    return next(value for least, value in table if amount >= least)


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
