"""The state of one service process. It is opened before the first request and closed after the last one."""

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING

from core.clock import SystemClock
from core.errors import ForewarnError
from core.intake import IntakeCount, PriorityLane
from core.settings import Settings
from serving.contract.errors import RefusedError
from serving.state.api_keys import KeyCache
from serving.state.intake import write_counts
from serving.state.limits import BODIES_BYTES, BodyMemory, RateLimiter, bodies_by_lane
from serving.state.loaded_models import LoadedModels
from serving.state.metrics import Metrics
from serving.state.tenants import TenantContext, Tenants
from serving.state.work import Lane, WorkPool

if TYPE_CHECKING:
    from pipelines.sources.sns_messages import SnsVerifier
    from pipelines.wiring import Tenancy

#: A probe that waits longer than this counts as failed with every orchestrator's default.
READY_TIMEOUT_S = 3.0
#: To the database. All stay open, because a busy machine takes seconds to open another one.
CONNECTIONS = 16

#: How often the counts of the intake are stored.
COUNTS_EVERY_S = 5.0

_logger = logging.getLogger("forewarn.serving")


class Runtime:
    """Settings, keys, limits, metrics, the contexts of tenants, and the threads that load models and store counts.

    The constructor connects to nothing; `open` does.
    """

    settings: Settings
    keys: KeyCache
    limiter: RateLimiter
    bodies: BodyMemory
    tenants: Tenants
    sns: "SnsVerifier | None"

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.sns = None
        # In all fewer threads than the database has connections: no kind of work can take those of another kind.
        self.pools: dict[Lane | PriorityLane, WorkPool] = {
            Lane.READS: WorkPool("reads", threads=2, waiting=64),
            PriorityLane.ALERTS: WorkPool("alerts", threads=2, waiting=64),
            PriorityLane.WARNINGS: WorkPool("warnings", threads=1, waiting=64),
            PriorityLane.METRICS: WorkPool("metrics", threads=2, waiting=64),
            PriorityLane.BACKGROUND: WorkPool("background", threads=1, waiting=64),
            Lane.MODELS: WorkPool("models", threads=2, waiting=64),
            Lane.PAGES: WorkPool("pages", threads=1, waiting=64),
        }
        self._parsing = WorkPool("large bodies", threads=1, waiting=32)
        self._parsing_of = {
            lane: WorkPool(f"large bodies of {lane}", threads=1, waiting=32)
            for lane in (PriorityLane.ALERTS, PriorityLane.WARNINGS)
        }
        self.lane_bodies: Mapping[PriorityLane, BodyMemory] = {}
        #: May wait for a certificate of Amazon, so it must not keep other work waiting.
        self.verifying = WorkPool("signatures of Amazon SNS", threads=1, waiting=64)
        self._probing = WorkPool("probes", threads=1, waiting=8)
        self._stack = ExitStack()
        self._tenancy: Tenancy | None = None
        self._stopping = threading.Event()

    @property
    def is_open(self) -> bool:
        return self._tenancy is not None

    def open(self, settings: Settings) -> None:
        """Connect, and load the models of the default tenant, so that the first request is as fast as the next ones.

        Raises:
            ConfigurationError: a setting is missing or contradicts another.
            UnavailableError: the database does not respond.
        """
        from pipelines.sources.sns_messages import SnsVerifier
        from pipelines.stores.connecting import SERVICE_LIMITS
        from pipelines.wiring import open_tenancy

        self.settings = settings
        tenancy = self._stack.enter_context(
            open_tenancy(settings, connections=CONNECTIONS, always_open=CONNECTIONS, limits=SERVICE_LIMITS)
        )
        self.keys = KeyCache(tenancy.keys)
        self.limiter = RateLimiter(settings.rate_limit_per_s, monotonic)
        self.bodies = BodyMemory(max(BODIES_BYTES, 4 * settings.max_body_bytes))
        self.lane_bodies = bodies_by_lane(settings.max_body_bytes)
        self.tenants = Tenants(self._open_context)
        self.sns = SnsVerifier(settings.sns_topic_arns, SystemClock()) if settings.sns_topic_arns else None
        self._tenancy = tenancy
        self._warm(settings.tenant)
        self._stopping.clear()
        refresher = threading.Thread(target=self._refresh_models, name="model-refresh", daemon=True)
        refresher.start()
        self._stack.callback(refresher.join, timeout=10.0)
        writer = threading.Thread(target=self._write_counts, name="intake-counts", daemon=True)
        writer.start()
        self._stack.callback(writer.join, timeout=10.0)
        self._stack.callback(self._stopping.set)

    def close(self) -> None:
        """Stop the threads that load new models and store counts, and disconnect."""
        self._tenancy = None
        pools = (*self.pools.values(), *self._parsing_of.values())
        for pool in (*pools, self._parsing, self.verifying, self._probing):
            pool.close()
        self._stack.close()

    def bodies_of(self, lane: Lane | PriorityLane) -> BodyMemory:
        """The memory for bodies of that lane."""
        return self.lane_bodies.get(lane, self.bodies) if isinstance(lane, PriorityLane) else self.bodies

    def parsing(self, lane: Lane | PriorityLane) -> WorkPool:
        """Where large JSON bodies of that lane are parsed."""
        return self._parsing_of.get(lane, self._parsing) if isinstance(lane, PriorityLane) else self._parsing

    def context(self, tenant: str) -> TenantContext:
        """The context of that tenant."""
        return self.tenants.context(tenant)

    def ready(self) -> bool:
        """Whether the database responds now."""
        if self._tenancy is None:
            return False
        try:
            self._tenancy.ping()
        except ForewarnError as error:
            _logger.warning("not ready: %s", error)
            return False
        return True

    async def ready_soon(self) -> bool:
        """`ready`, without blocking other requests and within `READY_TIMEOUT_S`."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                return await self._probing.run(self.ready)
        except (TimeoutError, RefusedError):
            return False

    def _open_context(self, tenant: str) -> TenantContext:
        if self._tenancy is None:
            raise RuntimeError("the runtime is not open")
        platform = self._tenancy.platform(tenant)
        models = LoadedModels(
            platform.registry,
            retry_s=self.settings.model_refresh_s,
            on_load=lambda kind, outcome: self.metrics.model_loads.labels(kind, outcome).inc(),
        )
        return TenantContext(platform, models)

    def _warm(self, tenant: str) -> None:
        context = self.tenants.context(tenant)
        models = context.models
        for load in (models.detector, models.forecaster, models.failure):
            try:
                load()
            except ForewarnError as error:
                _logger.info("%s", error)
        if "failure" in models.in_use():
            # Opening the feature store takes seconds. Only /predict_failure has to wait for it.
            threading.Thread(
                target=_open_features, args=(context,), name="open-features", daemon=True
            ).start()

    def _write_counts(self) -> None:
        stopping = False
        while not stopping:
            # Once more at the end, so that the last counts are stored too.
            stopping = self._stopping.wait(COUNTS_EVERY_S)
            try:
                write_counts(self.metrics.intake, self._store_counts)
            except Exception:
                _logger.exception("the counts of the intake could not be stored")

    def _store_counts(self, tenant: str, counts: Sequence[IntakeCount]) -> None:
        platform = self.tenants.context(tenant).platform
        platform.store.intake.add(platform.clock.now(), counts)

    def _refresh_models(self) -> None:
        failing = False
        while not self._stopping.wait(self.settings.model_refresh_s):
            self.metrics.tenants.set(len(self.tenants.all()))
            for context in self.tenants.all():
                try:
                    context.models.refresh()
                    failing = False
                except ForewarnError as error:
                    # Log once, not every two seconds. The models in memory stay active.
                    if not failing:
                        _logger.warning("cannot check for new models: %s", error)
                    failing = True
                except Exception:
                    _logger.exception("the check for new models failed")


def _open_features(context: TenantContext) -> None:
    """Open the feature store before the first request needs it."""
    predictor = context.models.failure().model
    try:
        context.platform.features.online([f"{context.platform.tenant}/-"], predictor.names)
    except ForewarnError as error:
        _logger.warning("the feature store cannot be opened; /predict_failure will try again: %s", error)
