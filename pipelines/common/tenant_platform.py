"""The argument of every pipeline step: the ports that it may use, for one tenant. `pipelines/wiring.py` builds it."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from core.alerts import AlertSink
from core.clock import Clock
from core.model_registry import ModelRegistry
from core.ports import FeatureStore, SignalSink, Store
from core.settings import Settings
from pipelines.common.open_models import OpenModels


class OpenPlatform(Protocol):
    """Opens the platform of a tenant, until the `with` block ends."""

    def __call__(
        self, settings: Settings, *, tenant: str, clock: Clock
    ) -> AbstractContextManager["Platform"]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Everything that a pipeline step may use, for one tenant.

    Attributes:
        elsewhere: opens the same platform in a worker process; null: only this process has it.
    """

    settings: Settings
    tenant: str
    store: Store
    registry: ModelRegistry
    models: OpenModels
    features: FeatureStore
    sinks: tuple[SignalSink | AlertSink, ...]
    clock: Clock
    elsewhere: OpenPlatform | None = None
