"""The sinks that the settings name. The signals table needs none: what is scored is written there."""

from core.clock import Clock, SystemClock
from core.ports import SignalSink
from core.settings import Settings
from pipelines.sinks.alertmanager import AlertmanagerSink
from pipelines.sinks.alerts import Links
from pipelines.sinks.pagerduty import PagerDutySink
from pipelines.sinks.slack import SlackSink
from pipelines.sinks.webhook import WebhookSink


def configured_sinks(settings: Settings, clock: Clock | None = None) -> tuple[SignalSink, ...]:
    """One for each receiver that is set; `clock` tells which present the texts are seen from."""
    clock = clock or SystemClock()
    links = Links(settings.service_url, settings.runbook_url)
    sinks: list[SignalSink] = []
    if settings.webhook_url:
        sinks.append(WebhookSink(settings.webhook_url, settings.webhook_secret))
    if settings.alertmanager_url:
        sinks.append(AlertmanagerSink(settings.alertmanager_url, links, clock))
    if settings.slack_webhook_url:
        sinks.append(SlackSink(settings.slack_webhook_url, links, clock))
    if settings.pagerduty_routing_key:
        sinks.append(PagerDutySink(settings.pagerduty_routing_key, links, clock))
    return tuple(sinks)
