"""`/score_hypotheses`: the deterministic scorer, over HTTP."""

from core.diagnosis import Evidence, Hypothesis
from core.domain import ModelRef
from models.causes.score import score_hypotheses as score
from pipelines.stores.code_version import code_version
from serving.contract.requests import HypothesisIn, ScoreHypothesesRequest
from serving.contract.responses import RankedHypothesis, ScoreHypothesesResponse


def score_hypotheses(tenant: str, request: ScoreHypothesesRequest) -> ScoreHypothesesResponse:
    """Weigh the causes against each other; nothing is stored."""
    # A rule and not a learned model: what can be traced is the program that holds its weights.
    scorer = ModelRef(name="rule.hypotheses", version=1, run_id=code_version())
    diagnosis = score([_hypothesis(tenant, one) for one in request.hypotheses])
    ranked = tuple(
        RankedHypothesis(
            hypothesis=one.hypothesis,
            confidence=one.confidence,
            low=one.low,
            high=one.high,
            shown=one in diagnosis.shown,
            factors=one.factors,
        )
        for one in diagnosis.ranked
    )
    return ScoreHypothesesResponse(
        model=scorer, decision=diagnosis.decision, reason=diagnosis.reason, ranked=ranked
    )


def _hypothesis(tenant: str, given: HypothesisIn) -> Hypothesis:
    return Hypothesis(
        tenant=tenant,
        service=given.service,
        cause=given.cause,
        statement=given.statement,
        evidence=tuple(Evidence(**piece.model_dump()) for piece in given.evidence),
        precedents=given.precedents,
        accepted=given.accepted,
        rejected=given.rejected,
    )
