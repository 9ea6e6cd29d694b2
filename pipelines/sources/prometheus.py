"""Pulls samples from Prometheus through its query API, at a fixed step, from where the last pull ended.

Queries ask for times at whole multiples of the step. Two pulls therefore ask for the same times, and each value is
stored once. Counters become rates per second; Prometheus computes them (`rate`) and handles resets. NaN means "not
measured" in Prometheus and is left out. Buckets of histograms are left out, too.

References:
    https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from core.batch import Batch
from core.clock import Clock
from core.domain import DEFAULT_STEP_S, Series, SeriesKind
from core.durations import DAY_S
from core.errors import InputError
from core.frames import SAMPLES
from core.metric_names import guess_metric
from core.metric_types import declaring_names, is_bucket, is_counter
from core.ports import MetricSource
from core.service_names import SERVICE_LABELS, ServiceRule
from pipelines.sources.prometheus_api import Login, PrometheusApi
from pipelines.sources.prometheus_queries import Query, Span
from pipelines.sources.source_setup import SourceSetup

#: Prometheus refuses a range query of more than 11,000 points in a series. One query asks for at most a day.
MAX_POINTS = 10_000
MAX_CHUNK_S = DAY_S
#: The newest scrapes may not be stored yet.
LAG_S = 30
#: A rate needs two scrapes in its window. With four, one may fail or be late.
SCRAPES_IN_RATE = 4
ASSUMED_SCRAPE_S = 15.0
BATCH_ROWS = 250_000
#: The times from 1900 to 2100 are inside the calendar of every part of the stack.
MAX_TIME_S = 4.1e9

DEFAULT_MATCH = ('{__name__!=""}',)

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which values of a Prometheus are pulled.

    Attributes:
        match: series selectors, such as `{job="node"}`.
        since: how far back the first pull goes.
        step_s: seconds between values, > 0.
    """

    match: tuple[str, ...] = DEFAULT_MATCH
    since: timedelta = timedelta(days=1)
    step_s: int = DEFAULT_STEP_S

    def __post_init__(self) -> None:
        if self.step_s <= 0:
            raise InputError(f"step_s must be positive, got {self.step_s}")


@dataclass
class _Pending:
    """What has been read and not been handed over yet."""

    metric_types: Mapping[str, str]
    series: dict[int, Series] = field(default_factory=dict)
    ids: list[Ints] = field(default_factory=list)
    times: list[Ints] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    rows: int = 0

    def add(self, series: Series, times: Ints, values: Floats) -> None:
        if len(times):
            series_id = series.series_id
            self.series[series_id] = series
            self.ids.append(np.full(len(times), series_id))
            self.times.append(times)
            self.values.append(values)
            self.rows += len(times)

    def batch(self, rejected: pl.DataFrame, cursor: str | None = None) -> Batch:
        none: Ints = np.empty(0, dtype=np.int64)
        samples = {
            "series_id": pl.Series(np.concatenate([none, *self.ids])),
            "ts": pl.Series(np.concatenate([none, *self.times])).cast(SAMPLES["ts"]),
            "value": pl.Series(np.concatenate([np.empty(0), *self.values])),
        }
        return Batch(
            series=tuple(self.series.values()),
            samples=pl.DataFrame(samples),
            metric_types=self.metric_types,
            rejected=rejected,
            cursor=cursor,
        )


