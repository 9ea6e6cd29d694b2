"""The store: everything that is kept for one tenant, behind one object."""

from contextlib import AbstractContextManager

from pipelines.stores.baselines import Baselines
from pipelines.stores.deliveries import Deliveries
from pipelines.stores.diagnoses import Diagnoses, Transitions
from pipelines.stores.events import Events, Incidents
from pipelines.stores.feedback import FeedbackStore
from pipelines.stores.forecasts import Forecasts
from pipelines.stores.intake import Cursors, DeadLetters
from pipelines.stores.retention import Retention
from pipelines.stores.rollups import Rollups
from pipelines.stores.samples import Samples
from pipelines.stores.series import SeriesStore
from pipelines.stores.service_features import Features
from pipelines.stores.session import Pool, Session
from pipelines.stores.signals import Signals


class Store:
    """A tenant's data on PostgreSQL or TimescaleDB; no query sees a row of another tenant.

    Each attribute is one small repository. A call commits by itself, unless it runs inside `atomically()`.
    """

    def __init__(self, pool: Pool, tenant: str) -> None:
        """Args:
            pool: from `pipelines.stores.session.open_pool`, on a database that `migrate` has been through.
        Raises:
            InputError: that cannot be the name of a tenant.
        """
        self.tenant = tenant
        self._session = session = Session(pool, tenant)
        self.series = SeriesStore(session)
        self.samples = Samples(session)
        self.rollups = Rollups(session)
        self.events = Events(session)
        self.incidents = Incidents(session)
        self.dead_letters = DeadLetters(session)
        self.cursors = Cursors(session)
        self.baselines = Baselines(session)
        self.forecasts = Forecasts(session)
        self.features = Features(session)
        self.signals = Signals(session)
        self.deliveries = Deliveries(session)
        self.feedback = FeedbackStore(session)
        self.diagnoses = Diagnoses(session)
        self.transitions = Transitions(session)
        self.retention = Retention(session)

    def atomically(self) -> AbstractContextManager[None]:
        """All that this thread writes inside is there together, or not at all."""
        return self._session.atomically()
