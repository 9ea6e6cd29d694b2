"""`POST /feedback`: store what a person says about a signal, a hypothesis or a diagnosis."""

from core.intake import PriorityLane
from pipelines.operate.feedback import hypothesis_feedback, signal_feedback
from serving.contract.requests import FeedbackRequest
from serving.contract.responses import FeedbackResponse
from serving.endpoints.route import Route, for_tenant
from serving.state.tenants import TenantContext


def store_feedback(context: TenantContext, request: FeedbackRequest) -> FeedbackResponse:
    """Store the feedback; the newest one on a subject counts.

    Raises:
        NotFoundError: this tenant has no such signal, hypothesis or diagnosis.
    """
    value = request.current_value
    by = request.by or request.who or "api"
    if request.signal_id is not None:
        signal = signal_feedback(context.platform, request.signal_id, value, by=by, note=request.note)
        subject_id = signal.signal_id
    else:
        subject = hypothesis_feedback(
            context.platform, request.subject_id or "", value, by=by, note=request.note
        )
        subject_id = subject.subject_id
    return FeedbackResponse(subject_id=subject_id, value=value, signal_id=request.signal_id)


ROUTE = Route(
    method="POST",
    path="/feedback",
    summary="Store feedback on a signal (true or false positive), a hypothesis or a diagnosis (accepted or rejected).",
    handler=for_tenant(store_feedback),
    request=FeedbackRequest,
    response=FeedbackResponse,
    lane=PriorityLane.WARNINGS,
)
