"""Pulls metrics of resources from Azure Monitor, in periods of a fixed length.

A value is stored at the end of its period. Values of Azure come some minutes late, so each pull asks for the last hour
again (`pipelines.sources.late_values`).

References:
    https://learn.microsoft.com/en-us/azure/azure-monitor/essentials/data-platform-metrics
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from core.batch import Batch
from core.clock import Clock
from core.domain import Series
from core.durations import DAY_S
from core.errors import InputError
from core.ports import MetricSource
from core.service_names import ServiceRule
from pipelines.sources.azure_monitor_api import (
    MAX_METRICS,
    MAX_SERIES,
    STEPS,
    AzureLogin,
    AzureMonitorApi,
    Span,
    Values,
)
from pipelines.sources.azure_monitor_metrics import Metric, Resource
from pipelines.sources.late_values import LateCursor, LateReads
from pipelines.sources.prometheus_values import Pending
from pipelines.sources.source_setup import SourceSetup
from pipelines.stores.dead_letters import REJECTED

#: The newest periods may still get values.
LAG_S = 180
BATCH_ROWS = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSelection:
    """Which values of Azure Monitor are pulled.

    Attributes:
        split_by: dimensions that are read one by one, of the metrics that have them.
        since: how far back the first pull goes.
        max_metrics: at most so many are read, because Azure limits the calls and charges for many.
    """

    resources: Sequence[Resource]
    split_by: Sequence[str] = ()
    since: timedelta = timedelta(days=1)
    step_s: int = 300
    max_metrics: int = 500

    def __post_init__(self) -> None:
        if self.step_s not in STEPS:
            known = ", ".join(str(one) for one in STEPS)
            raise InputError(f"FOREWARN_AZURE_STEP_S must be one of {known}, got {self.step_s}")


class AzureMonitorSource:
    """The metrics of some resources of Azure (`core.ports.MetricSource`).

    Args:
        services: derives the service from the dimensions; null: the usual names.
    """

    def __init__(
        self,
        api: AzureMonitorApi,
        selection: AzureSelection,
        *,
        tenant: str,
        clock: Clock,
        services: ServiceRule | None = None,
    ) -> None:
        self._api = api
        self._selection = selection
        self._tenant = tenant
        self._clock = clock
        self._services = services or ServiceRule()

    @classmethod
    def configured(cls, setup: SourceSetup) -> MetricSource | None:
        """The resources that the settings name; null where they name none.

        Raises:
            ConfigurationError: there is no login.
            InputError: the id of a resource, an address or the step is not valid.
        """
        settings = setup.settings
        if not settings.azure_resources:
            return None
        login = AzureLogin(
            tenant_id=settings.azure_tenant_id,
            client_id=settings.azure_client_id,
            client_secret=settings.azure_client_secret,
            bearer_token=settings.azure_bearer_token,
            login_url=settings.azure_login_url,
        )
        selection = AzureSelection(
            resources=[Resource.parse(uri) for uri in settings.azure_resources],
            split_by=settings.azure_dimensions,
            since=timedelta(hours=settings.azure_since_h),
            step_s=settings.azure_step_s,
            max_metrics=settings.azure_max_metrics,
        )
        return cls(
            AzureMonitorApi(settings.azure_endpoint_url, login),
            selection,
            tenant=setup.tenant,
            clock=setup.clock,
            services=settings.service_rule,
        )

    @property
    def name(self) -> str:
        """Other resources or another step are another source, because each has its own cursor."""
        names = " ".join(
            sorted(f"{one.group}/{one.name}/{one.part}".strip("/") for one in self._selection.resources)
        )
        return f"azure:{names} every {self._selection.step_s} s"

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        """All values after `cursor`, and late ones of the hour before.

        Raises:
            InputError: Azure refuses the login, or a role is missing.
            UnavailableError: Azure does not answer, or throttles the calls.
        """
        now_s, step_s = self._clock.now().timestamp(), self._selection.step_s
        until = int((now_s - LAG_S) // step_s) * step_s
        first = int((now_s - self._selection.since.total_seconds()) // step_s) * step_s
        before = LateCursor(first) if cursor is None else LateCursor.parse(cursor)
        if until <= before.until:
            return
        with self._api.connected():
            chosen = self._chosen()
            notes = list(chosen.notes)
            pull = _Pull(self._series, before, until, step_s, chosen.rejected)
            again = before.asks_again_from(until, step_s)
            for group in _asked_together(chosen.metrics, pull.is_known):
                start = again if pull.is_known(group[0]) else first
                try:
                    for begin in range(start, until, DAY_S):
                        for values in self._api.values(group, Span(begin, min(begin + DAY_S, until), step_s)):
                            pull.add(values)
                    pull.mark_asked(group)
                except InputError as error:
                    notes.append(f"{len(group)} metrics of Azure were left out: {error}")
                if pull.rows >= BATCH_ROWS:
                    yield pull.batch()
        yield pull.last(notes)

    def _series(self, metric: Metric, dimensions: Mapping[str, str]) -> Series:
        step_s = self._selection.step_s
        return metric.series(dimensions, tenant=self._tenant, services=self._services, step_s=step_s)

    def _chosen(self) -> "_Chosen":
        """The metrics to read, and what is left out. One resource that has gone does not stop the others."""
        found: list[Metric] = []
        rejected: list[tuple[str, str]] = []
        notes: list[str] = []
        others = refused = 0
        for resource in self._selection.resources:
            try:
                metrics, left_out = self._api.definitions(
                    resource, self._selection.step_s, self._selection.split_by
                )
            except InputError as error:
                refused += 1
                if refused == len(self._selection.resources):
                    raise
                notes.append(f"{resource.name} was left out: {error}")
                continue
            others += left_out
            for metric in metrics:
                try:
                    self._series(metric, {})
                    found.append(metric)
                except InputError as error:
                    rejected.append((_row(metric, {}), str(error)))
        if others:
            notes.append(f"{others} metrics of Azure have no values every {self._selection.step_s} s")
        too_many = len(found) - self._selection.max_metrics
        if too_many > 0:
            notes.append(
                f"{too_many} metrics of Azure were left out: raise FOREWARN_AZURE_MAX_METRICS"
                f" ({self._selection.max_metrics}) or give fewer resources"
            )
        return _Chosen(found[: self._selection.max_metrics], rejected, notes)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The metrics to read, those that cannot be stored, and what is left out."""

    metrics: Sequence[Metric]
    rejected: Sequence[tuple[str, str]]
    notes: Sequence[str]


