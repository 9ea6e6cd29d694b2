"""A platform with a real store, and of the rest only what its test needs."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self, cast

from fakes.signals import NOON

from core.clock import Clock, FixedClock
from core.domain import Signal
from core.errors import UnavailableError
from core.ports import SignalSink
from core.settings import Settings
from pipelines.common.tenant_platform import Platform
from pipelines.sinks.posting import RejectedError
from pipelines.stores.store import Store

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class FakePlatform:
    store: Store
    sinks: tuple[SignalSink, ...] = ()
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOON + timedelta(hours=1)))
    settings: Settings = field(default_factory=lambda: Settings(_env_file=None))

    @property
    def tenant(self) -> str:
        return self.store.tenant

    def later(self, **by: float) -> Self:
        """The same platform, when that much time has passed."""
        return replace(self, clock=FixedClock(self.clock.now() + timedelta(**by)))


class FakeSink:
    """A machine that keeps what it is sent, can be down, and refuses what it cannot take."""

    def __init__(self, name: str = "machine") -> None:
        self.name = name
        self.got: list[Signal] = []
        self.is_down = False
        self.refuses: set[str] = set()

    def send(self, signals: list[Signal]) -> None:
        if self.is_down:
            raise UnavailableError(f"{self.name} does not answer")
        if self.refuses & {signal.signal_id for signal in signals}:
            raise RejectedError(f"{self.name} refused what was sent")
        self.got.extend(signals)

    @property
    def ids(self) -> list[str]:
        return [signal.signal_id for signal in self.got]


class FakePager(FakeSink):
    """A sink for people, who forget what they are not reminded of."""

    def __init__(self, name: str = "pager") -> None:
        super().__init__(name)
        self.reminders: list[str] = []

    def keep_alive(self, signals: list[Signal]) -> None:
        if self.is_down:
            raise UnavailableError(f"{self.name} does not answer")
        self.reminders.extend(signal.signal_id for signal in signals)


def platform_of(store: Store, clock: Clock | None = None) -> Platform:
    """A whole platform of a store and a clock; what is asked of the registry or the features fails at once."""
    return Platform(
        settings=Settings(_env_file=None),
        tenant=store.tenant,
        store=store,
        registry=cast(Any, None),
        features=cast(Any, None),
        sinks=(),
        clock=clock or FixedClock(NOW),
    )
