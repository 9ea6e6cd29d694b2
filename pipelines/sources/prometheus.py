"""Pulls samples from Prometheus through its query API, at a fixed step, from where the last pull ended.

Queries ask for times at whole multiples of the step. Two pulls therefore ask for the same times, and each value is
stored once. A plan says which queries are asked: of golden signals, or of the raw series that people selected. NaN
means "not measured" in Prometheus and is left out.

References:
    https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from core.batch import Batch
from core.clock import Clock
from core.domain import DEFAULT_STEP_S
from core.durations import DAY_S
from core.errors import InputError
from core.ports import MetricSource
from core.service_names import ServiceRule
from core.settings import Settings
from pipelines.sources.golden_signals import GoldenSignals
from pipelines.sources.prometheus_api import Login, PrometheusApi
from pipelines.sources.prometheus_queries import Span
from pipelines.sources.prometheus_values import Pending
from pipelines.sources.raw_series import RawSeries
from pipelines.sources.read_plan import Pull, ReadPlan
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

#: The name of each such source begins with this.
PULLED = "prometheus:"
DEFAULT_MATCH = ('{__name__!=""}',)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which values of a Prometheus are pulled.

    Attributes:
        match: series selectors, such as `{job="node"}`.
        plan: which queries are asked; null: the raw series that the selectors match.
        since: how far back the first pull goes.
        step_s: seconds between values, > 0.
    """

    match: tuple[str, ...] = DEFAULT_MATCH
    plan: ReadPlan | None = None
    since: timedelta = timedelta(days=1)
    step_s: int = DEFAULT_STEP_S

    def __post_init__(self) -> None:
        if self.step_s <= 0:
            raise InputError(f"step_s must be positive, got {self.step_s}")


class PrometheusSource:
    """What a plan asks a Prometheus for (`core.ports.MetricSource`).

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
        self._since, self._step_s = selection.since, selection.step_s
        self._plan = selection.plan or RawSeries(selection.match)
        self._services = services or ServiceRule()
        self._known_types = known_types

    @classmethod
    def configured(cls, setup: SourceSetup) -> MetricSource | None:
        """The Prometheus that the settings name; null where they name none."""
        settings = setup.settings
        if settings.prometheus_url is None:
            return None
        api = configured_api(settings, settings.prometheus_url)
        plan = None
        if settings.golden_signals and not settings.prometheus_match:
            plan = GoldenSignals.configured(settings)
        return cls(
            api,
            tenant=setup.tenant,
            clock=setup.clock,
            selection=Selection(
                match=tuple(settings.prometheus_match or DEFAULT_MATCH),
                plan=plan,
                since=timedelta(hours=settings.prometheus_since_h),
                step_s=settings.prometheus_step_s,
            ),
            services=settings.service_rule,
            known_types=setup.known_types,
        )

    @property
    def name(self) -> str:
        """A source with another selector or step has a name of its own, because each has its own cursor."""
        return f"{PULLED}{self._api.place} {self._plan.name} every {self._step_s} s"

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
            window_s = rate_window_s(self._api, self._step_s)
            while start <= last:
                end = min(start + chunk_s - step_s, last)
                yield from self._span(start, end, window_s)
                start = end + step_s

    def _span(self, start: int, end: int, window_s: int) -> Iterator[Batch]:
        """The values of one chunk of time. Only the last batch has a cursor, because only it completes the chunk."""
        span = Span(self._api, start=start, end=end, step_s=self._step_s)
        declared = self._api.types()
        pull = Pull(
            tenant=self._tenant,
            step_s=self._step_s,
            services=self._services,
            window_s=window_s,
            declared=declared,
            types={**self._known_types(), **declared},
        )
        pending = Pending()
        for read in self._plan.reads(span, pull):
            pending.metric_types.update(read.declared)
            for labels, times, values in span.values(read.query):
                try:
                    pending.add(read.series_of(labels), times, values)
                except InputError as error:
                    span.reject({"query": read.query.text, "labels": dict(labels)}, str(error))
            if pending.rows >= BATCH_ROWS:
                yield pending.batch(span.take_rejected())
                pending = Pending()
        span.require_some()
        calls = self._plan.calls(span, pull)
        events = self._plan.events(span, pull)
        last = pending.batch(span.take_rejected(), cursor=str(end), notes=self._plan.take_notes())
        yield replace(last, calls=calls, events=events)


def configured_api(settings: Settings, url: str) -> PrometheusApi:
    """The API of a Prometheus, with the login that the settings have."""
    return PrometheusApi(
        url,
        login=Login(
            username=settings.prometheus_username,
            password=settings.prometheus_password,
            bearer_token=settings.prometheus_bearer_token,
        ),
    )


def rate_window_s(api: PrometheusApi, step_s: int) -> int:
    """The window of rates, in seconds: the step, or more where targets are scraped seldom."""
    scrape_s = api.longest_scrape_interval_s() or ASSUMED_SCRAPE_S
    return max(step_s, int(-(-scrape_s * SCRAPES_IN_RATE // 1)))
