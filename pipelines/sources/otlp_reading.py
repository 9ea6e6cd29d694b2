"""Reads a request of OTLP metrics, point by point, and collects the values of its series."""

import json
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from core.errors import InputError
from pipelines.sources.otlp_messages import MALFORMED, SCOPE, Encoding, Protobuf
from pipelines.sources.otlp_metric_messages import DATA, METRIC, METRICS
from pipelines.sources.otlp_points import (
    HEAD_BYTES,
    POINTS,
    Part,
    UnsignedArray,
    Values,
    has_only_attributes,
    parted,
    read_heads,
    values_of,
)
from pipelines.sources.otlp_series import KnownMetric, KnownSeries, Metric, S, Stream
from pipelines.sources.protobuf import Parts, TooManyPartsError

#: Metrics, points and attributes in one request.
MAX_PARTS = 300_000
#: A dead letter shows so many characters of a part.
_SHOWN_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Collected(Generic[S]):
    """The values of a request.

    Attributes:
        streams: the series of each value.
        points: which point each value is of; a point of a histogram has several values.
        start_ns, time_ns: of the points, in nanoseconds since 1970; a start of 0 is not known.
        deltas: which values tell what a counter grew by since the start.
    """

    streams: Sequence[Stream[S]]
    points: IntArray
    start_ns: UnsignedArray
    time_ns: UnsignedArray
    values: FloatArray
    deltas: BoolArray


