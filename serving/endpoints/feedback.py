"""`POST /feedback`: store what a person says about a signal, a hypothesis or a diagnosis."""

from core.diagnosis import Feedback, FeedbackValue
from core.errors import NotFoundError
from core.ports import DiagnosisRepository
from serving.contract.requests import FeedbackRequest
from serving.contract.responses import FeedbackResponse
from serving.endpoints.route import tenant_route
from serving.state.tenants import TenantContext

#: Feedback on a hypothesis is accepted when it is part of one of so many newest diagnoses.
NEWEST_DIAGNOSES = 1_000


def store_feedback(context: TenantContext, request: FeedbackRequest) -> FeedbackResponse:
    """Store the feedback; the newest one on a subject counts.

    Raises:
        NotFoundError: this tenant has no such signal, hypothesis or diagnosis.
    """
    platform = context.platform
    if request.signal_id is not None:
        subject_id = platform.store.signals.get(request.signal_id).signal_id
    else:
        subject_id = request.subject_id or ""
        _require_known(platform.store.diagnoses, subject_id)
    feedback = Feedback(
        tenant=platform.tenant,
        subject_id=subject_id,
        value=FeedbackValue(request.current_value),
        at=platform.clock.now(),
        by=request.by or request.who or "api",
        note=request.note,
    )
    platform.store.feedback.add([feedback])
    return FeedbackResponse(subject_id=subject_id, value=feedback.value, signal_id=request.signal_id)


def _require_known(diagnoses: DiagnosisRepository, subject_id: str) -> None:
    for record in diagnoses.list(limit=NEWEST_DIAGNOSES):
        if subject_id == record.diagnosis_id:
            return
        if any(subject_id == one.hypothesis.hypothesis_id for one in record.diagnosis.ranked):
            return
    raise NotFoundError(
        f"no hypothesis or diagnosis has the id {subject_id} (among the newest {NEWEST_DIAGNOSES} diagnoses); "
        "send the whole id, or use signal_id for a signal"
    )


ROUTE = tenant_route(
    method="POST",
    path="/feedback",
    summary="Store feedback on a signal (true or false positive), a hypothesis or a diagnosis (accepted or rejected).",
    handler=store_feedback,
    request=FeedbackRequest,
    response=FeedbackResponse,
)
