"""Golden signals of what clients push: the plan of `golden_signals`, computed from the raw samples that are kept.

Values equal those that a Prometheus with the same samples computes. Each time is computed once, when no more samples
are expected for it. The cursor is the last time that was computed.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from core.arrays import FloatArray, IntArray
from core.batch import Batch
from core.checks import require_name
from core.clock import Clock
from core.durations import HOUR_S
from core.errors import InputError
from core.ports import MetricSource
from core.pushed import PushedRepository
from core.service_names import SERVICE_LABELS, ServiceRule
from models.metrics.calls import call_grouping
from models.metrics.deltas import MAX_SPREAD_MS
from models.metrics.evaluate import Evaluator
from models.metrics.raw_samples import LOOKBACK_MS, RawSamples
from models.metrics.recipe import Term
from pipelines.sources.call_queries import CallQuery
from pipelines.sources.golden_signals import HOST_MEMORY_S, GoldenSignals, SignalQuery
from pipelines.sources.prometheus import ASSUMED_SCRAPE_S, SCRAPES_IN_RATE
from pipelines.sources.prometheus_queries import Item
from pipelines.sources.prometheus_values import Pending
from pipelines.sources.read_plan import Pull
from pipelines.sources.recipe_files import read_exporters
from pipelines.sources.source_setup import SourceSetup
from pipelines.stores.dead_letters import REJECTED

#: Samples come at most so late. Prometheus sends what it scrapes within a few seconds.
LATENESS_S = 60
#: Raw samples are kept so long after the newest time that was computed from them.
KEEP_S = HOUR_S
#: At most so long a span is computed at once; a shorter one where it has more samples than `MAX_SAMPLES`.
CHUNK_S = HOUR_S
MAX_SAMPLES = 4_000_000


class PushedSignals:
    """The golden signals of what clients push (`core.ports.MetricSource`).

    Args:
        pushed: the raw samples of the tenant.
        step_s: seconds between values.
        services: derives the service from the labels.
        known_types: metric -> type, as senders have declared them.
    """

    def __init__(
        self,
        pushed: PushedRepository,
        plan: GoldenSignals,
        *,
        tenant: str,
        clock: Clock,
        step_s: int,
        services: ServiceRule | None = None,
        known_types: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._pushed = pushed
        self._plan = plan
        self._tenant = tenant
        self._clock = clock
        self._step_s = step_s
        self._services = services or ServiceRule()
        self._known_types = known_types

    @classmethod
    def configured(cls, setup: SourceSetup) -> MetricSource | None:
        """The pushed samples, if golden signals are computed and there are any; null otherwise."""
        settings, pushed = setup.settings, setup.pushed
        if pushed is None or pushed.extent() is None:
            return None
        return cls(
            pushed,
            GoldenSignals(read_exporters(settings.recipes_dir), budget=settings.series_budget),
            tenant=setup.tenant,
            clock=setup.clock,
            step_s=settings.prometheus_step_s,
            services=ServiceRule(settings.prometheus_service_labels or SERVICE_LABELS),
            known_types=setup.known_types,
        )

    @property
    def name(self) -> str:
        """Signals with another step have a cursor of their own."""
        return f"pushed: {self._plan.name} every {self._step_s} s"

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        """All values after `cursor` (the last time that was computed), in the order of time."""
        kept = self._pushed.extent()
        if kept is None:
            return
        step_s = self._step_s
        newest_s = min(self._clock.now().timestamp(), kept.last.timestamp())
        last = int((newest_s - LATENESS_S) // step_s) * step_s
        start = -int(-kept.first.timestamp() // step_s) * step_s
        if cursor is not None:
            start = max(start, int(cursor) + step_s)
        while start <= last:
            end = min(start + self._chunk_s(start) - step_s, last)
            yield self._chunk(start, end)
            # The batch is stored by now.
            self._forget(end)
            start = end + step_s

    def _forget(self, end: int) -> None:
        """Remove what later times do not need; hosts are remembered for longer."""
        before = _moment(end - KEEP_S)
        self._pushed.forget(before)
        self._pushed.forget_series(
            before, keep=self._plan.host_metrics, keep_since=_moment(end - HOST_MEMORY_S)
        )

    def _chunk_s(self, start: int) -> int:
        """How long a span to compute at once, a multiple of the step."""
        steps = max(1, CHUNK_S // self._step_s)
        while steps > 1:
            kept = self._pushed.extent(_moment(start), _moment(start + steps * self._step_s))
            if kept is None or kept.count <= MAX_SAMPLES:
                break
            steps //= 2
        return steps * self._step_s

    def _samples(self, start: int, end: int) -> RawSamples:
        """The samples of [start, end], with the deltas at its edges."""
        spread_s = MAX_SPREAD_MS // 1000
        return raw_samples(self._pushed, _moment(start - spread_s), _moment(end + spread_s))

    def _chunk(self, start: int, end: int) -> Batch:
        back_s = max(self._step_s, LOOKBACK_MS // 1000)
        samples = self._samples(start - back_s, end)
        scrape_s = samples.interval_s("job") or ASSUMED_SCRAPE_S
        window_s = max(self._step_s, int(-(-scrape_s * SCRAPES_IN_RATE // 1)))
        if window_s > back_s:
            samples = self._samples(start - window_s, end)
        types = self._known_types()
        pull = Pull(
            tenant=self._tenant,
            step_s=self._step_s,
            services=self._services,
            window_s=window_s,
            declared=types,
            types=types,
        )
        span = PushedSpan(self._pushed, samples, times=range(start, end + 1, self._step_s))
        pending = Pending()
        for read in self._plan.reads(span, pull):
            for labels, of_series, values in span.read(read.query):
                try:
                    pending.add(read.series_of(labels), of_series, values)
                except InputError as error:
                    span.reject({"query": read.query.text, "labels": dict(labels)}, str(error))
        calls = self._plan.calls(span, pull)
        last = pending.batch(span.rejected, cursor=str(end), notes=self._plan.take_notes())
        return replace(last, calls=calls)


class PushedSpan:
    """The pushed samples of one span of time (`pipelines.sources.read_plan.MetricSpan`).

    Args:
        samples: with those before the first time that its windows need.
        times: of the values, in seconds since 1970.
    """

    def __init__(self, pushed: PushedRepository, samples: RawSamples, *, times: range) -> None:
        self._pushed = pushed
        self._samples = samples
        self._times_ms = np.array(times, dtype=np.int64) * 1000
        self._end = times[-1]
        self._rejected: dict[tuple[str, str], None] = {}

    @property
    def end(self) -> int:
        return self._end

    @property
    def rejected(self) -> pl.DataFrame:
        """What cannot be computed or stored."""
        return pl.DataFrame(list(self._rejected), schema=REJECTED, orient="row")

    def names(self) -> list[str]:
        names = []
        for name in self._samples.metrics:
            try:
                require_name(name, "metric")
            except InputError as error:
                self.reject({"metric": name}, str(error))
            else:
                names.append(name)
        return names

    def label_names(self, metric: str) -> list[str]:
        series = self._samples.of_metric(metric).tolist()
        return sorted({name for at in series for name in self._samples.labels[at]})

    def series_of(self, metrics: Sequence[str], since: float) -> list[Mapping[str, str]]:
        return self._pushed.series_of(metrics, datetime.fromtimestamp(since, UTC))

    def read(self, query: SignalQuery) -> Iterator[tuple[Mapping[str, str], IntArray, FloatArray]]:
        """The series of a query: labels, times in microseconds and values, without NaN."""
        evaluator = Evaluator(
            samples=self._samples,
            times_ms=self._times_ms,
            window_s=query.window_s,
            service_labels=query.service_labels,
        )
        try:
            vector = evaluator.value(query.recipe)
        except InputError as error:  # an invalid regular expression of the recipe
            self.reject({"query": query.text}, str(error))
            return
        for key, values, present in zip(vector.keys, vector.values, vector.present, strict=True):
            known = present & ~np.isnan(values)
            yield dict(key), self._times_ms[known] * 1000, values[known]

    def read_last(self, query: CallQuery) -> Iterator[Item]:
        """The pairs of services that the metrics of calls have at the end of the span."""
        call = query.call
        evaluator = Evaluator(samples=self._samples, times_ms=self._times_ms[-1:], window_s=1)
        term = Term(metric=call.metric, where=call.where, excluding=call.excluding)
        try:
            vector = evaluator.term(term, call_grouping(call, query.service_labels))
        except InputError as error:  # an invalid regular expression
            self.reject({"query": query.text}, str(error))
            return
        for key, present in zip(vector.keys, vector.present, strict=True):
            if present.any():
                yield dict(key), [], []

    def reject(self, row: Mapping[str, object], reason: str) -> None:
        """Keep for a dead letter what cannot be computed or stored."""
        self._rejected[json.dumps(row, sort_keys=True), reason] = None


def raw_samples(pushed: PushedRepository, start: datetime, end: datetime) -> RawSamples:
    """The pushed samples of [start, end]."""
    samples = pushed.read(start, end)
    labels = pushed.labels(np.unique(samples.series_ids).tolist())
    ids = np.array(sorted(labels), dtype=np.int64)
    known = np.isin(samples.series_ids, ids)
    rows = np.searchsorted(ids, samples.series_ids[known])
    return RawSamples(
        [labels[one] for one in ids.tolist()], rows, samples.times_ms[known], samples.values[known]
    )


def _moment(seconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
