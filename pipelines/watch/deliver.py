"""The way out: what passed the filters is put into an outbox, and taken from it once each receiver said yes.

Each sink has three lanes in the outbox: for what began, for what became critical since, and for what is over. A
delivery leaves its lane only after the receiver said yes, so a receiver that is down, or a run that is killed, loses
nothing; what was sent and not yet ticked off is sent again, under the same id.

Machines (table, webhook) get every signal. People get one alert for an incident: a signal that joins an incident
of which they know is ticked off quietly, unless it is worse than what they were told.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from core.domain import Severity, Signal
from core.errors import UnavailableError
from core.ports import SignalSink
from models.causes.incidents import DetectedIncident, correlate, fold
from pipelines.common.progress import Progress, silent
from pipelines.common.service_graph import Edges, service_graph
from pipelines.common.tenant_platform import Platform
from pipelines.sinks.alerts import AlertSink
from pipelines.sinks.posting import RejectedError

#: Waits double from the first to the longest: a receiver is neither hammered nor forgotten.
FIRST_RETRY_S = 30
LONGEST_RETRY_S = 3_600
#: Signals in one post to a machine; a signal is about 3 KB.
_BATCH = 100
#: How long before now, and before what is due, members of the same incident are looked for.
_LOOKBACK = timedelta(days=7)
#: What was over for so long when it was first seen is history, such as a data set read in; it alerts nobody.
_HISTORY_AFTER = timedelta(days=1)
_SIGNALS_AT_MOST = 10_000
_SEVERITIES = list(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkReport:
    """What became of one sink's outbox in this run.

    Attributes:
        delivered: signals that left it.
        sent: what was posted for them: signals to machines, alerts to people.
        failed: signals that stay and are tried again.
        error: why, in words; "" when nothing failed.
    """

    delivered: int = 0
    sent: int = 0
    failed: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """Attributes: enqueued: deliveries that are new, over all sinks; sinks: by name."""

    enqueued: int
    sinks: Mapping[str, SinkReport] = field(default_factory=dict)

    @property
    def delivered(self) -> dict[str, int]:
        return {name: report.delivered for name, report in self.sinks.items()}

    @property
    def failed(self) -> dict[str, int]:
        return {name: report.failed for name, report in self.sinks.items()}


def deliver(platform: Platform, *, edges: Edges | None = None, progress: Progress = silent) -> DeliveryReport:
    """Enqueue what is new at every sink, and deliver what is due.

    A receiver that fails is in the report, and holds up none of the others.

    Args:
        edges: the service graph, (caller, callee); null: that of the settings and the series.
    """
    if edges is None:
        edges = service_graph(platform.settings.service_graph, platform.store.series.find())
    names = [sink.name for sink in platform.sinks]
    enqueued = platform.store.deliveries.enqueue_passed(names)
    reports = {}
    for done, sink in enumerate(platform.sinks):
        progress("deliver", done, len(names))
        reports[sink.name] = _Outbox(platform, sink, edges).empty()
    progress("deliver", len(names), len(names))
    return DeliveryReport(enqueued=enqueued, sinks=reports)


def retry_after(attempts: int) -> timedelta:
    """How long to wait after so many failures before this one."""
    return timedelta(seconds=min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(attempts, 16)))


def escalated_lane(sink_name: str) -> str:
    """The lane of the outbox for what became critical after it was told."""
    return f"{sink_name}/worse"


def ended_lane(sink_name: str) -> str:
    """The lane of the outbox for what is over."""
    return f"{sink_name}/ended"


class _Outbox:
    """What one sink has still to get."""

    def __init__(self, platform: Platform, sink: SignalSink, graph: Edges) -> None:
        self._store = platform.store
        self._sink = sink
        self._graph = graph
        self._now = platform.clock.now()
        self._told: set[str] = set()
        self._delivered = self._sent = self._failed = 0
        self._error = ""

    def empty(self) -> SinkReport:
        name = self._sink.name
        if self._empty_lane(name) and self._empty_worse(name) and self._empty_ended(name):
            self._keep_alive()
        return SinkReport(delivered=self._delivered, sent=self._sent, failed=self._failed, error=self._error)

    def _empty_worse(self, name: str) -> bool:
        self._store.deliveries.enqueue_escalated(name, escalated_lane(name))
        return self._empty_lane(escalated_lane(name))

    def _empty_ended(self, name: str) -> bool:
        self._store.deliveries.enqueue_ended(name, ended_lane(name))
        return self._empty_lane(ended_lane(name))

    def _empty_lane(self, lane: str) -> bool:
        """Deliver what is due; false when the receiver is down, and so need not be tried further."""
        due = self._store.deliveries.due(lane, self._now)
        try:
            if isinstance(self._sink, AlertSink):
                self._alert_people(lane, due)
            else:
                self._tell_machine(lane, due)
        except UnavailableError as error:
            left = set(self._store.deliveries.attempts(lane))
            self._put_off(lane, [signal.signal_id for signal in due if signal.signal_id in left], error)
            return False
        return True

    def _tell_machine(self, lane: str, due: Sequence[Signal]) -> None:
        for start in range(0, len(due), _BATCH):
            batch = due[start : start + _BATCH]
            try:
                self._post(lane, batch, batch, None)
            except RejectedError:
                # One signal that the receiver cannot take must not hold up the others.
                for signal in batch:
                    self._post_or_put_off(lane, [signal], [signal], None)

    def _alert_people(self, lane: str, due: Sequence[Signal]) -> None:
        if not due:
            return
        due_ids = {signal.signal_id for signal in due}
        incidents = correlate([*self._recent(due), *due], self._graph)
        alert_ids = self._store.deliveries.alert_ids(self._sink.name)
        told_critical = self._store.deliveries.received(escalated_lane(self._sink.name))
        for incident in incidents:
            news = [signal for signal in incident.signals if signal.signal_id in due_ids]
            known = [signal for signal in incident.signals if signal.signal_id in alert_ids]
            if not news:
                continue
            anchors = list(dict.fromkeys(alert_ids[signal.signal_id] for signal in known))
            anchors = anchors or [incident.first.signal_id]
            if lane == self._sink.name and not known and self._is_history(incident, lane):
                self._tick_off(lane, news, None)
                self._tick_off_ends(lane, news)
                continue
            if lane == ended_lane(self._sink.name):
                quiet = any(signal.ended_at is None for signal in incident.signals)
            else:
                quiet = bool(known) and _worst_told(known, told_critical) >= _worst(news)
                anchors = anchors[:1]
            if quiet:
                self._tick_off(lane, news, anchors[0])
            else:
                alerts = [self._alert(incident, anchor) for anchor in anchors]
                self._post_or_put_off(lane, news, alerts, anchors[0])

    def _keep_alive(self) -> None:
        """Remind the receiver of what still holds; what this run has told it already needs no reminder."""
        if not isinstance(self._sink, AlertSink):
            return
        alert_ids = self._store.deliveries.alert_ids(self._sink.name)
        alerts = {}
        for incident in correlate(self._recent(()), self._graph):
            if all(signal.ended_at is not None for signal in incident.signals):
                continue
            for signal in incident.signals:
                anchor = alert_ids.get(signal.signal_id)
                if anchor is not None and anchor not in self._told:
                    alerts[anchor] = self._alert(incident, anchor)
        try:
            self._sink.keep_alive(list(alerts.values()))
        except UnavailableError as error:
            self._error = str(error)

    def _is_history(self, incident: DetectedIncident, lane: str) -> bool:
        """Long over, and not because the receiver was down: then it is told, however late."""
        tried = self._store.deliveries.attempts(lane)
        return all(
            signal.ended_at is not None
            and signal.ended_at < self._now - _HISTORY_AFTER
            and not tried.get(signal.signal_id)
            for signal in incident.signals
        )

    def _recent(self, due: Sequence[Signal]) -> list[Signal]:
        since = min([self._now, *(signal.started_at for signal in due)]) - _LOOKBACK
        return self._store.signals.find(since=since, suppressed=False, limit=_SIGNALS_AT_MOST)

    def _alert(self, incident: DetectedIncident, anchor_id: str) -> Signal:
        anchor = next((signal for signal in incident.signals if signal.signal_id == anchor_id), None)
        return fold(incident, anchor or self._store.signals.get(anchor_id))

    def _post_or_put_off(
        self, lane: str, news: Sequence[Signal], messages: Sequence[Signal], alert_id: str | None
    ) -> None:
        try:
            self._post(lane, news, messages, alert_id)
        except RejectedError as error:
            self._put_off(lane, [signal.signal_id for signal in news], error)

    def _post(
        self, lane: str, news: Sequence[Signal], messages: Sequence[Signal], alert_id: str | None
    ) -> None:
        """Send `messages`, by which `news` is told; people know it by `alert_id` from then on."""
        self._sink.send(messages)
        self._sent += len(messages)
        self._told.update(message.signal_id for message in messages)
        self._tick_off(lane, news, alert_id)
        if lane != self._sink.name or (alert_id is not None and messages[0].ended_at is None):
            return
        self._tick_off_ends(lane, news)

    def _tick_off(self, lane: str, news: Sequence[Signal], alert_id: str | None) -> None:
        ids = [signal.signal_id for signal in news]
        self._store.deliveries.delivered(lane, ids, alert_id=alert_id)
        self._delivered += len(ids)
        if lane == self._sink.name:
            # What began as critical is no news once more when it still is.
            critical = [signal.signal_id for signal in news if signal.severity is Severity.CRITICAL]
            self._tick_off_as_well(escalated_lane(lane), critical)

    def _tick_off_ends(self, lane: str, news: Sequence[Signal]) -> None:
        """What was over before it could be told has been told with its end."""
        over = [signal.signal_id for signal in news if signal.ended_at is not None]
        self._tick_off_as_well(ended_lane(lane), over)

    def _tick_off_as_well(self, lane: str, signal_ids: Sequence[str]) -> None:
        if signal_ids:
            self._store.deliveries.enqueue([lane], signal_ids)
            self._store.deliveries.delivered(lane, signal_ids)

    def _put_off(self, lane: str, signal_ids: Sequence[str], error: UnavailableError) -> None:
        attempts = self._store.deliveries.attempts(lane)
        by_attempts: dict[int, list[str]] = defaultdict(list)
        for signal_id in signal_ids:
            by_attempts[attempts.get(signal_id, 0)].append(signal_id)
        for tried, ids in sorted(by_attempts.items()):
            self._store.deliveries.failed(lane, ids, str(error), self._now + retry_after(tried))
        self._failed += len(signal_ids)
        self._error = str(error)


def _worst(signals: Sequence[Signal]) -> int:
    return max(_SEVERITIES.index(signal.severity) for signal in signals)


def _worst_told(signals: Sequence[Signal], told_critical: Collection[str]) -> int:
    """The same of what people were told: what became critical since counts as it was."""
    critical = _SEVERITIES.index(Severity.CRITICAL)
    if any(signal.signal_id in told_critical for signal in signals):
        return critical
    return min(_worst(signals), critical - 1)
