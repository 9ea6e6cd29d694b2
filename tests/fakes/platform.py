"""A platform with the store of a test, and of the rest only what the test needs."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from fakes.ports import NoFeatures, NoRegistry

from core.alerts import Alert, AlertSink
from core.clock import Clock, FixedClock
from core.domain import Signal
from core.errors import RetryLaterError, UnavailableError
from core.model_registry import ModelRegistry
from core.ports import FeatureStore, SignalSink, Store
from core.settings import Settings
from core.watch_cycles import WatchCycle
from pipelines.common.open_models import OpenModels
from pipelines.common.tenant_platform import Platform
from pipelines.sinks.posting import RejectedError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class FakeReceiver:
    """Keeps what it is sent, can be down, and refuses what it cannot take."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.got: list[Signal] = []
        self.is_down = False
        self.busy_until: datetime | None = None
        self.refuses: set[str] = set()

    @property
    def name(self) -> str:
        return self._name

    @property
    def ids(self) -> list[str]:
        return [signal.signal_id for signal in self.got]

    def take(self, signals: Sequence[Signal]) -> None:
        if self.is_down and self.busy_until is not None:
            raise RetryLaterError(f"{self.name} is busy", self.busy_until)
        if self.is_down:
            raise UnavailableError(f"{self.name} does not answer")
        if self.refuses & {signal.signal_id for signal in signals}:
            raise RejectedError(f"{self.name} refused what was sent")
        self.got.extend(signals)


class FakeSink(FakeReceiver, SignalSink):
    """A machine."""

    def __init__(self, name: str = "machine") -> None:
        super().__init__(name)

    def send(self, signals: Sequence[Signal]) -> None:
        self.take(signals)


class FakePager(FakeReceiver, AlertSink):
    """A sink for people, who forget what they are not reminded of.

    Attributes:
        got: what each alert is about, under the id of the alert.
        alerts: as they were sent.
        reminders: the ids of the alerts of which people were reminded.
    """

    def __init__(self, name: str = "pager") -> None:
        super().__init__(name)
        self.alerts: list[Alert] = []
        self.reminders: list[str] = []

    def send(self, alerts: Sequence[Alert]) -> None:
        self.take([replace(alert.about, signal_id=alert.alert_id) for alert in alerts])
        self.alerts.extend(alerts)

    def keep_alive(self, alerts: Sequence[Alert]) -> None:
        if self.is_down:
            raise UnavailableError(f"{self.name} does not answer")
        self.reminders.extend(alert.alert_id for alert in alerts)


def platform_of(
    store: Store,
    clock: Clock | None = None,
    *,
    settings: Settings | None = None,
    registry: ModelRegistry | None = None,
    features: FeatureStore | None = None,
    sinks: Sequence[SignalSink | AlertSink] = (),
) -> Platform:
    """A whole platform of a store; a registry or features that the test did not give fail at the first call."""
    return Platform(
        settings=settings or Settings(_env_file=None),
        tenant=store.tenant,
        store=store,
        registry=(used := registry or NoRegistry()),
        models=OpenModels(used),
        features=features or NoFeatures(),
        sinks=tuple(sinks),
        clock=clock or FixedClock(NOW),
    )


def advanced(platform: Platform, **by: float) -> Platform:
    """The same platform after some time: `advanced(platform, hours=1)`."""
    return replace(platform, clock=FixedClock(platform.clock.now() + timedelta(**by)))


def keep(platform: Platform, *signals: Signal) -> None:
    """Store signals as those of the tenant."""
    platform.store.signals.upsert([replace(signal, tenant=platform.tenant) for signal in signals])


def watched(platform: Platform, at: datetime) -> None:
    """A watch cycle began then."""
    platform.store.watch_cycles.add(WatchCycle(at=at, step_seconds={"deliveries": 1.0}))
