"""Sinks of a replay: they write down what people and programs would have received, and send nothing."""

from collections.abc import Sequence

from core.alerts import Alert
from core.clock import Clock
from core.domain import Signal
from models.lifecycle.replay_records import AlertMessage, SignalEnd
from models.words.one_line import describe
from pipelines.replay.journal import Journal


class PeopleRecorder:
    """Implements `core.alerts.AlertSink`: one message for each incident that begins, escalates or ends."""

    name = "people"

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    def send(self, alerts: Sequence[Alert]) -> None:
        now = self._clock.now()
        self._journal.add(
            AlertMessage(
                at=now,
                alert_id=one.alert_id,
                kind=one.about.kind,
                service=one.about.service,
                metric=one.about.metric,
                severity=one.about.severity,
                started_at=one.about.started_at,
                ended_at=one.about.ended_at,
                text=describe(one.about, now),
            )
            for one in alerts
        )

    def keep_alive(self, alerts: Sequence[Alert]) -> None:
        """Does nothing: a reminder tells nothing new."""


class ProgramRecorder:
    """Implements `core.ports.SignalSink`: programs get each signal, of which the ends are written down."""

    name = "programs"

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock

    def send(self, signals: Sequence[Signal]) -> None:
        now = self._clock.now()
        self._journal.add(
            SignalEnd(at=now, signal_id=one.signal_id, ended_at=one.ended_at)
            for one in signals
            if one.ended_at is not None
        )
