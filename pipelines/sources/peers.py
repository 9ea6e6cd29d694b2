"""Reads the values of single replicas from a Prometheus, which keeps them; Forewarn stores none of them.

Pods come and go, so their values are no series. Each watch cycle asks for the last two hours and, of groups that are
large enough, for one value an hour of the days before. A restart therefore loses nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import numpy as np

from core.arrays import FloatArray, IntArray
from core.domain import Series
from core.durations import DAY_S, HOUR_S
from core.errors import InputError
from core.service_names import SERVICE_LABELS, ServiceRule
from models.metrics.conventions import ENOUGH_REQUESTS
from models.metrics.promql import LE, query_of
from models.metrics.recipe import Recipe, Scope
from models.metrics.signal_series import Naming, target_of
from models.peers.comparison import MIN_REPLICAS
from models.peers.groups import INSTANCE, POD, PeerGroup, peer_group
from pipelines.sources.golden_signals import GoldenSignals, SignalQuery
from pipelines.sources.prometheus import LAG_S, configured_api, rate_window_s
from pipelines.sources.prometheus_api import PrometheusApi
from pipelines.sources.prometheus_queries import Span
from pipelines.sources.prometheus_values import measured
from pipelines.sources.read_plan import Pull
from pipelines.sources.recipe_files import read_exporters
from pipelines.sources.source_setup import SourceSetup

#: So many steps are compared, and so many days before them show what is usual.
STEPS, PAST_DAYS = 24, 3
#: At most so many values of replicas are read at once, over all signals; further signals are left out.
MOST_REPLICAS = 5_000

#: Labels of a replica, and its values.
Row = tuple[Mapping[str, str], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerReading:
    """The groups of replicas at one moment.

    Attributes:
        unread: signals whose replicas could not be read now.
        notes: what people must know, such as what was left out.
    """

    groups: tuple[PeerGroup, ...]
    unread: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


class PeerSource(Protocol):
    """Knows the values of single replicas."""

    def read(self, now: datetime) -> PeerReading:
        """All groups of replicas that can be compared, with their newest values before `now`.

        Raises:
            UnavailableError: the server does not answer.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PeerQuery(SignalQuery):
    """The query of a recipe with one series for each replica."""

    @property
    def text(self) -> str:
        text = super(PeerQuery, self).text
        if self.recipe.quantile is None:
            return text
        # A quantile of few requests is the latency of one request.
        (buckets,) = self.recipe.terms.values()
        enough = replace(buckets, where={**buckets.where, LE: "+Inf"}, above=ENOUGH_REQUESTS / self.window_s)
        counted = replace(self.recipe, formula="enough", quantile=None, terms={"enough": enough})
        labels = self.service_labels
        return f"{text} and {query_of(counted, self.window_s, service_labels=labels, only=self.only)}"


