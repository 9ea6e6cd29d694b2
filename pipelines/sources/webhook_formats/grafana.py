"""Incidents from Grafana's alerting webhook. Its alerts have the form of Alertmanager's.

References:
    https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
"""

from pipelines.sources.webhook_formats.alertmanager import ALERTMANAGER
from pipelines.sources.webhook_formats.webhook_format import Webhook, WebhookFormat


def _matches(body: object) -> bool:
    return isinstance(body, dict) and "orgId" in body and ALERTMANAGER.matches(body)


GRAFANA = WebhookFormat(
    name="grafana",
    webhook=Webhook.ALERTS,
    expects="a webhook of Grafana's alerting with `orgId` and `alerts`",
    matches=_matches,
    parse=ALERTMANAGER.parse,
)
