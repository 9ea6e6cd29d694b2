"""Deliver what is due to one sink.

Machines (table, webhook) get every signal. People get one alert for an incident: a signal that joins an incident for
which they have an alert is marked as delivered without a message, unless it is more severe than that alert, or people
were told that the alert is over.

An alert expires at receivers that end alerts by themselves, if two cycles in a row do not send it again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from core.alerts import Alert, AlertSink
from core.domain import ServiceEdges, Severity, Signal
from core.errors import UnavailableError
from core.locks import HeldLock
from core.outbox import DeliveryLane
from core.ports import SignalSink
from models.causes.incidents import DetectedIncident, correlate, fold
from pipelines.common.tenant_platform import Platform
from pipelines.sinks.posting import RejectedError
from pipelines.watch.alert_history import AlertHistory, cycle_interval, worst_severity
from pipelines.watch.outbox import Outbox

#: Signals in one post to a machine; a signal is about 3 KB.
_BATCH = 100
#: Other signals of an incident are read from so long before now, or before the oldest signal that is due.
_INCIDENT_LOOKBACK = timedelta(days=7)
#: A signal that ended so long before its first delivery is history, such as an imported data set; so is one that had
#: ended when the first cycle found it. It sends no alert.
_HISTORY_AFTER = timedelta(days=1)
#: An alert that was not sent again for so many cycle intervals expires.
_EXPIRES_AFTER = 2
#: Cycles are looked for in so long before now.
_CYCLES_LOOKBACK = timedelta(days=1)
#: So many signals are read from the store at once.
_PAGE = 10_000
#: A receiver that rejects so many messages, and accepts none between them, has a fault of its own: the rest waits.
_MAX_REJECTED_IN_A_ROW = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkReport:
    """What happened to the outbox of one sink in this run.

    Attributes:
        delivered: signals that left the outbox because the receiver has them.
        sent: messages that were posted for them: signals to machines, alerts to people.
        failed: signals that stay in the outbox and are tried again.
        given_up: signals that the receiver rejected too often. `forewarn signals send --retry` tries them again.
        error: the reason of the last failure; "" when nothing failed.
    """

    delivered: int = 0
    sent: int = 0
    failed: int = 0
    given_up: int = 0
    error: str = ""


class _ReceiverDownError(Exception):
    """The receiver does not take messages now, so the rest of this run's messages waits."""

    def __init__(self, error: UnavailableError) -> None:
        super().__init__(str(error))
        self.error = error


