"""The endpoints that store what clients send: metrics, events and incidents."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel
from starlette.responses import Response

from core.batch import Batch
from core.domain import Event
from core.intake import PriorityLane
from pipelines.collect.ingest import ingest
from pipelines.sources.webhook_formats.registered import parse_webhook
from pipelines.sources.webhook_formats.webhook_format import Webhook
from serving.contract.pushes import AlertsWebhook, DeploysWebhook
from serving.contract.requests import EventsRequest
from serving.contract.responses import EventsResponse, WebhookResponse, respond
from serving.endpoints.alert_lane import alert_lane
from serving.endpoints.route import Call, Handler, Route
from serving.state.intake import Receipt
from serving.state.runtime import Runtime
from serving.state.tenants import TenantContext

Body = TypeVar("Body", bound=BaseModel)


def take_events(
    context: TenantContext, request: EventsRequest, receipt: Receipt | None = None
) -> EventsResponse:
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
    new = context.platform.store.events.add(events)
    if receipt is not None:
        receipt.new, receipt.duplicates = new, len(events) - new
    return EventsResponse(received=len(events), new=new)


@dataclass(frozen=True, slots=True)
class _PostedBody:
    """The batch of one webhook as a source; it has no cursor."""

    name: str
    batch: Batch

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        yield self.batch


def take_deploys(
    context: TenantContext, webhook: DeploysWebhook, receipt: Receipt | None = None
) -> WebhookResponse:
    """Store the deploys of a webhook.

    Raises:
        InputError: the body has none of the formats in `pipelines.sources.webhook_formats`.
    """
    return _take(context, Webhook.DEPLOYS, webhook.root, receipt)


def take_alerts(
    context: TenantContext, webhook: AlertsWebhook, receipt: Receipt | None = None
) -> WebhookResponse:
    """Store the alerts of a webhook as incidents.

    Raises:
        InputError: the body has none of the formats in `pipelines.sources.webhook_formats`.
    """
    return _take(context, Webhook.ALERTS, webhook.root, receipt)


def _take(context: TenantContext, webhook: Webhook, body: object, receipt: Receipt | None) -> WebhookResponse:
    batch = parse_webhook(webhook, body, context.platform.tenant, context.services, context.mapped_formats)
    report = ingest(context.platform, _PostedBody(f"webhook:{webhook}", batch))
    if receipt is not None:
        sent = len(batch.events) + len(batch.incidents) + len(batch.alert_changes)
        receipt.new = report.events + report.incidents
        receipt.duplicates = max(0, sent - receipt.new)
        receipt.rejected = report.rejected
    return WebhookResponse(events=report.events, incidents=report.incidents, rejected=report.rejected)


def _counting(
    take: Callable[[TenantContext, Body, Receipt], EventsResponse | WebhookResponse], kind: type[Body]
) -> Handler:
    """The handler that also counts what `take` stored."""

    def handle(runtime: Runtime, call: Call) -> Response:
        context = runtime.context(call.tenant_name)
        return respond(take(context, call.request_as(kind), call.receipt))

    return handle


EVENTS_ROUTE = Route(
    method="POST",
    lane=PriorityLane.WARNINGS,
    source="events",
    path="/events",
    summary="Store deploys, config changes and maintenance windows.",
    handler=_counting(take_events, EventsRequest),
    request=EventsRequest,
    response=EventsResponse,
)
DEPLOYS_ROUTE = Route(
    method="POST",
    lane=PriorityLane.WARNINGS,
    source="webhook:deploys",
    path="/webhooks/deploys",
    summary="Store the deploys and config changes of a webhook, such as GitHub's, Argo CD's or LaunchDarkly's.",
    handler=_counting(take_deploys, DeploysWebhook),
    request=DeploysWebhook,
    response=WebhookResponse,
)
ALERTS_ROUTE = Route(
    method="POST",
    lane=PriorityLane.ALERTS,
    lane_of=alert_lane,
    source="webhook:alerts",
    path="/webhooks/alerts",
    summary="Store the alerts of a webhook, such as Alertmanager's or PagerDuty's, as incidents to learn from.",
    handler=_counting(take_alerts, AlertsWebhook),
    request=AlertsWebhook,
    response=WebhookResponse,
)
