"""What a pipeline step gets: everything that it may touch, bound to one tenant. `pipelines/wiring.py` builds it."""

from dataclasses import dataclass

from core.clock import Clock
from core.ports import FeatureStore, ModelRegistry, SignalSink, Store
from core.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Everything that a pipeline step may touch, bound to one tenant."""

    settings: Settings
    tenant: str
    store: Store
    registry: ModelRegistry
    features: FeatureStore
    sinks: tuple[SignalSink, ...]
    clock: Clock
