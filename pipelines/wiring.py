"""Build the adapters from the settings. No other module builds them."""

import atexit
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace

from core.clock import Clock, SystemClock
from core.errors import UnavailableError
from core.settings import Settings, read_settings
from pipelines.common.open_models import OpenModels
from pipelines.common.privacy import silence_telemetry
from pipelines.common.storage_errors import storage_errors
from pipelines.common.tenant_platform import Platform
from pipelines.processes.threads import limit_threads
from pipelines.sinks.configured import configured_sinks
from pipelines.stores.archive_files import configured_archive
from pipelines.stores.connecting import JOB_LIMITS, TimeLimits, check_answers
from pipelines.stores.feast_store import FeastFeatureStore
from pipelines.stores.keys import KeyRing
from pipelines.stores.mlflow_registry import MlflowRegistry
from pipelines.stores.ready import ready_dsn
from pipelines.stores.recent_samples import RecentSamples
from pipelines.stores.sample_memory import MemoryBudget
from pipelines.stores.session import Pool, database_errors, open_pool
from pipelines.stores.store import Store


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a tenant has open: its models, its view of the feature store, and samples in memory."""

    registry: MlflowRegistry
    models: OpenModels
    features: FeastFeatureStore
    recent: RecentSamples | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenancy:
    """The platforms of all tenants over one connection pool, for a service with many tenants.

    Attributes:
        budget: memory for samples that were read; null: none is kept.
    """

    settings: Settings
    clock: Clock
    dsn: str
    pool: Pool
    budget: MemoryBudget | None = None
    _opened: dict[str, _Opened] = field(default_factory=dict)

    @property
    def keys(self) -> KeyRing:
        """The API keys of all tenants."""
        return KeyRing(self.pool)

    def platform(self, tenant: str) -> Platform:
        """Build the platform of one tenant. It gives no access to data of other tenants."""
        opened = self._opened.get(tenant)
        if opened is None:
            # Of two threads that come first, both use what one of them has opened.
            opened = self._opened.setdefault(tenant, self._open(tenant))
        return Platform(
            settings=self.settings,
            tenant=tenant,
            store=Store(self.pool, tenant, configured_archive(self.settings), opened.recent),
            registry=opened.registry,
            models=opened.models,
            features=opened.features,
            sinks=configured_sinks(self.settings, self.clock),
            clock=self.clock,
            elsewhere=kept_platform,
        )

    def _open(self, tenant: str) -> _Opened:
        registry = MlflowRegistry(self.settings, tenant)
        budget, raw_days = self.budget, self.settings.retention_raw_days
        return _Opened(
            registry=registry,
            models=OpenModels(registry),
            features=FeastFeatureStore(self.settings, self.dsn, Store(self.pool, tenant).features, tenant),
            recent=None if budget is None else RecentSamples(budget, raw_days),
        )

    def ping(self) -> None:
        """Check that the database answers within two seconds.

        Raises:
            UnavailableError: the database does not answer.
        """
        with database_errors(), self.pool.connection(timeout=2.0) as connection:
            check_answers(connection)


@contextmanager
def open_tenancy(
    settings: Settings,
    *,
    clock: Clock | None = None,
    connections: int = 8,
    always_open: int = 1,
    limits: TimeLimits = JOB_LIMITS,
    keep_samples: bool = False,
) -> Iterator[Tenancy]:
    """Open the platforms of all tenants, until the `with` block ends.

    Args:
        keep_samples: keep samples that were read in memory, for who reads the same ones every few minutes.
        connections: to the database, at most.
        always_open: how many of them stay open when they are not in use.
        limits: how long one statement may take.
    Raises:
        ConfigurationError: a setting is missing or contradicts another.
        StorageError: a disk is full, or a folder cannot be written.
        UnavailableError: the database does not answer.
    """
    silence_telemetry()
    limit_threads()
    # Whatever reaches the disks or the database in this block, libraries included, fails with one sentence.
    with storage_errors(settings), ExitStack() as opened:
        with database_errors():
            dsn = ready_dsn(settings)
        pool = opened.enter_context(open_pool(dsn, max_size=connections, min_size=always_open, limits=limits))
        opened.enter_context(database_errors())
        keeps = keep_samples and settings.sample_memory_mb > 0
        budget = MemoryBudget(settings.sample_memory_mb * 2**20) if keeps else None
        yield Tenancy(settings=settings, clock=clock or SystemClock(), dsn=dsn, pool=pool, budget=budget)


@contextmanager
def open_platform(
    settings: Settings | None = None, *, tenant: str | None = None, clock: Clock | None = None
) -> Iterator[Platform]:
    """Open the platform of one tenant, until the `with` block ends.

    Raises:
        ConfigurationError: a setting is missing or contradicts another.
        UnavailableError: the database does not answer.
    """
    settings = settings or read_settings()
    with open_tenancy(settings, clock=clock) as tenancy:
        yield tenancy.platform(tenant or settings.tenant)


class _Kept:
    """The tenancy that this process keeps open. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tenancy: Tenancy | None = None
        self._close = ExitStack()

    def get(self, settings: Settings) -> Tenancy:
        """The open tenancy with these settings; another one is closed first."""
        with self._lock:
            if self._tenancy is None or self._tenancy.settings != settings:
                self._drop()
                with ExitStack() as opened:
                    self._tenancy = opened.enter_context(open_tenancy(settings, keep_samples=True))
                    self._close = opened.pop_all()
            return self._tenancy

    def drop(self, tenancy: Tenancy) -> None:
        """Close a tenancy, if it is still the one that is kept."""
        with self._lock:
            if self._tenancy is tenancy:
                self._drop()

    def close(self) -> None:
        """Close what is open."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        self._tenancy = None
        self._close.close()


_kept = _Kept()
atexit.register(_kept.close)


@contextmanager
def kept_platform(
    settings: Settings | None = None, *, tenant: str | None = None, clock: Clock | None = None
) -> Iterator[Platform]:
    """The platform of one tenant, which stays open in this process after the `with` block, for the next one.

    The steps of flows use it: to open everything again for each of them takes longer than most of them. After an outage
    it is opened anew.

    Raises:
        as `open_platform`.
    """
    settings = settings or read_settings()
    tenancy = _kept.get(settings)
    try:
        with storage_errors(settings), database_errors():
            yield replace(tenancy, clock=clock or SystemClock()).platform(tenant or settings.tenant)
    except UnavailableError:
        _kept.drop(tenancy)
        raise