class Reading(ABC, Generic[S]):
    """Collects what one request has.

    Attributes:
        points: how many data points were read.
        rejected: rows and reasons, for dead letters.
        rejected_points: how many of the points are rejected.
    """

    def __init__(self, known: KnownSeries[S], encoding: Encoding) -> None:
        self._known = known
        self._encoding = encoding
        self._parts = Parts(MAX_PARTS, "metrics, data points and attributes; send smaller batches")
        self.rejected: list[tuple[str, str]] = []
        self.points = self.rejected_points = 0
        # what was read one by one
        self._streams: list[Stream[S]] = []
        self._places: list[int] = []
        self._read_one_by_one = 0
        self._starts: list[int] = []
        self._times: list[int] = []
        self._values: list[float] = []
        # number points whose attributes are known
        self._usual: list[tuple[KnownMetric[S], Stream[S], memoryview]] = []
        self._heads: list[bytes] = []

    @abstractmethod
    def begin(self, metric: Metric) -> None:
        """The points of a metric come next.

        Raises:
            MALFORMED: they cannot be stored.
        """

    @abstractmethod
    def parts_of(self, metric: Metric, fields: Mapping[str, Any]) -> Sequence[Part]:
        """The values of one point.

        Raises:
            MALFORMED: the point cannot be stored.
        """

    def resource_metrics(self, raw: Any) -> None:
        encoding = self._encoding
        try:
            self._parts.take(1)
            fields = encoding.read(raw, METRICS.resource)
            resource = fields.get("resource")
            key = b"" if resource is None else encoding.key([resource])
            scopes = fields.get(METRICS.scopes, [])
        except TooManyPartsError:
            raise
        except MALFORMED as error:
            self.reject(
                {"resource_metrics": self._shown(raw)}, f"the metrics of a resource cannot be read: {error}"
            )
            return
        metrics: list[tuple[str, Any, dict[str, Any]]] = []
        scopes_of_name: dict[str, set[str]] = defaultdict(set)
        for scope in scopes:
            for name, metric, found in self._metrics_of(scope):
                metrics.append((name, metric, found))
                scopes_of_name[found.get("name", "")].add(name)
        for scope_name, metric, found in metrics:
            several = len(scopes_of_name[found.get("name", "")]) > 1
            self._metric(metric, found, (resource, key), scope_name if several else "")

    def collected(self) -> Collected[S]:
        """The values of all points that can be read."""
        starts, times, values = self._read_usual()
        usual = len(self._usual)
        streams = [stream for _, stream, _ in self._usual] + self._streams
        return Collected(
            streams=streams,
            points=np.concatenate([np.arange(usual), usual + np.array(self._places, dtype=np.int64)]),
            start_ns=np.concatenate([starts, np.array(self._starts, dtype=np.uint64)]),
            time_ns=np.concatenate([times, np.array(self._times, dtype=np.uint64)]),
            values=np.concatenate([values, np.array(self._values, dtype=np.float64)]),
            deltas=np.array([one.values is Values.DELTA for one in streams], dtype=bool),
        )

    def _metrics_of(self, raw: Any) -> list[tuple[str, Any, dict[str, Any]]]:
        """Name of the scope, metric as it came, and its fields."""
        encoding = self._encoding
        try:
            fields = encoding.read(raw, METRICS.scope)
            name = encoding.read(fields["scope"], SCOPE).get("name", "") if "scope" in fields else ""
            metrics = fields.get(METRICS.items, [])
            self._parts.take(len(metrics))
        except TooManyPartsError:
            raise
        except MALFORMED as error:
            self.reject(
                {"scope_metrics": self._shown(raw)}, f"the metrics of a scope cannot be read: {error}"
            )
            return []
        found = []
        for metric in metrics:
            try:
                found.append((name, metric, encoding.read(metric, METRIC)))
            except MALFORMED as error:
                self.reject({"metric": self._shown(metric)}, f"the metric cannot be read: {error}")
        return found

    def _metric(
        self, raw: Any, fields: Mapping[str, Any], resource: tuple[Any, str | bytes], scope: str
    ) -> None:
        name = fields.get("name", "")
        kind = next((kind for kind in POINTS if kind in fields), None)
        points: Sequence[Any] = ()
        try:
            data = self._encoding.read(fields[kind], DATA) if kind else {}
            points = data.get("dataPoints", ())
            self.points += len(points)
            self._parts.take(len(points))
            if not name:
                raise InputError("it has no name")
            if kind is None:
                raise InputError("it has no data of a known type")
            temporality = data.get("aggregationTemporality", 0)
            values = values_of(kind, temporality, monotonic=data.get("isMonotonic", False))
            metric = Metric(name, fields.get("unit", ""), kind, values, scope)
            self.begin(metric)
            known = self._known.metric(metric, self._encoding, *resource)
        except TooManyPartsError:
            raise
        except MALFORMED as error:
            row = {"metric": name} if name else {"metric": self._shown(raw)}
            self.reject(row, f"the metric cannot be stored: {error}", len(points))
            return
        if known.rests and isinstance(self._encoding, Protobuf):
            points = self._take_usual(known, points)
        for point in points:
            self._point(known, point)

    def _take_usual(self, known: KnownMetric[S], points: Sequence[memoryview]) -> list[memoryview]:
        """Collect the number points whose attributes are known; returns the others."""
        others = []
        rests = known.rests
        for point in points:
            head, rest = parted(point)
            stream = rests.get(rest)
            if stream is None or len(head) != HEAD_BYTES:
                others.append(point)
            else:
                self._heads.append(head)
                self._usual.append((known, stream, point))
        return others

    def _read_usual(self) -> tuple[UnsignedArray, UnsignedArray, FloatArray]:
        """Starts, times and values of the usual points; those that are not usual are read one by one."""
        starts, times, values, usual = read_heads(self._heads)
        deltas = np.array([one.values is Values.DELTA for _, one, _ in self._usual], dtype=bool)
        usual &= ~deltas | ((starts > 0) & (starts < times))
        if usual.all():
            return starts, times, values
        for place in np.flatnonzero(~usual).tolist():
            known, _, point = self._usual[place]
            self._point(known, point)
        self._usual = [self._usual[place] for place in np.flatnonzero(usual).tolist()]
        return starts[usual], times[usual], values[usual]

    def _point(self, known: KnownMetric[S], raw: Any) -> None:
        """Read one point."""
        encoding, metric = self._encoding, known.metric
        try:
            fields = encoding.read(raw, POINTS[metric.kind])
            attributes = fields.get("attributes", [])
            self._parts.take(len(attributes))
            entity = self._known.entity(known, encoding, attributes)
            parts = self.parts_of(metric, fields)
            streams = [self._known.stream(metric, entity, ending, values) for ending, values, _ in parts]
        except TooManyPartsError:
            raise
        except MALFORMED as error:
            row = {"metric": metric.name, "point": self._shown(raw)}
            self.reject(row, f"the data point cannot be stored: {error}")
            return
        self._streams += streams
        self._places += [self._read_one_by_one] * len(parts)
        self._read_one_by_one += 1
        self._starts += [fields.get("startTimeUnixNano", 0)] * len(parts)
        self._times += [fields.get("timeUnixNano", 0)] * len(parts)
        self._values += [value for _, _, value in parts]
        if parts and isinstance(encoding, Protobuf) and POINTS[metric.kind] is POINTS["gauge"]:
            head, rest = parted(raw)
            if len(head) == HEAD_BYTES and has_only_attributes(rest):
                known.rests[rest] = streams[0]

    def reject(self, row: Mapping[str, object], reason: str, points: int = 1) -> None:
        """Keep a part for the dead letters."""
        self.rejected.append((json.dumps(row), reason))
        self.rejected_points += points

    def _shown(self, raw: Any) -> str:
        return self._encoding.text(raw)[:_SHOWN_CHARS]