class PrometheusPeers:
    """The replicas of what a Prometheus scrapes (`PeerSource`)."""

    def __init__(
        self,
        api: PrometheusApi,
        signals: GoldenSignals,
        *,
        tenant: str,
        services: ServiceRule | None = None,
        step_s: int = 300,
    ) -> None:
        self._api = api
        self._signals = signals
        self._tenant = tenant
        self._services = services or ServiceRule()
        self._step_s = step_s

    @classmethod
    def configured(cls, setup: SourceSetup) -> "PrometheusPeers | None":
        """Of the Prometheus that the settings name; null where no golden signals are pulled."""
        settings = setup.settings
        if settings.prometheus_url is None or not settings.golden_signals or settings.prometheus_match:
            return None
        return cls(
            configured_api(settings, settings.prometheus_url),
            GoldenSignals(read_exporters(settings.recipes_dir), budget=settings.series_budget),
            tenant=setup.tenant,
            services=ServiceRule(settings.prometheus_service_labels or SERVICE_LABELS),
            step_s=settings.prometheus_step_s,
        )

    def read(self, now: datetime) -> PeerReading:
        step_s = self._step_s
        last = int((now.timestamp() - LAG_S) // step_s) * step_s
        with self._api.connected():
            window_s = rate_window_s(self._api, step_s)
            pull = Pull(
                tenant=self._tenant,
                step_s=step_s,
                services=self._services,
                window_s=window_s,
                declared={},
                types={},
            )
            recent = Span(self._api, start=last - (STEPS - 1) * step_s, end=last, step_s=step_s)
            past = Span(
                self._api, start=recent.start - PAST_DAYS * DAY_S, end=recent.start - HOUR_S, step_s=HOUR_S
            )
            return _Reader(self._signals, pull, recent, past).read()


class _Reader:
    """Reads all groups once."""

    def __init__(self, signals: GoldenSignals, pull: Pull, recent: Span, past: Span) -> None:
        self._pull = pull
        self._recent = recent
        self._past = past
        self._naming: Naming = signals.naming(recent, pull)
        of_exporters, of_requests, _ = signals.recipes(recent, pull, recent.names())
        self._recipes = [_with_replicas(one) for one in (*of_exporters, *of_requests) if one.peers]
        self._replicas = 0

    def read(self) -> PeerReading:
        groups: list[PeerGroup] = []
        unread: dict[str, str] = {}
        for recipe in self._recipes:
            if self._replicas >= MOST_REPLICAS:
                unread[recipe.signal] = f"more than {MOST_REPLICAS} replicas are not compared"
                continue
            groups += self._groups(recipe)
            refused = [*self._recent.take_rejected()["reason"], *self._past.take_rejected()["reason"]]
            if refused:
                unread[recipe.signal] = refused[0]
        notes = tuple(f"replicas are not compared by {signal}: {why}" for signal, why in unread.items())
        return PeerReading(groups=tuple(groups), unread=frozenset(unread), notes=notes)

    def _groups(self, recipe: Recipe) -> Iterator[PeerGroup]:
        query = PeerQuery(recipe, self._pull.window_s, tuple(self._pull.services.prometheus_labels))
        members: dict[tuple[str, ...], list[tuple[Series, Row]]] = {}
        for labels, values in self._rows(query, self._recent, self._pull.step_s):
            self._replicas += 1
            try:
                series = self._naming.series(recipe, labels)
            except InputError as error:
                self._recent.reject({"query": query.text, "labels": dict(labels)}, str(error))
                continue
            is_host = self._naming.hosts.get(target_of(labels)) == series.service
            members.setdefault(peer_group(recipe, series, labels, is_host=is_host), []).append(
                (series, (labels, values))
            )
        large = [one for one in members.values() if len(one) >= MIN_REPLICAS]
        if not large:
            return
        before = {_key(labels): values for labels, values in self._rows(query, self._past, HOUR_S)}
        nothing = np.full(PAST_DAYS * DAY_S // HOUR_S, np.nan)
        times: IntArray = np.arange(self._recent.start, self._recent.end + 1, self._pull.step_s)
        for group in large:
            yield PeerGroup(
                recipe=recipe,
                replicas=tuple(series for series, _ in group),
                times_s=times,
                recent=np.array([values for _, (_, values) in group]),
                past=np.array([before.get(_key(labels), nothing) for _, (labels, _) in group]),
            )

    def _rows(self, query: PeerQuery, span: Span, step_s: int) -> Iterator[Row]:
        """The values of each replica at the times of a span; a query that was halved gives parts of them."""
        count = (span.end - span.start) // step_s + 1
        rows: dict[tuple[tuple[str, str], ...], Row] = {}
        for labels, times, texts in span.read(query):
            _, values = rows.setdefault(_key(labels), (labels, np.full(count, np.nan)))
            try:
                at_us, numbers = measured(times, texts)
            except ValueError as error:
                span.reject({"query": query.text, "labels": dict(labels)}, str(error))
            else:
                values[(at_us // 1_000_000 - span.start) // step_s] = numbers
        yield from rows.values()


def _with_replicas(recipe: Recipe) -> Recipe:
    """The recipe with one series for each pod, or for each instance where there are no pods."""
    return replace(recipe, scope=Scope.INSTANCE, by=(*recipe.by, "job", INSTANCE, POD))


def _key(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))
