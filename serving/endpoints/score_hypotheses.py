"""`/score_hypotheses`: score possible causes of one incident; the response is a diagnosis."""

from core.diagnosis import Evidence, Hypothesis
from core.domain import ModelRef
from models.causes.score import score_hypotheses as score
from pipelines.stores.code_version import code_version
from serving.contract.requests import HypothesisIn, ScoreHypothesesRequest
from serving.contract.responses import RankedHypothesis, ScoreHypothesesResponse
from serving.endpoints.route import Route, for_tenant
from serving.state.tenants import TenantContext
from serving.state.work import Lane


def score_hypotheses(context: TenantContext, request: ScoreHypothesesRequest) -> ScoreHypothesesResponse:
    """Score the hypotheses against each other; nothing is stored."""
    # The scorer is a rule and not a trained model; its version is that of the program with the weights.
    scorer = ModelRef(name="rule.hypotheses", version=1, run_id=code_version())
    diagnosis = score([_hypothesis(context.platform.tenant, one) for one in request.hypotheses])
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


ROUTE = Route(
    method="POST",
    path="/score_hypotheses",
    summary="Score the possible causes of one incident against each other.",
    handler=for_tenant(score_hypotheses),
    request=ScoreHypothesesRequest,
    response=ScoreHypothesesResponse,
    lane=Lane.MODELS,
)
