"""The values of single replicas of pushed metrics: computed with the golden signals, and kept for three days."""

from collections.abc import Iterator, Mapping
from datetime import datetime

import numpy as np

from core.domain import DEFAULT_STEP_S, stable_id
from core.durations import DAY_S, HOUR_S
from core.lazy import Lazy
from core.pushed import PushedRepository, PushedSamples, PushedStores
from core.service_names import ServiceRule
from models.metrics.raw_samples import LOOKBACK_MS, NAME, RawSamples
from models.metrics.recipe import Recipe
from pipelines.sources.golden_signals import GoldenSignals
from pipelines.sources.peers import (
    MOST_REPLICAS,
    PAST_DAYS,
    STEPS,
    PeerQuery,
    PeerReader,
    PeerReading,
    past_times,
    peer_queries,
)
from pipelines.sources.prometheus_values import Values
from pipelines.sources.pushed_history import forget, keep
from pipelines.sources.pushed_span import (
    PushedMetrics,
    PushedSpan,
    Stored,
    newest_time,
    raw_samples,
    stored_samples,
)
from pipelines.sources.raw_series import raw_id_of
from pipelines.sources.read_plan import Pull
from pipelines.sources.source_setup import SourceSetup

#: The label that tells recipes with the same signal apart.
_RECIPE = "__recipe__"


class ReplicaHistory:
    """The values of replicas, one row of the database for each computation."""

    def __init__(self, kept: PushedRepository, step_s: int) -> None:
        self._kept = kept
        self._step_s = step_s

    def record(self, span: PushedSpan, signals: GoldenSignals, pull: Pull) -> None:
        """Keep the values of all replicas at the times of a span, and remove what no comparison needs any more.

        Signals beyond `MOST_REPLICAS` replicas are left out; `PeerReader` leaves out the same ones, with a note.
        """
        labels: dict[int, Mapping[str, str]] = {}
        ids, times_ms, values = [], [], []
        for query in peer_queries(signals, span, pull):
            if len(labels) >= MOST_REPLICAS:
                break
            named = {NAME: query.recipe.signal, _RECIPE: _key_of(query.recipe)}
            for of_replica, times_us, known in span.values(query):
                if len(known):
                    series_id = raw_id_of({**of_replica, **named})
                    labels[series_id] = {**of_replica, **named}
                    ids.append(np.full(len(known), series_id))
                    times_ms.append(times_us // 1000)
                    values.append(known)
        if labels:
            samples = PushedSamples(np.concatenate(ids), np.concatenate(times_ms), np.concatenate(values))
            keep(self._kept, Stored(samples, labels), span.start - self._step_s, span.end)
        forget(self._kept, span.end - STEPS * self._step_s - PAST_DAYS * DAY_S)


class PushedPeers:
    """The replicas of what clients push (`pipelines.sources.peers.PeerSource`).

    Args:
        pushed: of the tenant.
        step_s: seconds between values.
        services: derives the service from the labels.
    """

    def __init__(
        self,
        pushed: PushedStores,
        signals: GoldenSignals,
        *,
        tenant: str,
        step_s: int = DEFAULT_STEP_S,
        services: ServiceRule | None = None,
    ) -> None:
        self._pushed = pushed
        self._signals = signals
        self._tenant = tenant
        self._step_s = step_s
        self._services = services or ServiceRule()

    @classmethod
    def configured(cls, setup: SourceSetup) -> "PushedPeers | None":
        """Of the pushed samples, if golden signals are computed and there are any; null otherwise."""
        settings, pushed = setup.settings, setup.pushed
        if pushed is None or pushed.raw.extent() is None:
            return None
        return cls(
            pushed,
            GoldenSignals.configured(settings),
            tenant=setup.tenant,
            step_s=settings.prometheus_step_s,
            services=settings.service_rule,
        )

    def read(self, now: datetime) -> PeerReading:
        """All groups of replicas, at the newest times for which golden signals are computed."""
        kept = self._pushed.raw.extent()
        if kept is None:
            return PeerReading(groups=())
        step_s = self._step_s
        last = newest_time(kept, now, step_s)
        recent = range(last - (STEPS - 1) * step_s, last + 1, step_s)
        pull = Pull(
            tenant=self._tenant,
            step_s=step_s,
            services=self._services,
            window_s=step_s,
            declared={},
            types={},
        )
        raw = raw_samples(stored_samples(self._pushed.raw, last - LOOKBACK_MS // 1000, last))
        spans = [
            _RecordedSpan(self._pushed, raw, times=times) for times in (recent, past_times(recent.start))
        ]
        return PeerReader(self._signals, pull, *spans).read()


class _RecordedSpan(PushedMetrics):
    """Metrics that were pushed in a span of time, and values of replicas that were computed for its times.

    Args:
        raw: the newest raw samples, which tell which metrics exist.
    """

    def __init__(self, pushed: PushedStores, raw: RawSamples, *, times: range) -> None:
        super().__init__(pushed.raw, raw, times=times)
        self._replicas = pushed.replicas
        self._times = times
        #: Few signals have groups that are large enough to need the past.
        self._by_recipe = Lazy(self._read)

    def values(self, query: PeerQuery) -> Iterator[Values]:
        """The values of the replicas; those of one replica may come in several parts."""
        yield from self._by_recipe.get().get(_key_of(query.recipe), ())

    def _read(self) -> dict[str, list[Values]]:
        found: dict[str, list[Values]] = {}
        times = self._times
        parts = [(times[0], times[-1])] if times.step < HOUR_S else [(one, one) for one in times]
        for start, end in parts:
            stored = stored_samples(self._replicas, start, end)
            order = np.argsort(stored.samples.series_ids, kind="stable")
            ids, starts = np.unique(stored.samples.series_ids[order], return_index=True)
            for series_id, rows in zip(ids.tolist(), np.split(order, starts[1:]), strict=False):
                labels = dict(stored.labels[series_id])
                key, _ = labels.pop(_RECIPE), labels.pop(NAME)
                times_ms, values = stored.samples.times_ms[rows], stored.samples.values[rows]
                asked = np.isin(times_ms, np.array(times) * 1000)
                found.setdefault(key, []).append((labels, times_ms[asked] * 1000, values[asked]))
        return found


def _key_of(recipe: Recipe) -> str:
    """Tells the recipes of one signal apart."""
    metrics = sorted(term.metric for term in recipe.every_term)
    return stable_id(recipe.signal, recipe.formula, *metrics, *recipe.by)