class PrometheusSource:
    """All series that the selectors match (`core.ports.MetricSource`).

    Args:
        selection: which series, and which times of them.
        services: derives the service from the labels; null: the usual labels.
        known_types: metric -> type, as declared earlier; they hold where the server declares none.
    """

    def __init__(
        self,
        api: PrometheusApi,
        *,
        tenant: str,
        clock: Clock,
        selection: Selection = Selection(),
        services: ServiceRule | None = None,
        known_types: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._api = api
        self._tenant = tenant
        self._clock = clock
        self._match, self._since, self._step_s = selection.match, selection.since, selection.step_s
        self._services = services or ServiceRule()
        self._known_types = known_types

    @classmethod
    def configured(cls, setup: SourceSetup) -> MetricSource | None:
        """The Prometheus that the settings name; null where they name none."""
        settings = setup.settings
        if settings.prometheus_url is None:
            return None
        api = PrometheusApi(
            settings.prometheus_url,
            login=Login(
                username=settings.prometheus_username,
                password=settings.prometheus_password,
                bearer_token=settings.prometheus_bearer_token,
            ),
        )
        return cls(
            api,
            tenant=setup.tenant,
            clock=setup.clock,
            selection=Selection(
                match=tuple(settings.prometheus_match or DEFAULT_MATCH),
                since=timedelta(hours=settings.prometheus_since_h),
                step_s=settings.prometheus_step_s,
            ),
            services=ServiceRule(settings.prometheus_service_labels or SERVICE_LABELS),
            known_types=setup.known_types,
        )

    @property
    def name(self) -> str:
        """A source with another selector or step has a name of its own, because each has its own cursor."""
        return f"prometheus:{self._api.place} {' '.join(self._match)} every {self._step_s} s"

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        """All values after `cursor` (the time of the last values that were read), in the order of time.

        Raises:
            InputError: a selector is invalid, or Prometheus refuses the login.
            UnavailableError: Prometheus does not answer.
        """
        now_s = self._clock.now().timestamp()
        step_s = self._step_s
        last = int((now_s - LAG_S) // step_s) * step_s
        if cursor is None:
            start = -int(-(now_s - self._since.total_seconds()) // step_s) * step_s
        else:
            start = int(cursor) + step_s
        chunk_s = max(1, min(MAX_POINTS, MAX_CHUNK_S // step_s)) * step_s
        with self._api.connected():
            window_s = self._rate_window_s()
            while start <= last:
                end = min(start + chunk_s - step_s, last)
                yield from self._span(start, end, window_s)
                start = end + step_s

    def _span(self, start: int, end: int, window_s: int) -> Iterator[Batch]:
        """The values of one chunk of time. Only the last batch has a cursor, because only it completes the chunk."""
        span = Span(self._api, start=start, end=end, step_s=self._step_s)
        declared = self._api.types()
        types = {**self._known_types(), **declared}
        names = [name for name in span.names(self._match) if not is_bucket(name, types)]
        relevant = declaring_names(names)
        pending = _Pending({name: kind for name, kind in declared.items() if name in relevant})
        for name in names:
            counter = is_counter(name, types)
            for selector in self._match:
                query = Query.of_metric(name, selector, window_s if counter else None)
                for labels, times, values in span.read(query):
                    try:
                        series = self._series(name, labels, counter)
                        pending.add(series, *_measured(times, values))
                    except (InputError, ValueError) as error:
                        span.reject({"query": query.text, "labels": dict(labels)}, str(error))
            if pending.rows >= BATCH_ROWS:
                yield pending.batch(span.take_rejected())
                pending = _Pending({})
        span.require_some()
        yield pending.batch(span.take_rejected(), cursor=str(end))

    def _series(self, metric: str, labels: Mapping[str, str], counter: bool) -> Series:
        return series_of_labels(
            self._tenant,
            metric,
            labels,
            counter=counter,
            step_s=self._step_s,
            services=self._services,
        )

    def _rate_window_s(self) -> int:
        scrape_s = self._api.longest_scrape_interval_s() or ASSUMED_SCRAPE_S
        return max(self._step_s, int(-(-scrape_s * SCRAPES_IN_RATE // 1)))


def series_of_labels(
    tenant: str,
    metric: str,
    labels: Mapping[str, str],
    *,
    counter: bool,
    step_s: int,
    services: ServiceRule,
) -> Series:
    """The series with these labels in Prometheus; counters become rates per second.

    Args:
        services: derives the service. The label that names it is removed from the labels.
    """
    named = services.label_in(labels)
    guess = guess_metric(metric)
    rate_unit = f"{guess.unit}/s" if guess.unit else "1/s"
    return Series(
        tenant=tenant,
        service="unknown" if named is None else labels[named].strip(),
        metric=metric,
        labels={key: value for key, value in labels.items() if key not in {"__name__", named}},
        unit=rate_unit if counter else guess.unit,
        kind=SeriesKind.COUNTER
        if counter
        else guess.kind
        if guess.kind is SeriesKind.RATIO
        else SeriesKind.GAUGE,
        role=guess.role,
        step_s=step_s,
    )


def _measured(times: Sequence[float], values: Sequence[str]) -> tuple[Ints, Floats]:
    """Times in microseconds and values, without NaN. Prometheus sends values as text and times in seconds.

    Raises:
        ValueError: a value is not a number, or a time is outside the calendar.
    """
    seconds, numbers = np.asarray(times, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if not np.all(np.abs(seconds) <= MAX_TIME_S):
        raise ValueError("a time is outside the calendar")
    measured = ~np.isnan(numbers)
    return np.round(seconds[measured] * 1e6).astype(np.int64), numbers[measured]
