"""Pulls samples from Prometheus through its query API, at a fixed step, from where the last pull ended.

Queries ask for times at whole multiples of the step. Two pulls therefore ask for the same times, and each value is
stored once. Counters become rates per second; Prometheus computes them (`rate`) and handles resets. NaN means "not
measured" in Prometheus and is left out. Buckets of histograms are left out, too.

References:
    https://prometheus.io/docs/prometheus/latest/querying/api/
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from core.clock import Clock
from core.domain import DEFAULT_STEP_S, Series, SeriesKind
from core.durations import DAY_S
from core.errors import InputError
from core.frames import SAMPLES, TIME
from core.metric_names import guess_metric
from core.ports import Batch, MetricSource
from core.service_names import SERVICE_LABELS, ServiceRule
from core.settings import Settings
from pipelines.sources.prometheus_api import PrometheusApi, TooManySamplesError

#: Prometheus refuses a range query of more than 11,000 points in a series. One query asks for at most a day.
MAX_POINTS = 10_000
MAX_CHUNK_S = DAY_S
#: The newest scrapes may not be stored yet.
LAG_S = 30
#: A rate needs two scrapes in its window. With four, one may fail or be late.
SCRAPES_IN_RATE = 4
ASSUMED_SCRAPE_S = 15.0
BATCH_ROWS = 250_000

DEFAULT_MATCH = ('{__name__!=""}',)


@dataclass(frozen=True, slots=True)
class _Metric:
    name: str
    counter: bool


class PrometheusSource:
    """All series that the selectors match (`core.ports.MetricSource`).

    Args:
        match: series selectors, such as `{job="node"}`.
        since: how far back the first pull goes.
        step_s: seconds between values.
        services: derives the service from the labels; null: the usual labels.
    """

    def __init__(
        self,
        api: PrometheusApi,
        *,
        tenant: str,
        clock: Clock,
        match: Sequence[str] = DEFAULT_MATCH,
        since: timedelta = timedelta(days=1),
        step_s: int = DEFAULT_STEP_S,
        services: ServiceRule | None = None,
    ) -> None:
        if step_s <= 0:
            raise InputError(f"step_s must be positive, got {step_s}")
        self._api = api
        self._tenant = tenant
        self._clock = clock
        self._match = tuple(match)
        self._since = since
        self._step_s = step_s
        self._services = services or ServiceRule()

    @classmethod
    def configured(cls, settings: Settings, tenant: str, clock: Clock) -> MetricSource | None:
        """The Prometheus that the settings name; null where they name none."""
        if settings.prometheus_url is None:
            return None
        api = PrometheusApi(
            settings.prometheus_url,
            bearer_token=settings.prometheus_bearer_token,
            username=settings.prometheus_username,
            password=settings.prometheus_password,
        )
        return cls(
            api,
            tenant=tenant,
            clock=clock,
            match=settings.prometheus_match or DEFAULT_MATCH,
            since=timedelta(hours=settings.prometheus_since_h),
            step_s=settings.prometheus_step_s,
            services=ServiceRule(settings.prometheus_service_labels or SERVICE_LABELS),
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
        series: list[Series] = []
        frames = [pl.DataFrame(schema=SAMPLES)]
        rows = 0
        for metric in self._metrics(start, end):
            for selector in self._match:
                query = _select(metric.name, selector)
                if metric.counter:
                    query = f"rate({query}[{window_s}s])"
                for labels, times, values in self._range(query, start, end):
                    found = self._series(metric, labels)
                    frame = _frame(found.series_id, times, values)
                    if not frame.is_empty():
                        series.append(found)
                        frames.append(frame)
                        rows += frame.height
            if rows >= BATCH_ROWS:
                yield Batch(series=series, samples=pl.concat(frames))
                series, frames, rows = [], [pl.DataFrame(schema=SAMPLES)], 0
        yield Batch(series=series, samples=pl.concat(frames), cursor=str(end))

    def _metrics(self, start: int, end: int) -> list[_Metric]:
        types = self._api.types()
        names = self._api.names(self._match, start, end)
        found = [_Metric(name, is_counter(name, types)) for name in sorted(names)]
        return [metric for metric in found if not _is_bucket(metric.name, types)]

    def _range(
        self, query: str, start: int, end: int
    ) -> Iterator[tuple[Mapping[str, str], list[float], list[str]]]:
        """A range query. It is halved in time as long as Prometheus refuses it as too large."""
        try:
            matrix = self._api.query_range(query, start, end, self._step_s)
        except TooManySamplesError as error:
            points = (end - start) // self._step_s + 1
            if points < 2:
                raise InputError(f"{query} is too large for Prometheus even at a single time") from error
            middle = start + (points // 2) * self._step_s
            yield from self._range(query, start, middle - self._step_s)
            yield from self._range(query, middle, end)
            return
        for item in matrix:
            times, values = zip(*item["values"], strict=True)
            yield item["metric"], list(times), list(values)

    def _series(self, metric: _Metric, labels: Mapping[str, str]) -> Series:
        return series_of_labels(
            self._tenant,
            metric.name,
            labels,
            counter=metric.counter,
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
        service=services.service_of(labels) or "unknown",
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


def _select(name: str, selector: str) -> str:
    """The selector for the series of one metric that another selector matches.

    Examples:
        >>> _select("up", '{job="node"}')
        '{__name__="up",job="node"}'
        >>> _select("up", 'up{job="node"}')
        '{__name__="up",__name__="up",job="node"}'
    """
    metric, brace, rest = selector.strip().partition("{")
    matchers = rest.removesuffix("}").strip().removesuffix(",") if brace else ""
    parts = [f"__name__={json.dumps(name)}"]
    if metric.strip():
        parts.append(f"__name__={json.dumps(metric.strip())}")
    return "{" + ",".join([*parts, *([matchers] if matchers else [])]) + "}"


def _base(name: str) -> str:
    return name.removesuffix("_sum").removesuffix("_count").removesuffix("_bucket")


def is_counter(name: str, types: Mapping[str, str]) -> bool:
    """Whether Prometheus's metadata or the name declare a counter, or a sum or count of a histogram or summary."""
    declared = types.get(name, "unknown")
    if declared in {"histogram", "summary"}:
        return False
    if declared != "unknown":
        return declared == "counter"
    if name.endswith(("_sum", "_count", "_bucket")) and types.get(_base(name)) in {"histogram", "summary"}:
        return True
    # metadata name a counter with its suffix; since OpenMetrics, without it
    return name.endswith("_total") or types.get(name.removesuffix("_total")) == "counter"


def _is_bucket(name: str, types: Mapping[str, str]) -> bool:
    return name.endswith("_bucket") and types.get(_base(name), "histogram") == "histogram"


def _frame(series_id: int, times: Sequence[float], values: Sequence[str]) -> pl.DataFrame:
    """`SAMPLES` of one series, without NaN. Prometheus sends values as text and times in seconds."""
    micros = np.round(np.asarray(times, dtype=np.float64) * 1e6).astype(np.int64)
    frame = pl.DataFrame(
        {
            "series_id": pl.Series(np.full(len(micros), series_id), dtype=pl.Int64),
            "ts": pl.Series(micros).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(TIME),
            "value": pl.Series([float(value) for value in values], dtype=pl.Float64),
        }
    )
    return frame.filter(~pl.col("value").is_nan())
