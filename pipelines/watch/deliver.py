"""Deliver signals: put those that passed the filters into an outbox, and send them until each sink confirms.

A delivery leaves the outbox only after the receiver has confirmed it. If a receiver is down or a run is killed, nothing
is lost: Forewarn sends the signals again, under the same ids.

Machines (table, webhook) get every signal. People get one alert for an incident: a signal that joins an incident for
which they have an alert is marked as delivered without a message, unless it is more severe than that alert.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from core.domain import ServiceEdges, Severity, Signal
from core.errors import UnavailableError
from core.ports import SignalSink
from models.causes.incidents import DetectedIncident, correlate, fold
from pipelines.common.progress import Progress, silent
from pipelines.common.service_graph import service_graph
from pipelines.common.tenant_platform import Platform
from pipelines.sinks.alerts import AlertSink
from pipelines.sinks.posting import RejectedError
from pipelines.watch.outbox import Outbox

#: Signals in one post to a machine; a signal is about 3 KB.
_BATCH = 100
#: Other signals of an incident are read from so long before now, or before the oldest signal that is due.
_INCIDENT_LOOKBACK = timedelta(days=7)
#: A signal that ended so long before its first delivery is history, such as an imported data set. It sends no alert.
_HISTORY_AFTER = timedelta(days=1)
#: Beyond so many signals in the lookback the oldest are not read, and an incident may get a second alert.
_MAX_SIGNALS = 10_000
_SEVERITIES = list(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkReport:
    """What happened to the outbox of one sink in this run.

    Attributes:
        delivered: signals that left the outbox.
        sent: messages that were posted for them: signals to machines, alerts to people.
        failed: signals that stay in the outbox and are tried again.
        error: the reason of the last failure; "" when nothing failed.
    """

    delivered: int = 0
    sent: int = 0
    failed: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """What happened in this run.

    Attributes:
        enqueued: new deliveries, over all sinks.
        sinks: sink name -> its report.
    """

    enqueued: int
    sinks: Mapping[str, SinkReport] = field(default_factory=dict)

    @property
    def delivered(self) -> dict[str, int]:
        return {name: report.delivered for name, report in self.sinks.items()}

    @property
    def failed(self) -> dict[str, int]:
        return {name: report.failed for name, report in self.sinks.items()}


def deliver(
    platform: Platform, *, edges: ServiceEdges | None = None, progress: Progress = silent
) -> DeliveryReport:
    """Enqueue new signals for every sink, and deliver what is due.

    A receiver that fails is in the report. It does not delay the other receivers.

    Args:
        edges: the service graph, (caller, callee); null: read it from the settings and the series.
    """
    if edges is None:
        edges = service_graph(platform.settings.service_graph, platform.store.series.find())
    names = [sink.name for sink in platform.sinks]
    enqueued = platform.store.deliveries.enqueue_passed(names)
    reports = {}
    for done, sink in enumerate(platform.sinks):
        progress("deliver", done, len(names))
        reports[sink.name] = _SinkDelivery(platform, sink, edges).run()
    progress("deliver", len(names), len(names))
    return DeliveryReport(enqueued=enqueued, sinks=reports)


@dataclass(frozen=True, slots=True)
class _AlertHistory:
    """Which alerts people have received.

    Attributes:
        alert_ids: signal id -> the alert that carried it.
        critical: ids of the signals that they received as critical.
    """

    alert_ids: Mapping[str, str]
    critical: Collection[str]

    def alerts_of(self, incident: DetectedIncident) -> list[str]:
        """The alerts on an incident, those of its earliest signals first."""
        known = (self.alert_ids.get(signal.signal_id) for signal in incident.signals)
        return list(dict.fromkeys(alert_id for alert_id in known if alert_id is not None))

    def worst_severity(self, incident: DetectedIncident) -> int | None:
        """The highest severity of these alerts; null when there are none.

        A signal may have become critical since its alert. That counts only if people received it as critical.
        """
        known = [signal for signal in incident.signals if signal.signal_id in self.alert_ids]
        critical = _SEVERITIES.index(Severity.CRITICAL)
        if not known:
            return None
        if any(signal.signal_id in self.critical for signal in known):
            return critical
        return min(_worst_severity(known), critical - 1)


class _SinkDelivery:
    """One run of deliveries to one sink."""

    def __init__(self, platform: Platform, sink: SignalSink, graph: ServiceEdges) -> None:
        self._signals = platform.store.signals
        self._sink = sink
        self._graph = graph
        self._now = platform.clock.now()
        self._outbox = Outbox(platform.store.deliveries, sink.name, self._now)
        self._lanes = self._outbox.lanes
        self._sent_ids: set[str] = set()
        self._sent = 0

    def run(self) -> SinkReport:
        """Deliver all lanes; stop when the receiver is down."""
        if self._deliver_lane(self._lanes.new) and self._deliver_escalated() and self._deliver_ended():
            self._remind()
        box = self._outbox
        return SinkReport(delivered=box.delivered, sent=self._sent, failed=box.failed, error=box.error)

    def _deliver_escalated(self) -> bool:
        self._outbox.enqueue_escalated()
        return self._deliver_lane(self._lanes.escalated)

    def _deliver_ended(self) -> bool:
        self._outbox.enqueue_ended()
        return self._deliver_lane(self._lanes.ended)

    def _deliver_lane(self, lane: str) -> bool:
        """Deliver what is due in a lane; false when the receiver is down, so that the other lanes can wait."""
        due = self._outbox.due(lane)
        try:
            if isinstance(self._sink, AlertSink):
                self._alert_people(lane, due)
            else:
                self._send_to_machine(lane, due)
        except UnavailableError as error:
            waiting = set(self._outbox.attempts(lane))
            left = [signal.signal_id for signal in due if signal.signal_id in waiting]
            self._outbox.postpone(lane, left, error)
            return False
        return True

    def _send_to_machine(self, lane: str, due: Sequence[Signal]) -> None:
        for start in range(0, len(due), _BATCH):
            batch = due[start : start + _BATCH]
            try:
                self._send(lane, batch, batch, None)
            except RejectedError:
                # One signal that the receiver rejects must not block the others of its batch.
                for signal in batch:
                    self._send_or_postpone(lane, [signal], [signal], None)

    def _alert_people(self, lane: str, due: Sequence[Signal]) -> None:
        if not due:
            return
        due_ids = {signal.signal_id for signal in due}
        incidents = correlate([*self._recent_signals(due), *due], self._graph)
        history = _AlertHistory(self._outbox.alert_ids(), self._outbox.delivered_as_critical())
        for incident in incidents:
            news = [signal for signal in incident.signals if signal.signal_id in due_ids]
            if news:
                self._alert_incident(lane, incident, news, history)

    def _alert_incident(
        self, lane: str, incident: DetectedIncident, news: Sequence[Signal], history: _AlertHistory
    ) -> None:
        """Send the alerts that the new signals of an incident need, or mark them as delivered without one."""
        sent_alerts = history.alerts_of(incident)
        alert_ids = sent_alerts or [incident.first.signal_id]
        if lane == self._lanes.new and not sent_alerts and self._is_history(incident, lane):
            self._outbox.mark_delivered(lane, news)
            self._outbox.skip_ends(news)
            return
        if lane == self._lanes.ended:
            # Every alert on the incident ends, but not before all of its signals have.
            needs_alert = all(signal.ended_at is not None for signal in incident.signals)
        else:
            severity = history.worst_severity(incident)
            needs_alert = severity is None or severity < _worst_severity(news)
            alert_ids = alert_ids[:1]
        if needs_alert:
            alerts = [self._alert(incident, alert_id) for alert_id in alert_ids]
            self._send_or_postpone(lane, news, alerts, alert_ids[0])
        else:
            self._outbox.mark_delivered(lane, news, alert_ids[0])

    def _remind(self) -> None:
        """Send open alerts again to a sink that needs reminders, except those that this run has sent."""
        if not isinstance(self._sink, AlertSink):
            return
        alert_ids = self._outbox.alert_ids()
        alerts = {}
        for incident in correlate(self._recent_signals(()), self._graph):
            if all(signal.ended_at is not None for signal in incident.signals):
                continue
            for signal in incident.signals:
                alert_id = alert_ids.get(signal.signal_id)
                if alert_id is not None and alert_id not in self._sent_ids:
                    alerts[alert_id] = self._alert(incident, alert_id)
        try:
            self._sink.keep_alive(list(alerts.values()))
        except UnavailableError as error:
            self._outbox.error = str(error)

    def _is_history(self, incident: DetectedIncident, lane: str) -> bool:
        """Whether all signals ended long ago. A failed attempt means that the receiver was down; then alert anyway."""
        attempts = self._outbox.attempts(lane)
        return all(
            signal.ended_at is not None
            and signal.ended_at < self._now - _HISTORY_AFTER
            and not attempts.get(signal.signal_id)
            for signal in incident.signals
        )

    def _recent_signals(self, due: Sequence[Signal]) -> list[Signal]:
        since = min([self._now, *(signal.started_at for signal in due)]) - _INCIDENT_LOOKBACK
        return self._signals.find(since=since, suppressed=False, limit=_MAX_SIGNALS)

    def _alert(self, incident: DetectedIncident, alert_id: str) -> Signal:
        """One message on a whole incident. An alert has the id of the first signal that it carried."""
        carrier = next((signal for signal in incident.signals if signal.signal_id == alert_id), None)
        return fold(incident, carrier or self._signals.get(alert_id))

    def _send_or_postpone(
        self, lane: str, news: Sequence[Signal], messages: Sequence[Signal], alert_id: str | None
    ) -> None:
        try:
            self._send(lane, news, messages, alert_id)
        except RejectedError as error:
            self._outbox.postpone(lane, [signal.signal_id for signal in news], error)

    def _send(
        self, lane: str, news: Sequence[Signal], messages: Sequence[Signal], alert_id: str | None
    ) -> None:
        """Send `messages`, which carry `news`; for people, `alert_id` is the alert that carries them from now on."""
        self._sink.send(messages)
        self._sent += len(messages)
        self._sent_ids.update(message.signal_id for message in messages)
        self._outbox.mark_delivered(lane, news, alert_id)
        if lane == self._lanes.new and (alert_id is None or messages[0].ended_at is not None):
            self._outbox.skip_ends(news)


def _worst_severity(signals: Sequence[Signal]) -> int:
    return max(_SEVERITIES.index(signal.severity) for signal in signals)
