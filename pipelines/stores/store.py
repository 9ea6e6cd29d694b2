"""The store: all data of one tenant behind one object."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from core.ports import Result, SampleRepository
from pipelines.stores.archive_files import ArchiveFiles
from pipelines.stores.archived_days import ArchivedDayStore
from pipelines.stores.archived_samples import ArchivedSamples
from pipelines.stores.archiver import Archiver
from pipelines.stores.baselines import BaselineStore
from pipelines.stores.contradictions import ContradictionStore
from pipelines.stores.counters import CounterStore, MetricTypeStore
from pipelines.stores.cursors import CursorStore
from pipelines.stores.day_files import DayFiles
from pipelines.stores.dead_letters import DeadLetterStore
from pipelines.stores.deliveries import DeliveryStore
from pipelines.stores.diagnoses import DiagnosisStore, TransitionStore
from pipelines.stores.events import EventStore, IncidentStore
from pipelines.stores.feedback import FeedbackStore
from pipelines.stores.forecasts import ForecastStore
from pipelines.stores.intake import IntakeStore
from pipelines.stores.limit_changes import LimitChangeStore
from pipelines.stores.locks import LockStore
from pipelines.stores.logs import LogStore
from pipelines.stores.pushed import PushedStore
from pipelines.stores.recent_samples import KeptSamples, RecentSamples
from pipelines.stores.retention import Retention
from pipelines.stores.rollups import RollupStore
from pipelines.stores.samples import SampleStore
from pipelines.stores.series import SeriesStore
from pipelines.stores.series_ends import NativeHistogramStore, SeriesEndStore
from pipelines.stores.service_features import ServiceFeatureStore
from pipelines.stores.session import Pool, Session
from pipelines.stores.signals import SignalStore
from pipelines.stores.source_states import SourceStateStore
from pipelines.stores.tenant_archive import TenantArchive
from pipelines.stores.traces import ServiceEdgeStore, SpanStore
from pipelines.stores.watch_cycles import WatchCycleStore


class Store:
    """A tenant's data on PostgreSQL or TimescaleDB (`core.ports.Store`); no query reads a row of another tenant.

    Each attribute is one small repository. A call commits by itself, unless it runs inside `atomically()`.
    """

    def __init__(
        self,
        pool: Pool,
        tenant: str,
        archive: ArchiveFiles | None = None,
        recent: RecentSamples | None = None,
    ) -> None:
        """Args:
            pool: from `pipelines.stores.session.open_pool`, on a migrated database.
            archive: where the retention writes samples before it deletes them; null: nowhere.
            recent: samples of this tenant that the process keeps in memory; null: none.
        Raises:
            InputError: `tenant` is not a valid name.
        """
        self.tenant = tenant
        self._session = session = Session(pool, tenant)
        self.series = SeriesStore(session)
        samples, days = SampleStore(session), ArchivedDayStore(session)
        files = None if archive is None else DayFiles(archive, tenant)
        self.archive = TenantArchive(days, files)
        self.samples: SampleRepository = samples
        archiver = None
        if files is not None:
            self.samples = ArchivedSamples(session, samples, days, files)
            archiver = Archiver(session, samples, days, files)
        if recent is not None:
            self.samples = KeptSamples(session, self.samples, recent)
        self.rollups = RollupStore(session)
        self.series_ends = SeriesEndStore(session)
        self.counters = CounterStore(session)
        self.native_histograms = NativeHistogramStore(session)
        self.metric_types = MetricTypeStore(session)
        self.pushed = PushedStore(session)
        self.pushed_sizes = PushedStore(session, "pushed_size")
        self.pushed_replicas = PushedStore(session, "pushed_replica")
        self.spans = SpanStore(session)
        self.service_edges = ServiceEdgeStore(session)
        self.logs = LogStore(session)
        self.contradictions = ContradictionStore(session)
        self.limit_changes = LimitChangeStore(session)
        self.events = EventStore(session)
        self.incidents = IncidentStore(session)
        self.dead_letters = DeadLetterStore(session)
        self.cursors = CursorStore(session)
        self.intake = IntakeStore(session)
        self.source_states = SourceStateStore(session)
        self.watch_cycles = WatchCycleStore(session)
        self.baselines = BaselineStore(session)
        self.forecasts = ForecastStore(session)
        self.features = ServiceFeatureStore(session)
        self.signals = SignalStore(session)
        self.deliveries = DeliveryStore(session)
        self.feedback = FeedbackStore(session)
        self.diagnoses = DiagnosisStore(session)
        self.transitions = TransitionStore(session)
        self.retention = Retention(session, archiver)
        self.locks = LockStore(session)

    def atomically(self) -> AbstractContextManager[None]:
        """All that this thread writes inside is stored together, or not at all."""
        return self._session.atomically()

    def atomically_retried(self, work: Callable[[], Result]) -> Result:
        """Run `work` atomically, and again if the database aborted it to end a deadlock."""
        return self._session.atomically_retried(work)
