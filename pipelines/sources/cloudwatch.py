"""Pulls metrics from Amazon CloudWatch, in periods of a fixed length. It needs the extra `aws`.

A value is stored at the end of its period. Values of CloudWatch can come late, so each pull asks for the last hour
again (`pipelines.sources.late_values`).

References:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from core.batch import Batch
from core.clock import Clock
from core.domain import DEFAULT_STEP_S, Series
from core.durations import HOUR_S
from core.errors import ConfigurationError, InputError
from core.ports import MetricSource
from core.service_names import ServiceRule
from pipelines.sources.cloudwatch_api import CloudWatchApi, Period, connect
from pipelines.sources.cloudwatch_metrics import Metric
from pipelines.sources.late_values import LateCursor, LateReads
from pipelines.sources.prometheus_values import Floats, Ints, Pending
from pipelines.sources.source_setup import SourceSetup
from pipelines.stores.dead_letters import REJECTED

#: The newest period may still get values.
LAG_S = 60
#: Over this time the unit of a metric is looked up.
_UNIT_S = 3 * HOUR_S
BATCH_ROWS = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudWatchSelection:
    """Which values of CloudWatch are pulled.

    Attributes:
        namespaces: such as `AWS/Lambda`.
        since: how far back the first pull goes.
        step_s: length of a period in seconds, a multiple of 60.
        max_metrics: at most so many are read; AWS charges for each of them at each pull.
    """

    namespaces: Sequence[str]
    since: timedelta = timedelta(days=1)
    step_s: int = DEFAULT_STEP_S
    max_metrics: int = 500

    def __post_init__(self) -> None:
        if self.step_s <= 0 or self.step_s % 60:
            raise InputError(f"FOREWARN_CLOUDWATCH_STEP_S must be a multiple of 60, got {self.step_s}")


class CloudWatchSource:
    """The metrics of some namespaces of CloudWatch (`core.ports.MetricSource`).

    Args:
        region: for the name of the source.
        services: derives the service from the dimensions; null: the usual names.
    """

    def __init__(
        self,
        api: CloudWatchApi,
        selection: CloudWatchSelection,
        *,
        region: str,
        tenant: str,
        clock: Clock,
        services: ServiceRule | None = None,
    ) -> None:
        self._api = api
        self._selection = selection
        self._region = region
        self._tenant = tenant
        self._clock = clock
        self._services = services or ServiceRule()

    @classmethod
    def configured(cls, setup: SourceSetup) -> MetricSource | None:
        """The CloudWatch that the settings name; null where they name none, or only its alarms.

        Raises:
            ConfigurationError: the extra is not installed, or no namespace is given.
        """
        settings = setup.settings
        if settings.cloudwatch_region is None:
            return None
        if not settings.cloudwatch_namespaces and settings.cloudwatch_alarms:
            return None
        if not settings.cloudwatch_namespaces:
            raise ConfigurationError(
                'FOREWARN_CLOUDWATCH_NAMESPACES is not set: give a JSON list such as ["AWS/Lambda", "AWS/RDS"]'
            )
        selection = CloudWatchSelection(
            namespaces=settings.cloudwatch_namespaces,
            since=timedelta(hours=settings.cloudwatch_since_h),
            step_s=settings.cloudwatch_step_s,
            max_metrics=settings.cloudwatch_max_metrics,
        )
        return cls(
            connect(settings.cloudwatch_region, settings.cloudwatch_endpoint_url),
            selection,
            region=settings.cloudwatch_region,
            tenant=setup.tenant,
            clock=setup.clock,
            services=settings.service_rule,
        )

    @property
    def name(self) -> str:
        """Other namespaces or another step are another source, because each has its own cursor."""
        names = " ".join(sorted(self._selection.namespaces))
        return f"cloudwatch:{self._region} {names} every {self._selection.step_s} s"

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        """All values after `cursor`, and late ones of the hour before.

        Raises:
            InputError: AWS refuses the login, or a permission is missing.
            UnavailableError: CloudWatch does not answer, or throttles the calls.
        """
        now_s = self._clock.now().timestamp()
        step_s = self._selection.step_s
        until = int((now_s - LAG_S) // step_s) * step_s
        first = int((now_s - self._selection.since.total_seconds()) // step_s) * step_s
        before = LateCursor(first) if cursor is None else LateCursor.parse(cursor)
        if until <= before.until:
            return
        metrics, rejected, notes = self._chosen(before, recent=cursor is not None)
        pull = _Pull(self._api, self._series, step_s, before, until)
        known = [one for one in metrics if self._series(one).series_id in before.read]
        new = [one for one in metrics if self._series(one).series_id not in before.read]
        yield from pull.read(known, before.asks_again_from(until, step_s))
        yield from pull.read(new, first)
        yield pull.last(notes, pl.DataFrame(rejected, schema=REJECTED, orient="row"))

    def _series(self, metric: Metric, unit: str = "") -> Series:
        """The series of a metric; its id does not depend on the unit."""
        return metric.series(
            tenant=self._tenant, services=self._services, unit=unit, step_s=self._selection.step_s
        )

    def _chosen(
        self, before: LateCursor, *, recent: bool
    ) -> tuple[list[Metric], list[tuple[str, str]], list[str]]:
        """The metrics to read, those first that were read before; those that cannot be stored; what is left out."""
        found: list[Metric] = []
        rejected, notes = [], []
        for namespace in self._selection.namespaces:
            metrics, has_more = self._api.metrics(namespace, recent=recent)
            for metric in metrics:
                try:
                    self._series(metric)
                    found.append(metric)
                except InputError as error:
                    rejected.append((json.dumps(asdict(metric)), str(error)))
            if has_more:
                notes.append(
                    f"{namespace} has more than {len(metrics)} metrics; the others were not considered"
                )
        found.sort(key=lambda one: self._series(one).series_id not in before.read)
        left_out = len(found) - self._selection.max_metrics
        if left_out > 0:
            notes.append(
                f"{left_out} metrics of CloudWatch were left out: raise FOREWARN_CLOUDWATCH_MAX_METRICS"
                f" ({self._selection.max_metrics}) or give fewer namespaces"
            )
        return found[: self._selection.max_metrics], rejected, notes


class _Pull:
    """One pull: it reads values, and keeps which periods it has read.

    Args:
        series_of: the series of a metric with a unit.
        until: end of the last period, in seconds since 1970.
    """

    def __init__(
        self,
        api: CloudWatchApi,
        series_of: Callable[[Metric, str], Series],
        step_s: int,
        before: LateCursor,
        until: int,
    ) -> None:
        self._api = api
        self._series_of = series_of
        self._step_s = step_s
        self._until = until
        self._reads = LateReads(before, until, step_s)
        self._asked: set[int] = set()
        self._pending = Pending()

    def read(self, metrics: Sequence[Metric], start: int) -> Iterator[Batch]:
        """The values of periods from `start` on that were not read before."""
        if not metrics:
            return
        self._asked.update(self._series_of(one, "").series_id for one in metrics)
        for metric, starts, values in self._api.values(metrics, Period(start, self._until, self._step_s)):
            self._add(
                metric, np.asarray(starts, dtype=np.int64) + self._step_s, np.asarray(values, dtype=float)
            )
            if self._pending.rows >= BATCH_ROWS:
                yield self._pending.batch(pl.DataFrame(schema=REJECTED))
                self._pending = Pending()

    def _add(self, metric: Metric, ends: Ints, values: Floats) -> None:
        key = self._series_of(metric, "").series_id
        unit = self._reads.unit(key)
        if unit is None:
            unit = self._api.unit(metric, Period(self._until - _UNIT_S, self._until, HOUR_S))
        new = self._reads.take(key, unit, ends, values)
        series = self._series_of(metric, unit)
        self._pending.add(series, ends[new] * 1_000_000, values[new] * metric.scale(unit, self._step_s))

    def last(self, notes: Sequence[str], rejected: pl.DataFrame) -> Batch:
        """The rest, with the cursor."""
        return self._pending.batch(rejected, cursor=self._reads.cursor(self._asked), notes=notes)
