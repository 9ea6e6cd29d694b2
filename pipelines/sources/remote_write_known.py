"""The series that labels of remote_write give; they are remembered between requests."""

from collections.abc import Hashable, Mapping
from dataclasses import replace
from math import isfinite

from core.domain import DEFAULT_STEP_S, Series
from core.service_names import ServiceRule
from models.metrics.promql import LE
from pipelines.sources.buckets import QUANTILES
from pipelines.sources.otlp_prometheus_names import number_text
from pipelines.sources.raw_series import raw_id_of, series_of_labels
from pipelines.sources.remote_write_series import LabelledSeries

#: So many series are remembered, with so many bytes of labels in all. With more, all are forgotten and read again.
MAX_KNOWN = 20_000
MAX_KNOWN_BYTES = 8_000_000
#: What the ids of the buckets of a histogram need.
_HISTOGRAM_BYTES = 7_000


class KnownLabels:
    """Labels as they were sent, and the series that they give.

    Attributes:
        parts: of the request, with one sample.
        of_histogram: null until it was needed.
        classic_parts: ending and bound -> id, of the series of the classic histogram that a native one has become.
    """

    __slots__ = (
        "_as_counter",
        "_as_gauge",
        "_raw_id",
        "_services",
        "_tenant",
        "_unit",
        "classic_parts",
        "labels",
        "metric",
        "of_histogram",
        "parts",
    )

    def __init__(self, tenant: str, services: ServiceRule, labelled: LabelledSeries, unit: str) -> None:
        self._tenant, self._services, self._unit = tenant, services, unit
        self.metric = labelled.metric
        self.labels = labelled.labels
        self.parts = labelled.parts + 1
        self.of_histogram: Mapping[str, Series] | None = None
        self.classic_parts: dict[tuple[str, float | None], int] = {}
        self._as_counter: Series | None = None
        self._as_gauge: Series | None = None
        self._raw_id: int | None = None

    @property
    def raw_id(self) -> int:
        """A stable 63-bit id of the labels."""
        if self._raw_id is None:
            self._raw_id = raw_id_of(self.labels)
        return self._raw_id

    @property
    def as_gauge(self) -> Series:
        """The series; raises InputError if it cannot be stored."""
        if self._as_gauge is None:
            self._as_gauge = self._series(self.metric, counter=False)
        return self._as_gauge

    def series(self, *, counter: bool) -> Series:
        if not counter:
            return self.as_gauge
        if self._as_counter is None:
            self._as_counter = self._series(self.metric, counter=True)
        return self._as_counter

    def histogram_series(self, *, gauge: bool) -> Mapping[str, Series]:
        """The series that a native histogram gives, by what their names add to the metric.

        Raises:
            InputError: a name is too long.
        """
        if self.of_histogram is None or gauge:
            names = ("_count", "_sum", *(f"_{name}" for name in QUANTILES))
            counters = () if gauge else ("_count", "_sum")
            found = {
                name: self._series(self.metric + name, counter=name in counters, has_unit=name != "_count")
                for name in names
            }
            if gauge:
                return found
            self.of_histogram = found
        return self.of_histogram

    def classic_part(self, ending: str, bound: float | None = None) -> "KnownLabels":
        """One series of the classic histogram that a native one becomes.

        Args:
            ending: what its name adds to the metric.
            bound: of a bucket.
        """
        metric = self.metric + ending
        labels = {**self.labels, "__name__": metric}
        if bound is not None:
            labels[LE] = number_text(bound) if isfinite(bound) else "+Inf"
        found = KnownLabels(
            self._tenant, self._services, LabelledSeries(metric, labels, len(labels)), self._unit
        )
        # Ids are remembered, because the hash takes most of the time; the series would need much memory.
        found._raw_id = self.classic_parts.get((ending, bound))
        if found._raw_id is None:
            self.classic_parts[ending, bound] = found.raw_id
        return found

    def _series(self, metric: str, *, counter: bool, has_unit: bool = True) -> Series:
        found = series_of_labels(
            self._tenant,
            metric,
            self.labels,
            counter=counter,
            step_s=DEFAULT_STEP_S,
            services=self._services,
        )
        if self._unit and has_unit and found.unit in {"", "1/s"}:
            return replace(found, unit=f"{self._unit}/s" if counter else self._unit)
        return found


class KnownSeries:
    """Remembers the series of one tenant by what was sent. It is thread-safe."""

    def __init__(self, tenant: str, services: ServiceRule) -> None:
        self._tenant = tenant
        self._services = services
        self._known: dict[Hashable, KnownLabels] = {}
        self._bytes = 0

    def get(self, key: Hashable) -> KnownLabels | None:
        return self._known.get(key)

    def remember(
        self,
        key: bytes | tuple[bytes, ...] | None,
        labelled: LabelledSeries,
        unit: str = "",
        *,
        has_histograms: bool = False,
    ) -> KnownLabels:
        """The series of some labels.

        Args:
            key: the labels as they were sent; null: they are not remembered.
            unit: of the values, where the name of the metric tells none.
            has_histograms: whether native histograms were sent of it.
        Raises:
            InputError: they cannot be stored.
        """
        known = None if key is None else self._known.get(key)
        if known is not None:
            return known
        found = KnownLabels(self._tenant, self._services, labelled, unit)
        found.series(counter=False)  # raises if it cannot be stored
        if key is not None:
            size = len(key) if isinstance(key, bytes) else sum(map(len, key))
            size += _HISTOGRAM_BYTES if has_histograms else 0
            if len(self._known) >= MAX_KNOWN or self._bytes + size > MAX_KNOWN_BYTES:
                self._known.clear()
                self._bytes = 0
            self._known[key] = found
            self._bytes += size
        return found
