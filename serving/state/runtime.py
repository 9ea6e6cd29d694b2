"""What one service process holds: opened before the first request, closed after the last."""

import asyncio
import logging
import threading
from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING

from core.errors import ForewarnError
from core.settings import Settings
from serving.state.api_keys import KeyCache
from serving.state.limits import RateLimiter
from serving.state.loaded_models import LoadedModels
from serving.state.metrics import Metrics
from serving.state.tenants import TenantContext, Tenants

if TYPE_CHECKING:
    from pipelines.wiring import Tenancy

#: A probe that waits longer than this counts as failed with every orchestrator's default.
READY_TIMEOUT_S = 3.0

_logger = logging.getLogger("forewarn.serving")


class Runtime:
    """Settings, keys, limits, metrics and the tenants' rooms, and the thread that looks for new models.

    Building one connects to nothing; `open` does.
    """

    settings: Settings
    keys: KeyCache
    limiter: RateLimiter
    tenants: Tenants

    def __init__(self) -> None:
        self.metrics = Metrics()
        self._stack = ExitStack()
        self._tenancy: Tenancy | None = None
        self._stopping = threading.Event()

    @property
    def is_open(self) -> bool:
        return self._tenancy is not None

    def open(self, settings: Settings) -> None:
        """Connect, and load what the default tenant needs, so that the first answer is as quick as the next.

        Raises:
            ConfigurationError: a setting is missing or contradicts another.
            UnavailableError: the database does not answer.
        """
        from pipelines.wiring import open_tenancy

        self.settings = settings
        tenancy = self._stack.enter_context(open_tenancy(settings))
        self.keys = KeyCache(tenancy.keys)
        self.limiter = RateLimiter(settings.rate_limit_per_s, monotonic)
        self.tenants = Tenants(self._open_room)
        self._tenancy = tenancy
        self._warm(settings.tenant)
        self._stopping.clear()
        refresher = threading.Thread(target=self._refresh_models, name="model-refresh", daemon=True)
        refresher.start()
        self._stack.callback(refresher.join, timeout=10.0)
        self._stack.callback(self._stopping.set)

    def close(self) -> None:
        """Stop looking for models and disconnect."""
        self._tenancy = None
        self._stack.close()

    def room(self, tenant: str) -> TenantContext:
        """All that may be touched to answer that tenant."""
        return self.tenants.room(tenant)

    def ready(self) -> bool:
        """Whether the database answers now."""
        if self._tenancy is None:
            return False
        try:
            self._tenancy.ping()
        except ForewarnError as error:
            _logger.warning("not ready: %s", error)
            return False
        return True

    async def ready_soon(self) -> bool:
        """`ready`, without holding up other requests and never for long."""
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                return await asyncio.to_thread(self.ready)
        except TimeoutError:
            return False

    def _open_room(self, tenant: str) -> TenantContext:
        if self._tenancy is None:
            raise RuntimeError("the runtime is not open")
        platform = self._tenancy.platform(tenant)
        shelf = LoadedModels(
            platform.registry,
            retry_s=self.settings.model_refresh_s,
            told=lambda kind, outcome: self.metrics.model_loads.labels(kind, outcome).inc(),
        )
        return TenantContext(platform, shelf)

    def _warm(self, tenant: str) -> None:
        room = self.tenants.room(tenant)
        for kind in ("detector", "forecaster", "failure"):
            try:
                room.models.get(kind)
            except ForewarnError as error:
                _logger.info("no %s yet: %s", kind, error)
        if "failure" in room.models.in_use():
            # Opening the feature store takes seconds that nothing but /predict_failure should wait for.
            threading.Thread(target=_open_features, args=(room,), name="open-features", daemon=True).start()

    def _refresh_models(self) -> None:
        failing = False
        while not self._stopping.wait(self.settings.model_refresh_s):
            self.metrics.tenants.set(len(self.tenants.all()))
            for room in self.tenants.all():
                try:
                    room.models.refresh()
                    failing = False
                except ForewarnError as error:
                    # Once, not every two seconds; what is loaded goes on answering.
                    if not failing:
                        _logger.warning("cannot look for new models: %s", error)
                    failing = True
                except Exception:
                    _logger.exception("looking for new models failed")


def _open_features(room: TenantContext) -> None:
    """Ask the feature store once, so that the first caller does not wait for it to open."""
    bundle = room.models.get("failure").bundle
    try:
        room.platform.features.online([f"{room.platform.tenant}/-"], bundle.names)
    except ForewarnError as error:
        _logger.warning("the feature store could not be opened; /predict_failure will try again: %s", error)
