"""The state of each tenant in this process: its platform, its models and its recently used series.

An endpoint receives the context of one tenant. It has no way to reach the data of another tenant.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from time import monotonic

from core.domain import Series
from core.errors import InputError, UnknownSeriesError
from pipelines.collect.pushed_sidecars import PushedSidecars
from pipelines.collect.stage import Staging
from pipelines.common.tenant_platform import Platform
from pipelines.sources.otlp import OtlpReceiver
from pipelines.sources.remote_write import RemoteWriteReceiver
from pipelines.sources.sidecars import Sidecars
from pipelines.sources.webhook_formats.mapped import read_mappings
from serving.contract.requests import Point, SeriesRef
from serving.state.loaded_models import LoadedModels

#: How many tenants are in memory at once; the least recently used one is dropped.
MAX_TENANTS = 64
#: Metadata of a series is read again after this time, so that a changed limit takes effect at once.
_SERIES_TTL_S = 2.0
_MAX_SERIES = 50_000
#: How many similar series an error lists.
_MOST_NAMED = 3
#: Clocks differ by less than this; a time further ahead is a mistake.
FUTURE_TOLERANCE = timedelta(minutes=5)


class TenantContext:
    """Everything that the endpoints may use for one tenant.

    Attributes:
        remote_write: reads the requests of the tenant's Prometheus.
        staging: keeps their raw samples, where golden signals are computed from them.
        otlp: reads the requests of the tenant's OpenTelemetry.
        services: derives the service of what clients send.
        mapped_formats: webhook formats that the settings describe.
    """

    def __init__(self, platform: Platform, models: LoadedModels) -> None:
        self.platform = platform
        self.models = models
        settings = platform.settings
        self.services = settings.service_rule
        self.mapped_formats = read_mappings(settings.webhook_mappings)
        self.remote_write = RemoteWriteReceiver(platform.tenant, self.services)
        self.staging = Staging(platform)
        self.otlp = OtlpReceiver(platform.tenant, self.services)
        self._sidecars = PushedSidecars(platform)
        self._series: OrderedDict[int, tuple[Series, float]] = OrderedDict()
        self._cached: dict[str, tuple[bytes, float]] = {}

    def stored_sidecars(self) -> Sidecars:
        """What the sidecar files declare of series now; see `PushedSidecars.stored`."""
        return self._sidecars.stored()

    def series(self, ref: SeriesRef) -> Series:
        """The series that a request names.

        Raises:
            UnknownSeriesError: this tenant has no such series.
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
        """Similar series of this tenant, for the text of an error."""
        similar = []
        if ref.service and ref.metric:
            similar = self.platform.store.series.find(service=ref.service, metric=ref.metric)
        if not similar:
            return "a series exists from its first sample on"
        names = ", ".join(one.name for one in similar[:_MOST_NAMED])
        rest = f" and {len(similar) - _MOST_NAMED} more" if len(similar) > _MOST_NAMED else ""
        return f"give its labels as well; matching series: {names}{rest}"

    def _identity(self, ref: SeriesRef) -> tuple[int, str]:
        """Its id, and its name for people. The id is a hash of the names, so no query is needed."""
        if ref.series_id is not None:
            return ref.series_id, str(ref.series_id)
        named = Series(
            tenant=self.platform.tenant, service=ref.service or "", metric=ref.metric or "", labels=ref.labels
        )
        return named.series_id, named.name

    def cached(self, key: str, ttl_s: float, make: Callable[[], bytes]) -> bytes:
        """The result of `make`, at most `ttl_s` old."""
        found = self._cached.get(key)
        if found is None or found[1] < monotonic():
            found = self._cached[key] = (make(), monotonic() + ttl_s)
        return found[0]

    def require_not_future(self, *points: Point) -> None:
        """Raises InputError when a point lies in the future by more than `FUTURE_TOLERANCE`."""
        latest = self.platform.clock.now() + FUTURE_TOLERANCE
        for point in points:
            if point.ts > latest:
                raise InputError(
                    f"{point.ts.isoformat()} lies in the future; send values that were already measured"
                )


class Tenants:
    """The contexts of tenants. Each is opened at its first request; their number is bounded."""

    def __init__(self, open_context: Callable[[str], TenantContext], *, size: int = MAX_TENANTS) -> None:
        self._open_context = open_context
        self._size = size
        self._contexts: OrderedDict[str, TenantContext] = OrderedDict()
        self._lock = threading.Lock()

    def context(self, tenant: str) -> TenantContext:
        """The context of that tenant. A running request keeps its context even when it is dropped here."""
        with self._lock:
            context = self._contexts.get(tenant)
            if context is None:
                context = self._contexts[tenant] = self._open_context(tenant)
                if len(self._contexts) > self._size:
                    self._contexts.popitem(last=False)
            self._contexts.move_to_end(tenant)
            return context

    def all(self) -> list[TenantContext]:
        with self._lock:
            return list(self._contexts.values())
