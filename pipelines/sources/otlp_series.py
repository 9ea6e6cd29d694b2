"""Which series the attributes of OTLP points give; they are remembered between requests."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from core.domain import DEFAULT_STEP_S, Series, SeriesKind
from core.metric_names import guess_metric
from core.service_names import ServiceRule
from pipelines.sources.otlp_attributes import labels_of, resource_labels_of
from pipelines.sources.otlp_messages import RESOURCE, Encoding
from pipelines.sources.otlp_points import Ending, Values
from pipelines.sources.otlp_units import unit_of

#: So many series are remembered, with so many bytes of attributes in all. With more, all are forgotten.
MAX_KNOWN = 20_000
MAX_KNOWN_BYTES = 8_000_000


#: What a series is: `Series`, or labels as Prometheus has them.
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Stream(Generic[S]):
    """A series, and what its values are."""

    series: S
    values: Values


@dataclass(frozen=True, slots=True)
class Entity(Generic[S]):
    """What the attributes of a point and its resource name.

    Attributes:
        streams: by the end of the name of the series.
    """

    service: str
    labels: Mapping[str, str]
    streams: dict[tuple[Ending, Values], Stream[S]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metric:
    """What the points of a metric have in common.

    Attributes:
        unit: a code of UCUM.
        kind: a key of `otlp_points.POINTS`.
        scope: the name of the scope; empty: it is no label.
    """

    name: str
    unit: str
    kind: str
    values: Values
    scope: str


@dataclass(frozen=True, slots=True)
class KnownMetric(Generic[S]):
    """A metric of one resource.

    Attributes:
        labels: attributes of the resource that become labels.
        attributes: all attributes of the resource.
        entities: by the attributes of a point.
        rests: the stream of each number point of the usual form, by what follows its head.
    """

    metric: Metric
    labels: Mapping[str, str]
    attributes: Mapping[str, str]
    entities: dict[str | bytes, Entity[S]] = field(default_factory=dict)
    rests: dict[bytes, Stream[S]] = field(default_factory=dict)


class KnownSeries(ABC, Generic[S]):
    """Remembers the series of some attributes. It is thread-safe."""

    def __init__(self, tenant: str, services: ServiceRule) -> None:
        self._tenant = tenant
        self._services = services
        self._metrics: dict[Hashable, KnownMetric[S]] = {}
        self._count = self._bytes = 0

    def metric(
        self, metric: Metric, encoding: Encoding, resource: Any, resource_key: str | bytes
    ) -> KnownMetric[S]:
        """A metric of a resource.

        Args:
            resource: as it came; null: there is none.
            resource_key: `encoding.key` of it.
        Raises:
            MALFORMED: the resource cannot be read.
        """
        key = (metric, resource_key)
        found = self._metrics.get(key)
        if found is None:
            fields = {} if resource is None else encoding.read(resource, RESOURCE)
            labels, attributes = resource_labels_of(encoding, fields.get("attributes", []))
            self._make_room(len(resource_key))
            found = self._metrics[key] = KnownMetric(metric, labels, attributes)
        return found

    def entity(self, known: KnownMetric[S], encoding: Encoding, attributes: Sequence[Any]) -> Entity[S]:
        """What the attributes of a point name. An attribute of the point replaces one of the resource.

        Raises:
            InputError: an attribute cannot be read.
        """
        key = encoding.key(attributes)
        found = known.entities.get(key)
        if found is None:
            own = labels_of(encoding, attributes)
            labels = {**known.labels, **own}
            if known.metric.scope:
                labels.setdefault("otel.scope.name", known.metric.scope)
            self._make_room(2 * len(key))
            found = known.entities[key] = self._entity(labels, {**known.attributes, **own})
        return found

    def stream(self, metric: Metric, entity: Entity[S], ending: Ending, values: Values) -> Stream[S]:
        """A series of a metric.

        Raises:
            InputError: it cannot be stored.
        """
        found = entity.streams.get((ending, values))
        if found is None:
            series = self._series(metric, entity, ending, values)
            found = entity.streams[(ending, values)] = Stream(series, values)
        return found

    @abstractmethod
    def _entity(self, labels: dict[str, str], every: Mapping[str, str]) -> Entity[S]:
        """The entity with these labels.

        Args:
            every: with all attributes of the resource.
        """

    @abstractmethod
    def _series(self, metric: Metric, entity: Entity[S], ending: Ending, values: Values) -> S:
        """A series of a metric; raises InputError."""

    def _make_room(self, size: int) -> None:
        self._count += 1
        self._bytes += size
        if self._count > MAX_KNOWN or self._bytes > MAX_KNOWN_BYTES:
            self._metrics.clear()
            self._count = self._bytes = 0


class StoredSeries(KnownSeries[Series]):
    """The series that are stored as they come; counters become rates per second."""

    def _entity(self, labels: dict[str, str], every: Mapping[str, str]) -> Entity[Series]:
        named = self._services.label_in(every)
        labels.pop(named or "", None)
        return Entity("unknown" if named is None else every[named].strip(), labels)

    def _series(self, metric: Metric, entity: Entity[Series], ending: Ending, values: Values) -> Series:
        name = metric.name + ending.suffix
        guess = guess_metric(name)
        # the number of values has not their unit
        unit = unit_of(metric.unit)
        unit = guess.unit if ending.suffix == "_count" or not unit else unit
        is_ratio = guess.kind is SeriesKind.RATIO and unit == guess.unit
        kind = SeriesKind.RATIO if is_ratio else SeriesKind.GAUGE
        if values.is_counter:
            kind, unit = SeriesKind.COUNTER, f"{unit}/s" if unit else "1/s"
        return Series(
            tenant=self._tenant,
            service=entity.service,
            metric=name,
            labels=entity.labels,
            unit=unit,
            kind=kind,
            role=guess.role,
            step_s=DEFAULT_STEP_S,
        )