def _row(metric: Metric, dimensions: Mapping[str, str]) -> str:
    """A series as its dead letter shows it."""
    return json.dumps({"resource": metric.resource.uri, "metric": metric.name, **dimensions})


def _asked_together(metrics: Sequence[Metric], is_known: Callable[[Metric], bool]) -> Iterator[list[Metric]]:
    """Groups of metrics that one call can ask for: of one resource, with the same dimensions and the same start."""
    groups: dict[tuple[object, ...], list[Metric]] = {}
    for one in metrics:
        key = (one.resource.uri, one.namespace, one.split_by, is_known(one))
        groups.setdefault(key, []).append(one)
    for group in groups.values():
        for place in range(0, len(group), MAX_METRICS):
            yield group[place : place + MAX_METRICS]


class _Pull:
    """One pull: it gathers values, and keeps which periods it has read.

    Args:
        series_of: the series of a metric with these dimensions.
        until: end of the last period, in seconds since 1970.
        rejected: metrics that cannot be stored, each with the reason.
    """

    def __init__(
        self,
        series_of: Callable[[Metric, Mapping[str, str]], Series],
        before: LateCursor,
        until: int,
        step_s: int,
        rejected: Sequence[tuple[str, str]],
    ) -> None:
        self._series_of = series_of
        self._before = before
        self._reads = LateReads(before, until, step_s)
        self._step_s = step_s
        self._asked: set[int] = set()
        self._split: defaultdict[Metric, set[int]] = defaultdict(set)
        self._pending = Pending()
        self._rejected = list(rejected)

    @property
    def rows(self) -> int:
        return self._pending.rows

    def is_known(self, metric: Metric) -> bool:
        """Whether a pull before this one asked for the metric."""
        return self._whole(metric) in self._before.read

    def add(self, read: Values) -> None:
        """Keep the new values of one series."""
        try:
            series = self._series_of(read.metric, read.dimensions)
        except InputError as error:
            self._rejected.append((_row(read.metric, read.dimensions), str(error)))
            return
        ends = np.asarray(read.starts, dtype=np.int64) + self._step_s
        values = np.asarray(read.values, dtype=np.float64)
        self._asked.add(series.series_id)
        new = self._reads.take(series.series_id, read.metric.unit, ends, values)
        self._pending.add(series, ends[new] * 1_000_000, values[new] * read.metric.scale(self._step_s))
        if read.metric.split_by:
            self._split[read.metric].add(series.series_id)

    def mark_asked(self, metrics: Sequence[Metric]) -> None:
        """Remember that these metrics were asked for, with or without values."""
        for one in metrics:
            whole = self._whole(one)
            self._asked.add(whole)
            self._reads.take(whole, one.unit, np.empty(0, dtype=np.int64), np.empty(0))

    def batch(self) -> Batch:
        """What has been read up to now, without a cursor."""
        done, self._pending = self._pending, Pending()
        return done.batch(pl.DataFrame(schema=REJECTED))

    def last(self, notes: Sequence[str]) -> Batch:
        """The rest, with the cursor."""
        full = [one.name for one, ids in self._split.items() if len(ids) >= MAX_SERIES]
        cut = [
            f"{name} of Azure has more than {MAX_SERIES} series; the others were left out" for name in full
        ]
        rejected = pl.DataFrame(self._rejected, schema=REJECTED, orient="row")
        return self._pending.batch(rejected, cursor=self._reads.cursor(self._asked), notes=[*notes, *cut])

    def _whole(self, metric: Metric) -> int:
        """The id of the metric without dimensions, by which the cursor knows that it was asked for."""
        return self._series_of(metric, {}).series_id
