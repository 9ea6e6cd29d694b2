"""The sinks that the settings name. The table of signals needs no sink: the pipelines write to it directly."""

from collections.abc import Callable

from core.alerts import AlertSink
from core.clock import Clock, SystemClock
from core.ports import SignalSink
from core.settings import Settings
from pipelines.sinks.alertmanager import AlertmanagerSink
from pipelines.sinks.alerts import Links, SinkSetup
from pipelines.sinks.pagerduty import PagerDutySink
from pipelines.sinks.slack import SlackSink
from pipelines.sinks.webhook import WebhookSink

#: Builds a sink; null where the settings do not name it.
SinkBuilder = Callable[[SinkSetup], SignalSink | AlertSink | None]

#: Name -> builder, in the order of delivery. To add a sink, write its file and add one line here.
SINKS: dict[str, SinkBuilder] = {
    WebhookSink.name: WebhookSink.configured,
    AlertmanagerSink.name: AlertmanagerSink.configured,
    SlackSink.name: SlackSink.configured,
    PagerDutySink.name: PagerDutySink.configured,
}


def configured_sinks(settings: Settings, clock: Clock | None = None) -> tuple[SignalSink | AlertSink, ...]:
    """One sink for each receiver that the settings name.

    Args:
        clock: the present, from which the alert texts count times; null: the machine's clock.
    """
    setup = SinkSetup(
        settings=settings,
        links=Links(settings.service_url, settings.runbook_url),
        clock=clock or SystemClock(),
    )
    built = [build(setup) for build in SINKS.values()]
    return tuple(sink for sink in built if sink is not None)
