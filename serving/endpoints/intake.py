"""What the service takes in besides questions: metrics, events, and what people say of findings."""

from collections.abc import Iterator
from dataclasses import dataclass

from core.diagnosis import Feedback, FeedbackValue
from core.domain import Event
from core.ports import Batch
from pipelines.collect.ingest import ingest, ingest_batch
from pipelines.sources.webhooks import parse_alerts, parse_deploys
from serving.contract.requests import (
    AlertsWebhook,
    DeploysWebhook,
    EventsRequest,
    FeedbackRequest,
    RemoteWrite,
)
from serving.contract.responses import EventsResponse, FeedbackResponse, WebhookResponse
from serving.state.tenants import TenantContext


def take_events(context: TenantContext, request: EventsRequest) -> EventsResponse:
    """Store events; the same event told twice is one. Planned ones may lie in the future.

    Raises:
        InputError: an event ends before it starts.
    """
    tenant = context.platform.tenant
    events = [
        Event(
            tenant=tenant,
            service=given.service,
            kind=given.kind,
            at=given.at,
            until=given.until,
            title=given.title,
            version=given.version,
        )
        for given in request.events
    ]
    return EventsResponse(received=len(events), new=context.platform.store.events.add(events))


@dataclass(frozen=True, slots=True)
class _Posted:
    """One webhook as a source: read once, with no place to go on from."""

    name: str
    batch: Batch

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        yield self.batch


def take_deploys(context: TenantContext, webhook: DeploysWebhook) -> WebhookResponse:
    """Store the deploys of a webhook.

    Raises:
        InputError: it is neither GitHub's form nor the plain one.
    """
    return _take(context, "webhook:deploys", parse_deploys(webhook.root, context.platform.tenant))


def take_alerts(context: TenantContext, webhook: AlertsWebhook) -> WebhookResponse:
    """Store the alerts of a webhook as incidents.

    Raises:
        InputError: it is not Alertmanager's form.
    """
    return _take(context, "webhook:alerts", parse_alerts(webhook.root, context.platform.tenant))


def _take(context: TenantContext, name: str, batch: Batch) -> WebhookResponse:
    report = ingest(context.platform, _Posted(name, batch))
    return WebhookResponse(events=report.events, incidents=report.incidents, rejected=report.rejected)


def take_remote_write(context: TenantContext, request: RemoteWrite) -> None:
    """Store what Prometheus pushed. It drops what we call bad and sends again what we could not take.

    Raises:
        InputError: the body is not a WriteRequest compressed with snappy.
        UnavailableError: the database does not answer; nothing of the request is kept.
    """
    receiver = context.remote_write
    ingest_batch(context.platform, receiver.name, context.sidecars.added_to(receiver.batch(request.root)))


def take_feedback(context: TenantContext, request: FeedbackRequest) -> FeedbackResponse:
    """Store what a person says of a signal.

    Raises:
        NotFoundError: this tenant has no such signal.
    """
    platform = context.platform
    signal = platform.store.signals.get(request.signal_id)
    said = Feedback(
        tenant=platform.tenant,
        subject_id=signal.signal_id,
        value=FeedbackValue.TRUE_POSITIVE if request.real else FeedbackValue.FALSE_POSITIVE,
        at=platform.clock.now(),
        by=request.who or "api",
        note=request.note,
    )
    platform.store.feedback.add([said])
    return FeedbackResponse(signal_id=request.signal_id)
