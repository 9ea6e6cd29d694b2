"""The argument of every pipeline step: the ports that it may use, for one tenant. `pipelines/wiring.py` builds it."""

from dataclasses import dataclass

from core.clock import Clock
from core.ports import FeatureStore, ModelRegistry, SignalSink, Store
from core.settings import Settings
from pipelines.common.open_models import OpenModels


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Everything that a pipeline step may use, for one tenant."""

    settings: Settings
    tenant: str
    store: Store
    registry: ModelRegistry
    models: OpenModels
    features: FeatureStore
    sinks: tuple[SignalSink, ...]
    clock: Clock
