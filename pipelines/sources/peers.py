"""Reads the values of single replicas: from the Prometheus that keeps them, or from those kept of pushed metrics.

Pods come and go, so their values are no series. Each watch cycle reads the last two hours and, of groups that are
large enough, one value an hour of the days before. A restart therefore loses nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import numpy as np
import polars as pl

from core.arrays import FloatArray, IntArray
from core.domain import Series
from core.durations import DAY_S, HOUR_S
from core.errors import InputError
from core.service_names import ServiceRule
from models.metrics.conventions import ENOUGH_REQUESTS
from models.metrics.evaluate import Evaluator
from models.metrics.promql import LE, query_of
from models.metrics.recipe import Recipe, Scope
from models.metrics.signal_series import Naming, target_of
from models.metrics.vector import Vector
from models.peers.comparison import MIN_REPLICAS
from models.peers.groups import INSTANCE, POD, PeerGroup, peer_group
from pipelines.sources.golden_signals import GoldenSignals, SignalQuery
from pipelines.sources.prometheus import LAG_S, configured_api, rate_window_s
from pipelines.sources.prometheus_api import PrometheusApi
from pipelines.sources.prometheus_queries import Span
from pipelines.sources.prometheus_values import Values
from pipelines.sources.read_plan import MetricSpan, Pull
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


class PeerSpan(MetricSpan, Protocol):
    """A span of time in which values of replicas are known."""

    @property
    def start(self) -> int:
        """The first time, in seconds since 1970."""
        ...

    def values(self, query: "PeerQuery") -> Iterator[Values]:
        """The values of the replicas. Those of one replica may come in several parts."""
        ...

    def take_rejected(self) -> pl.DataFrame:
        """What could not be read since the last call."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PeerQuery(SignalQuery):
    """The query of a recipe with one series for each replica."""

    @property
    def text(self) -> str:
        text = super(PeerQuery, self).text
        if self.recipe.quantile is None:
            return text
        counted = query_of(self._counted, self.window_s, service_labels=self.service_labels, only=self.only)
        return f"{text} and {counted}"

    def vector(self, evaluator: Evaluator) -> Vector:
        """The values of the replicas, of pushed samples."""
        values = evaluator.value(self.recipe)
        return values if self.recipe.quantile is None else values.both(evaluator.value(self._counted))

    @property
    def _counted(self) -> Recipe:
        """What has a value where a replica has enough requests: a quantile of few is the latency of one request."""
        (histogram,) = self.recipe.terms.values()
        where = histogram.where if histogram.native else {**histogram.where, LE: "+Inf"}
        enough = replace(histogram, where=where, above=ENOUGH_REQUESTS / self.window_s)
        return replace(self.recipe, formula="enough", quantile=None, terms={"enough": enough})


def peer_queries(signals: GoldenSignals, span: MetricSpan, pull: Pull) -> list[PeerQuery]:
    """The queries of all signals by which replicas are compared."""
    of_exporters, of_requests, _ = signals.recipes(span, pull, span.names())
    labels = tuple(pull.services.prometheus_labels)
    return [
        PeerQuery(_with_replicas(one), pull.window_s, labels)
        for one in (*of_exporters, *of_requests)
        if one.peers
    ]


def past_times(start: int) -> range:
    """The times of the days before the recent values, which begin at `start`; in seconds since 1970."""
    return range(start - PAST_DAYS * DAY_S, start - HOUR_S + 1, HOUR_S)


class AllPeers:
    """Several sources as one (`PeerSource`)."""

    def __init__(self, sources: Sequence[PeerSource]) -> None:
        self._sources = sources

    def read(self, now: datetime) -> PeerReading:
        """The groups of all sources. What one of them cannot read now is unread.

        Raises:
            UnavailableError: a server does not answer.
        """
        read = [source.read(now) for source in self._sources]
        return PeerReading(
            groups=tuple(group for one in read for group in one.groups),
            unread=frozenset(signal for one in read for signal in one.unread),
            notes=tuple(note for one in read for note in one.notes),
        )


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
            GoldenSignals.configured(settings),
            tenant=setup.tenant,
            services=settings.service_rule,
            step_s=settings.prometheus_step_s,
        )

    def read(self, now: datetime) -> PeerReading:
        step_s = self._step_s
        last = int((now.timestamp() - LAG_S) // step_s) * step_s
        with self._api.connected():
            window_s = rate_window_s(self._api, step_s)
            types = self._api.types()
            pull = Pull(
                tenant=self._tenant,
                step_s=step_s,
                services=self._services,
                window_s=window_s,
                declared=types,
                types=types,
            )
            recent = Span(self._api, start=last - (STEPS - 1) * step_s, end=last, step_s=step_s)
            before = past_times(recent.start)
            past = Span(self._api, start=before[0], end=before[-1], step_s=HOUR_S)
            return PeerReader(self._signals, pull, recent, past).read()


class PeerReader:
    """Reads all groups once."""

    def __init__(self, signals: GoldenSignals, pull: Pull, recent: PeerSpan, past: PeerSpan) -> None:
        self._pull = pull
        self._recent = recent
        self._past = past
        self._naming: Naming = signals.naming(recent, pull)
        self._queries = peer_queries(signals, recent, pull)
        self._replicas = 0

    def read(self) -> PeerReading:
        groups: list[PeerGroup] = []
        unread: dict[str, str] = {}
        for query in self._queries:
            signal = query.recipe.signal
            if self._replicas >= MOST_REPLICAS:
                unread[signal] = f"more than {MOST_REPLICAS} replicas are not compared"
                continue
            groups += self._groups(query)
            refused = [*self._recent.take_rejected()["reason"], *self._past.take_rejected()["reason"]]
            if refused:
                unread[signal] = refused[0]
        notes = tuple(f"replicas are not compared by {signal}: {why}" for signal, why in unread.items())
        return PeerReading(groups=tuple(groups), unread=frozenset(unread), notes=notes)

    def _groups(self, query: PeerQuery) -> Iterator[PeerGroup]:
        recipe = query.recipe
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

    def _rows(self, query: PeerQuery, span: PeerSpan, step_s: int) -> Iterator[Row]:
        """The values of each replica at the times of a span; a query that was halved gives parts of them."""
        count = (span.end - span.start) // step_s + 1
        rows: dict[tuple[tuple[str, str], ...], Row] = {}
        for labels, at_us, numbers in span.values(query):
            _, values = rows.setdefault(_key(labels), (labels, np.full(count, np.nan)))
            values[(at_us // 1_000_000 - span.start) // step_s] = numbers
        yield from rows.values()


def _with_replicas(recipe: Recipe) -> Recipe:
    """The recipe with one series for each pod, or for each instance where there are no pods."""
    return replace(recipe, scope=Scope.INSTANCE, by=(*recipe.by, "job", INSTANCE, POD))


def _key(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))
