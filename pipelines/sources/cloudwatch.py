"""Pulls metrics from Amazon CloudWatch, in periods of a fixed length. It needs the extra `aws`.

A value is stored at the end of its period. Values of CloudWatch can come late. So each pull asks for the last hour
again and takes what is new: the cursor holds, for each series, which periods of that hour have been read. A value that
CloudWatch changes afterwards stays as it was first read.

References:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta

import numpy as np
import polars as pl

from core.batch import Batch
from core.clock import Clock
from core.domain import DEFAULT_STEP_S, Series
from core.durations import HOUR_S
from core.errors import ConfigurationError, InputError
from core.ports import MetricSource
from core.service_names import SERVICE_LABELS, ServiceRule
from pipelines.sources.cloudwatch_api import CloudWatchApi, Period, connect
from pipelines.sources.cloudwatch_metrics import Metric
from pipelines.sources.prometheus_values import Floats, Ints, Pending
from pipelines.sources.source_setup import SourceSetup
from pipelines.stores.dead_letters import REJECTED

#: The newest period may still get values.
LAG_S = 60
#: A pull asks for this time again.
LATENESS_S = HOUR_S
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


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read of one metric.

    Attributes:
        unit: as CloudWatch writes it.
        periods: a bit for each of the last periods, the newest is the lowest one: whether its value was read.
    """

    unit: str
    periods: int


@dataclass(frozen=True, slots=True)
class _Cursor:
    """Everything up to `until` (seconds since 1970) was asked for."""

    until: int
    read: Mapping[int, _Read] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "_Cursor":
        held = json.loads(text)
        return cls(held["until"], {int(key): _Read(*value) for key, value in held["read"].items()})

    def text(self) -> str:
        held = {str(key): [one.unit, one.periods] for key, one in self.read.items()}
        return json.dumps({"until": self.until, "read": held}, separators=(",", ":"))

    def moved_to(self, until: int, step_s: int) -> "_Cursor":
        """The same at a later time; periods that are too old for another read are forgotten."""
        shift = (until - self.until) // step_s
        kept = (1 << LATENESS_S // step_s) - 1
        return _Cursor(
            until, {key: _Read(one.unit, one.periods << shift & kept) for key, one in self.read.items()}
        )


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
            services=ServiceRule(settings.prometheus_service_labels or SERVICE_LABELS),
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
        before = _Cursor(first) if cursor is None else _Cursor.parse(cursor)
        if until <= before.until:
            return
        metrics, rejected, notes = self._chosen(before, recent=cursor is not None)
        pull = _Pull(self._api, self._series, step_s, before, until)
        known = [one for one in metrics if self._series(one).series_id in before.read]
        new = [one for one in metrics if self._series(one).series_id not in before.read]
        yield from pull.read(known, min(before.until, until - LATENESS_S // step_s * step_s))
        yield from pull.read(new, first)
        yield pull.last(notes, pl.DataFrame(rejected, schema=REJECTED, orient="row"))

    def _series(self, metric: Metric, unit: str = "") -> Series:
        """The series of a metric; its id does not depend on the unit."""
        return metric.series(
            tenant=self._tenant, services=self._services, unit=unit, step_s=self._selection.step_s
        )

    def _chosen(
        self, before: _Cursor, *, recent: bool
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
        before: _Cursor,
        until: int,
    ) -> None:
        self._api = api
        self._series_of = series_of
        self._step_s = step_s
        self._before = before
        self._until = until
        self._read = dict(before.moved_to(until, step_s).read)
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
        known = self._read.get(key)
        if known is None:
            last_hours = Period(self._until - _UNIT_S, self._until, HOUR_S)
            known = _Read(self._api.unit(metric, last_hours), 0)
        ages = (self._until - ends) // self._step_s
        # Values of a metric that was read before are known, but for late ones in the window.
        repeats = (ages >= LATENESS_S // self._step_s) & (ends <= self._before.until)
        seen = repeats if key in self._before.read else np.zeros(len(ends), dtype=bool)
        seen |= np.array([known.periods >> int(age) & 1 for age in ages], dtype=bool)
        new = np.isfinite(values) & ~seen & (ages >= 0)
        periods = known.periods
        for age in ages[new & (ages < LATENESS_S // self._step_s)]:
            periods |= 1 << int(age)
        self._read[key] = replace(known, periods=periods)
        series = self._series_of(metric, known.unit)
        scale = metric.scale(known.unit, self._step_s)
        self._pending.add(series, ends[new] * 1_000_000, values[new] * scale)

    def last(self, notes: Sequence[str], rejected: pl.DataFrame) -> Batch:
        """The rest, with the cursor, which forgets metrics that have gone: hosts and functions come and go."""
        kept = {key: one for key, one in self._read.items() if one.periods or key in self._asked}
        cursor = _Cursor(self._until, kept).text()
        return self._pending.batch(rejected, cursor=cursor, notes=notes)
