"""The endpoints that store what clients send: metrics, events and incidents."""

from collections.abc import Iterator
from dataclasses import dataclass

from core.batch import Batch
from core.domain import Event
from pipelines.collect.ingest import ingest
from pipelines.sources.webhook_formats.registered import parse_webhook
from pipelines.sources.webhook_formats.webhook_format import Webhook
from serving.contract.pushes import AlertsWebhook, DeploysWebhook
from serving.contract.requests import EventsRequest
from serving.contract.responses import EventsResponse, WebhookResponse
from serving.endpoints.route import Route, for_tenant
from serving.state.tenants import TenantContext
from serving.state.work import Lane


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
    batch = parse_webhook(webhook, body, context.platform.tenant, context.services, context.mapped_formats)
    report = ingest(context.platform, _PostedBody(f"webhook:{webhook}", batch))
    return WebhookResponse(events=report.events, incidents=report.incidents, rejected=report.rejected)


EVENTS_ROUTE = Route(
    method="POST",
    lane=Lane.WRITES,
    path="/events",
    summary="Store deploys, config changes and maintenance windows.",
    handler=for_tenant(take_events),
    request=EventsRequest,
    response=EventsResponse,
)
DEPLOYS_ROUTE = Route(
    method="POST",
    lane=Lane.WRITES,
    path="/webhooks/deploys",
    summary="Store the deploys and config changes of a webhook, such as GitHub's, Argo CD's or LaunchDarkly's.",
    handler=for_tenant(take_deploys),
    request=DeploysWebhook,
    response=WebhookResponse,
)
ALERTS_ROUTE = Route(
    method="POST",
    lane=Lane.WRITES,
    path="/webhooks/alerts",
    summary="Store the alerts of a webhook, such as Alertmanager's or PagerDuty's, as incidents to learn from.",
    handler=for_tenant(take_alerts),
    request=AlertsWebhook,
    response=WebhookResponse,
)
