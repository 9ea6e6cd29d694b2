"""OTLP metrics as the raw samples that a Prometheus would have of them, from which golden signals are computed.

References:
    https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#otlp-metric-points-to-prometheus
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from core.arrays import BoolArray, IntArray
from models.metrics.deltas import DELTA_LABEL, MARK, starts_of
from pipelines.sources.buckets import LADDER
from pipelines.sources.otlp_messages import Encoding
from pipelines.sources.otlp_points import (
    COUNT,
    SUM,
    WHOLE,
    Ending,
    Part,
    Values,
    is_without_value,
    number_of,
    quantiles_of_summary,
    read_exponential_buckets,
    require_times,
)
from pipelines.sources.otlp_prometheus_names import label_name, metric_name, number_text
from pipelines.sources.otlp_quantiles import explicit_buckets
from pipelines.sources.otlp_reading import Collected, Reading
from pipelines.sources.otlp_series import Entity, KnownSeries, Metric
from pipelines.sources.remote_write_columns import STALE_BITS, WriteRequest
from pipelines.sources.remote_write_known import KnownLabels
from pipelines.sources.remote_write_series import LabelledSeries
from pipelines.stores.dead_letters import REJECTED

STALE: float = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]


@dataclass(frozen=True, slots=True)
class RawRequest(WriteRequest):
    """A request as if a Prometheus had pushed it.

    Attributes:
        points: how many data points it has.
        rejected_points: how many of them are in `rejected`.
        point_of: which point each sample is of.
    """

    points: int
    rejected_points: int
    point_of: IntArray

    def rejected_with(self, kept: BoolArray) -> int:
        """How many points are rejected, with those of the samples that were not kept."""
        return self.rejected_points + len(np.unique(self.point_of[~kept]))


@lru_cache(maxsize=10_000)
def name_and_type(metric: Metric) -> tuple[str, str]:
    """Name and type of a metric in Prometheus.

    Raises:
        InputError: nothing of the name can be written.
    """
    monotonic = metric.values.is_counter
    name = metric_name(metric.name, metric.unit, metric.kind, monotonic=monotonic)
    types = {"sum": "counter" if monotonic else "gauge", "exponentialHistogram": "histogram"}
    return name, types.get(metric.kind, metric.kind)


class PrometheusSeries(KnownSeries[KnownLabels]):
    """The labels that a Prometheus gives to the series of OTLP."""

    def _entity(self, labels: dict[str, str], every: Mapping[str, str]) -> Entity[KnownLabels]:
        found: dict[str, str] = {}
        for name in sorted(labels):
            label = label_name(name)
            # of names that become one label, the specification joins the values
            found[label] = f"{found[label]};{labels[name]}" if label in found else labels[name]
        service = every.get("service.name", "")
        if service:
            namespace = every.get("service.namespace", "")
            found["job"] = f"{namespace}/{service}" if namespace else service
        if instance := every.get("service.instance.id", ""):
            found["instance"] = instance
        return Entity(service, found)

    def _series(
        self, metric: Metric, entity: Entity[KnownLabels], ending: Ending, values: Values
    ) -> KnownLabels:
        name = name_and_type(metric)[0] + ending.suffix
        labels = {**entity.labels, "__name__": name}
        if ending.label:  # the series of buckets are far more than the attributes that are counted
            self._make_room(len(name))
            labels[ending.label] = ending.value
        if values is Values.DELTA:
            labels[DELTA_LABEL] = "1"
        return KnownLabels(self._tenant, self._services, LabelledSeries(name, labels, len(labels)), "")


class PrometheusReading(Reading[KnownLabels]):
    """Reads a request into raw samples."""

    def __init__(self, known: PrometheusSeries, encoding: Encoding) -> None:
        super().__init__(known, encoding)
        self._types: dict[str, str] = {}

    def begin(self, metric: Metric) -> None:
        name, kind = name_and_type(metric)
        self._types[name] = kind

    def parts_of(self, metric: Metric, fields: Mapping[str, Any]) -> Sequence[Part]:
        require_times(metric.values, fields)
        parts = list(self._parts_of(metric, fields))
        self._parts.take(len(parts) - 1)
        if not is_without_value(fields):
            return parts
        # A delta that was not measured has counted nothing.
        return [(ending, values, STALE) for ending, values, _ in parts if values is not Values.DELTA]

    def _parts_of(self, metric: Metric, fields: Mapping[str, Any]) -> Iterator[Part]:
        values = metric.values
        if metric.kind in {"gauge", "sum"}:
            yield WHOLE, values, STALE if is_without_value(fields) else number_of(fields)
            return
        yield COUNT, values, float(fields.get("count", 0))
        if "sum" in fields or is_without_value(fields):
            yield SUM, values, fields.get("sum", 0.0)
        if metric.kind == "summary":
            for share, value in quantiles_of_summary(self._encoding, fields):
                yield Ending("", "quantile", number_text(share)), Values.LEVEL, value
            return
        for bound, count in self._reached(metric, fields):
            yield Ending("_bucket", "le", number_text(bound)), values, count
        yield Ending("_bucket", "le", "+Inf"), values, float(fields.get("count", 0))

    def _reached(self, metric: Metric, fields: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
        """Bounds, and how many values are at most each of them. All points of a series have the same bounds."""
        if metric.kind == "exponentialHistogram":
            counts = read_exponential_buckets(self._encoding, fields).reached(LADDER)
            yield from zip(LADDER.tolist(), counts.tolist(), strict=True)
            return
        explicit_buckets(fields)  # bounds and counts fit each other
        reached = np.cumsum(fields.get("bucketCounts", ())).tolist()
        yield from zip(map(float, fields.get("explicitBounds", ())), reached, strict=False)

    def request(self) -> RawRequest:
        """What was collected. A delta becomes two samples, see `models.metrics.deltas`."""
        found = self.collected()
        good = self._without_bad_deltas(found)
        deltas, values = found.deltas[good], found.values[good]
        end_ms, start_ms = (
            (ns[good] // 1_000_000).astype(np.int64) for ns in (found.time_ns, found.start_ns)
        )
        lengths = 1 + deltas.astype(np.int64)
        ends = np.cumsum(lengths) - 1
        marks = ends[deltas] - 1
        times_ms, sent = np.repeat(end_ms, lengths), np.repeat(values, lengths)
        times_ms[marks], sent[marks] = starts_of(start_ms[deltas], end_ms[deltas]), MARK
        sent[ends[deltas]] += 0.0  # a delta of -0.0 is no mark
        return RawRequest(
            series=[found.streams[at].series for at in np.flatnonzero(good).tolist()],
            lengths=lengths,
            times_ms=times_ms,
            values=sent,
            created_ms=np.zeros(len(times_ms), dtype=np.int64),
            histograms=(),
            metric_types=self._types,
            rejected=pl.DataFrame(self.rejected, schema=REJECTED, orient="row"),
            points=self.points,
            rejected_points=self.rejected_points,
            point_of=np.repeat(found.points[good], lengths),
        )

    def _without_bad_deltas(self, found: Collected[KnownLabels]) -> BoolArray:
        """Which values can be kept. A point with a delta that no counter can have is rejected as a whole."""
        falls = found.deltas & (found.values < 0)
        # the sum of a histogram falls where the values are below 0
        falls[falls] = [found.streams[at].series.metric.endswith("_total") for at in np.flatnonzero(falls)]
        is_bad = falls | (found.deltas & ~np.isfinite(found.values))
        _, first = np.unique(np.where(is_bad, found.points, -1), return_index=True)
        for at in first[is_bad[first]].tolist():
            row = {"labels": dict(found.streams[at].series.labels), "value": str(found.values[at])}
            self.reject(row, "the delta of a counter is a finite number of at least 0")
        return ~np.isin(found.points, found.points[is_bad])