class SinkDelivery:
    """One run of deliveries to one sink, by the process that holds the lock of the sink."""

    def __init__(
        self, platform: Platform, sink: SignalSink | AlertSink, graph: ServiceEdges, lock: HeldLock
    ) -> None:
        self._atomically = platform.store.atomically
        self._signals = platform.store.signals
        self._sink = sink
        self._graph = graph
        self._lock = lock
        self._now = platform.clock.now()
        cycles = platform.store.watch_cycles.since(self._now - _CYCLES_LOOKBACK)
        before = [one.at for one in cycles if one.at < self._now]
        self._is_first = not before
        self._expires_at = self._now + _EXPIRES_AFTER * cycle_interval(before, self._now)
        self._outbox = Outbox(platform.store.deliveries, sink.name, self._now)
        self._sent_ids: set[str] = set()
        self._sent = 0
        self._works = False
        self._rejected_ids: set[str] = set()
        self._rejected_in_a_row = 0

    def run(self) -> SinkReport:
        """Deliver all lanes; stop when the receiver is down or wants no request yet.

        As soon as the receiver works again, it gets all that it missed: nothing waits for a time of its own.
        """
        box = self._outbox
        if box.paused_until() is None:
            for lane in DeliveryLane:
                box.enqueue(lane)
            box.release_with_due()
            if self._deliver_lanes() and self._remind() and self._works and box.release():
                self._deliver_lanes()
        return SinkReport(
            delivered=box.delivered,
            sent=self._sent,
            failed=box.failed,
            given_up=box.given_up,
            error=box.error,
        )

    def _deliver_lanes(self) -> bool:
        return all(self._deliver_lane(lane) for lane in DeliveryLane)

    def _deliver_lane(self, lane: DeliveryLane) -> bool:
        """Deliver what is due in a lane; false when the receiver is down, so that the other lanes can wait."""
        self._outbox.enqueue(lane)
        due = self._outbox.due(lane)
        try:
            if isinstance(self._sink, AlertSink):
                self._alert_people(self._sink, lane, due)
            else:
                for start in range(0, len(due), _BATCH):
                    self._send_to_machine(self._sink, lane, due[start : start + _BATCH])
        except _ReceiverDownError as down:
            waiting = set(self._outbox.attempts(lane)) - self._rejected_ids
            left = [signal.signal_id for signal in due if signal.signal_id in waiting]
            self._outbox.postpone(lane, left, down.error)
            return False
        self._rejected_ids.clear()
        return True

    def _send_to_machine(self, sink: SignalSink, lane: DeliveryLane, batch: Sequence[Signal]) -> None:
        """Send a batch; if the receiver rejects it, send its halves, until only what it rejects is left out."""
        try:
            self._post(lambda: sink.send(batch))
            self._sent += len(batch)
            # A new signal that has ended already was sent with its end.
            self._mark(lane, batch, None, ended=lane is DeliveryLane.NEW)
        except RejectedError as error:
            if len(batch) == 1:
                self._reject(lane, batch, error)
                return
            middle = len(batch) // 2
            self._send_to_machine(sink, lane, batch[:middle])
            self._send_to_machine(sink, lane, batch[middle:])

    def _alert_people(self, sink: AlertSink, lane: DeliveryLane, due: Sequence[Signal]) -> None:
        if not due:
            return
        due_ids = {signal.signal_id for signal in due}
        incidents = correlate([*self._recent_signals(due), *due], self._graph)
        history = self._history()
        rejections = self._outbox.rejections(lane)
        all_news = [
            (incident, [signal for signal in incident.signals if signal.signal_id in due_ids])
            for incident in incidents
        ]
        # What was never rejected comes first, so that alerts which cannot be delivered delay no others.
        all_news.sort(key=lambda pair: max((rejections.get(one.signal_id, 0) for one in pair[1]), default=0))
        for incident, news in all_news:
            if news:
                self._alert_incident(sink, lane, incident, news, history)

    def _alert_incident(
        self,
        sink: AlertSink,
        lane: DeliveryLane,
        incident: DetectedIncident,
        news: Sequence[Signal],
        history: AlertHistory,
    ) -> None:
        """Send the alerts that the new signals of an incident need, or mark them as delivered without one."""
        sent_alerts, open_alerts = history.alerts_of(incident), history.open_alerts_of(incident)
        alert_ids = sent_alerts or [incident.first.signal_id]
        if lane is DeliveryLane.NEW and not sent_alerts and self._is_history(incident, lane):
            self._mark(lane, news, None, ended=True)
            return
        severity = history.worst_severity(incident)
        carrier, replaced = alert_ids[0], None
        if lane is DeliveryLane.ENDED:
            # Every alert on the incident ends, once, but not before all of its signals have.
            needs_alert = bool(open_alerts) and all(one.ended_at is not None for one in incident.signals)
            alert_ids = open_alerts
        elif sent_alerts and not open_alerts:
            needs_alert = any(signal.ended_at is None for signal in news)
            alert_ids = alert_ids[:1]
        else:
            needs_alert = severity is None or severity.rank < worst_severity(news).rank
            alert_ids = (open_alerts or alert_ids)[:1]
            # Only what was sent is replaced: a new alert has no predecessor.
            replaced = severity
        if not needs_alert:
            self._mark(lane, news, carrier, ended=False)
            return
        alerts = [self._alert(incident, one, history, replaces=replaced) for one in alert_ids]
        try:
            self._send_alerts(sink, lane, news, alerts)
        except RejectedError as error:
            self._reject(lane, news, error)

    def _remind(self) -> bool:
        """Send open alerts again to a sink that needs reminders, except those that this run has sent.

        Returns:
            False when the receiver is down.
        """
        if not isinstance(self._sink, AlertSink):
            return True
        history = self._history()
        known = {*history.over, *self._sent_ids}
        alerts = {}
        for incident in correlate(self._recent_signals(()), self._graph):
            if all(signal.ended_at is not None for signal in incident.signals):
                continue
            for signal in incident.signals:
                alert_id = history.alert_ids.get(signal.signal_id)
                if alert_id is not None and alert_id not in known:
                    alerts[alert_id] = self._alert(incident, alert_id, history)
        open_alerts = list(alerts.values())
        try:
            for start in range(0, len(open_alerts), _BATCH):
                self._keep_alive(self._sink, open_alerts[start : start + _BATCH])
        except _ReceiverDownError:
            return False  # the outbox has stored the error; the next run reminds again
        return True

    def _keep_alive(self, sink: AlertSink, alerts: Sequence[Alert]) -> None:
        """Remind of open alerts; if the receiver rejects them together, send halves, as for new signals."""
        try:
            self._post(lambda: sink.keep_alive(alerts))
        except RejectedError as error:
            if len(alerts) == 1:
                self._outbox.error = f"reminder of {alerts[0].alert_id}: {error}"
                self._count_rejection(error)
                return
            middle = len(alerts) // 2
            self._keep_alive(sink, alerts[:middle])
            self._keep_alive(sink, alerts[middle:])

    def _is_history(self, incident: DetectedIncident, lane: DeliveryLane) -> bool:
        """Whether all signals ended before anybody watched, or long ago.

        A failed attempt means that the receiver was down; then alert anyway.
        """
        attempts = self._outbox.attempts(lane)
        watched_from = self._now if self._is_first else self._now - _HISTORY_AFTER
        return all(
            signal.ended_at is not None
            and signal.ended_at < watched_from
            and not attempts.get(signal.signal_id)
            for signal in incident.signals
        )

    def _recent_signals(self, due: Sequence[Signal]) -> list[Signal]:
        since = min([self._now, *(signal.started_at for signal in due)]) - _INCIDENT_LOOKBACK
        found: list[Signal] = []
        while True:
            after = (found[-1].started_at, found[-1].signal_id) if found else None
            page = self._signals.find(since=since, suppressed=False, limit=_PAGE, after=after)
            found += page
            if len(page) < _PAGE:
                return found

    def _history(self) -> AlertHistory:
        box = self._outbox
        return AlertHistory(box.alert_ids(), box.delivered_as_critical(), box.over())

    def _alert(
        self,
        incident: DetectedIncident,
        alert_id: str,
        history: AlertHistory,
        *,
        replaces: Severity | None = None,
    ) -> Alert:
        """One message on a whole incident. Its identity is the first signal that it carried."""
        carrier = next((signal for signal in incident.signals if signal.signal_id == alert_id), None)
        about = fold(incident, carrier)
        # Also of a signal that is less severe by now: the receiver has the alert under the severity of its message.
        if history.worst_severity(incident) is Severity.CRITICAL:
            about = replace(about, severity=Severity.CRITICAL)
        return Alert(
            identity=carrier or self._signals.get(alert_id),
            about=about,
            replaces=replaces,
            expires_at=self._expires_at,
        )

    def _send_alerts(
        self, sink: AlertSink, lane: DeliveryLane, news: Sequence[Signal], alerts: Sequence[Alert]
    ) -> None:
        """Send the alerts that carry `news`; the first one carries them from now on."""
        self._post(lambda: sink.send(alerts))
        self._sent += len(alerts)
        self._sent_ids.update(alert.alert_id for alert in alerts)
        over = alerts[0].about.ended_at is not None
        with self._atomically():
            self._mark(lane, news, alerts[0].alert_id, ended=lane is DeliveryLane.NEW and over)
            self._outbox.set_over([alert.alert_id for alert in alerts], over=over)

    def _mark(self, lane: DeliveryLane, news: Sequence[Signal], alert_id: str | None, *, ended: bool) -> None:
        """Mark signals as delivered, and with `ended` their ends too. A kill must not come between the two."""
        with self._atomically():
            self._outbox.mark_delivered(lane, news, alert_id)
            if ended:
                self._outbox.skip_ends(news)

    def _post(self, post: Callable[[], None]) -> None:
        """Post one message, if the lock is still ours.

        Raises:
            RejectedError: the receiver works, and rejects this message.
            _ReceiverDownError: the receiver fails, or wants no request now.
            UnavailableError: the database does not answer.
        """
        self._lock.check()
        try:
            post()
        except RejectedError:
            raise
        except UnavailableError as error:
            self._outbox.receiver_failed(error)
            raise _ReceiverDownError(error) from error
        self._rejected_in_a_row = 0
        if not self._works:
            self._works = True
            self._outbox.receiver_works()

    def _reject(self, lane: DeliveryLane, news: Sequence[Signal], error: RejectedError) -> None:
        """Store that the receiver rejected the message that carries `news`."""
        self._outbox.reject(lane, news, error)
        self._rejected_ids.update(signal.signal_id for signal in news)
        self._count_rejection(error)

    def _count_rejection(self, error: RejectedError) -> None:
        self._rejected_in_a_row += 1
        if self._rejected_in_a_row >= _MAX_REJECTED_IN_A_ROW:
            down = UnavailableError(
                f"{error}; after {self._rejected_in_a_row} rejections in a row the rest waits"
            )
            self._outbox.receiver_failed(down)
            raise _ReceiverDownError(down) from error
