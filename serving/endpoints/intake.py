"""The endpoints that store what clients send: metrics, events, incidents and feedback."""

from collections.abc import Iterator
from dataclasses import dataclass

from core.diagnosis import Feedback, FeedbackValue
from core.domain import Event
from core.errors import InputError
from core.ports import Batch
from pipelines.collect.ingest import ingest
from pipelines.collect.push import store_remote_write
from pipelines.sources.webhook_formats.registered import parse_webhook
from pipelines.sources.webhook_formats.webhook_format import Webhook
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
    """Store events, each once even if it is sent again. Planned events may lie in the future.

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
class _PostedBody:
    """The batch of one webhook as a source; it has no cursor."""

    name: str
    batch: Batch

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        yield self.batch


def take_deploys(context: TenantContext, webhook: DeploysWebhook) -> WebhookResponse:
    """Store the deploys of a webhook.

    Raises:
        InputError: the body has none of the formats in `pipelines.sources.webhook_formats`.
    """
    return _take(context, Webhook.DEPLOYS, webhook.root)


def take_alerts(context: TenantContext, webhook: AlertsWebhook) -> WebhookResponse:
    """Store the alerts of a webhook as incidents.

    Raises:
        InputError: the body has none of the formats in `pipelines.sources.webhook_formats`.
    """
    return _take(context, Webhook.ALERTS, webhook.root)


def _take(context: TenantContext, webhook: Webhook, body: object) -> WebhookResponse:
    batch = parse_webhook(webhook, body, context.platform.tenant, context.services)
    report = ingest(context.platform, _PostedBody(f"webhook:{webhook}", batch))
    return WebhookResponse(events=report.events, incidents=report.incidents, rejected=report.rejected)


def take_remote_write(context: TenantContext, request: RemoteWrite) -> None:
    """Store what Prometheus pushed. Prometheus drops a request after an InputError and repeats it after other errors.

    Raises:
        InputError: the body is not a WriteRequest compressed with snappy; or a part of it was rejected, after the
            rest was stored, as the protocol demands.
        UnavailableError: the database does not answer; nothing of the request is kept.
    """
    context.store_sidecars_once()
    describe = context.sidecars.descriptions_only.added_to
    report = store_remote_write(context.platform, context.remote_write, request.root, describe)
    if report.rejected:
        raise InputError(
            f"{report.rejected} parts rejected, the others stored; the first: {report.first_reason}"
        )


def take_feedback(context: TenantContext, request: FeedbackRequest) -> FeedbackResponse:
    """Store the feedback of a person on a signal.

    Raises:
        NotFoundError: this tenant has no such signal.
    """
    platform = context.platform
    signal = platform.store.signals.get(request.signal_id)
    feedback = Feedback(
        tenant=platform.tenant,
        subject_id=signal.signal_id,
        value=FeedbackValue.TRUE_POSITIVE if request.real else FeedbackValue.FALSE_POSITIVE,
        at=platform.clock.now(),
        by=request.who or "api",
        note=request.note,
    )
    platform.store.feedback.add([feedback])
    return FeedbackResponse(signal_id=request.signal_id)
