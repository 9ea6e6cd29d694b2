"""What the service holds of each tenant: its platform, its models, the series that it asked about.

A room belongs to one tenant, and an endpoint is handed one room: it has no way to reach another tenant's.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from time import monotonic

from core.domain import Series
from core.errors import InputError, UnknownSeriesError
from pipelines.common.tenant_platform import Platform
from pipelines.sources.prometheus import SERVICE_LABELS
from pipelines.sources.remote_write import RemoteWriteReceiver
from pipelines.sources.sidecars import Sidecars, read_sidecars
from serving.contract.requests import Point, SeriesRef
from serving.state.loaded_models import LoadedModels

#: How many tenants are held at once; the one not asked for the longest makes place.
MAX_TENANTS = 64
#: Metadata of a series (its limit, its labels) may be this old.
_SERIES_TTL_S = 60.0
_MAX_SERIES = 50_000
#: Series that are named to somebody who asked for another.
_MOST_NAMED = 3
#: Clocks differ; a time further ahead than this is a mistake.
FUTURE_TOLERANCE = timedelta(minutes=5)


class TenantContext:
    """All that may be touched to answer one tenant.

    Attributes:
        remote_write: reads the requests of its Prometheus, and remembers the counts from which rates follow.
        sidecars: what the operator says of the series; it speaks of the default tenant alone.
    """

    def __init__(self, platform: Platform, shelf: LoadedModels) -> None:
        self.platform = platform
        self.models = shelf
        settings = platform.settings
        labels = settings.prometheus_service_labels or SERVICE_LABELS
        self.remote_write = RemoteWriteReceiver(platform.tenant, labels)
        described = settings.sidecars_dir if platform.tenant == settings.tenant else None
        self.sidecars = Sidecars() if described is None else read_sidecars(described, platform.tenant)
        self._series: OrderedDict[int, tuple[Series, float]] = OrderedDict()
        self._remembered: dict[str, tuple[bytes, float]] = {}

    def series(self, ref: SeriesRef) -> Series:
        """The series that a request names.

        Raises:
            UnknownSeriesError: this tenant has none such.
        """
        series_id, name = self._identity(ref)
        known = self._series.get(series_id)
        if known is not None and monotonic() < known[1]:
            return known[0]
        try:
            found = self.platform.store.series.get(series_id)
        except UnknownSeriesError:
            raise UnknownSeriesError(f"there is no series {name}; {self._hint(ref)}") from None
        self._series[series_id] = (found, monotonic() + _SERIES_TTL_S)
        while len(self._series) > _MAX_SERIES:
            self._series.popitem(last=False)
        return found

    def _hint(self, ref: SeriesRef) -> str:
        """What somebody who asked for a series that is not there may have meant."""
        alike = []
        if ref.service and ref.metric:
            alike = self.platform.store.series.find(service=ref.service, metric=ref.metric)
        if not alike:
            return "it is known after its first sample"
        names = ", ".join(one.name for one in alike[:_MOST_NAMED])
        rest = f" and {len(alike) - _MOST_NAMED} more" if len(alike) > _MOST_NAMED else ""
        return f"with other labels there is {names}{rest}: labels are part of the name"

    def _identity(self, ref: SeriesRef) -> tuple[int, str]:
        """Id and name for people; the id follows from the names, so that no look-up is needed."""
        if ref.series_id is not None:
            return ref.series_id, str(ref.series_id)
        named = Series(
            tenant=self.platform.tenant, service=ref.service or "", metric=ref.metric or "", labels=ref.labels
        )
        return named.series_id, named.name

    def remembered(self, what: str, ttl_s: float, make: Callable[[], bytes]) -> bytes:
        """What `make` made at most `ttl_s` ago."""
        found = self._remembered.get(what)
        if found is None or found[1] < monotonic():
            found = self._remembered[what] = (make(), monotonic() + ttl_s)
        return found[0]

    def require_not_future(self, *points: Point) -> None:
        """Raises InputError when a point lies ahead of the clock by more than clocks differ."""
        latest = self.platform.clock.now() + FUTURE_TOLERANCE
        for point in points:
            if point.ts > latest:
                raise InputError(
                    f"{point.ts.isoformat()} lies in the future; only what was measured can be judged"
                )


class Tenants:
    """The rooms, opened when first asked for, bounded in number."""

    def __init__(self, open_room: Callable[[str], TenantContext], *, size: int = MAX_TENANTS) -> None:
        self._open_room = open_room
        self._size = size
        self._rooms: OrderedDict[str, TenantContext] = OrderedDict()
        self._lock = threading.Lock()

    def room(self, tenant: str) -> TenantContext:
        """The room of that tenant; a request that holds one keeps it even if it makes place meanwhile."""
        with self._lock:
            room = self._rooms.get(tenant)
            if room is None:
                room = self._rooms[tenant] = self._open_room(tenant)
                if len(self._rooms) > self._size:
                    self._rooms.popitem(last=False)
            self._rooms.move_to_end(tenant)
            return room

    def all(self) -> list[TenantContext]:
        with self._lock:
            return list(self._rooms.values())
