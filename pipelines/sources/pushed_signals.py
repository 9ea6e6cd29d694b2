"""Golden signals of what clients push: the plan of `golden_signals`, computed from the raw samples that are kept.

Values equal those that a Prometheus with the same samples computes. Each time is computed once, when no more samples
are expected for it. The cursor is the last time that was computed.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from core.batch import Batch
from core.clock import Clock
from core.durations import HOUR_S
from core.errors import InputError
from core.ports import MetricSource
from core.pushed import PushedStores
from core.service_names import ServiceRule
from models.metrics.deltas import MAX_SPREAD_MS
from models.metrics.raw_samples import LOOKBACK_MS
from pipelines.sources.golden_signals import HOST_MEMORY_S, GoldenSignals
from pipelines.sources.prometheus import ASSUMED_SCRAPE_S, SCRAPES_IN_RATE
from pipelines.sources.prometheus_values import Pending
from pipelines.sources.pushed_history import SizeHistory
from pipelines.sources.pushed_peers import ReplicaHistory
from pipelines.sources.pushed_span import (
    PushedSpan,
    Stored,
    moment,
    newest_time,
    raw_samples,
    stored_samples,
)
from pipelines.sources.read_plan import Pull
from pipelines.sources.source_setup import SourceSetup

#: Raw samples are kept so long after the newest time that was computed from them.
KEEP_S = HOUR_S
#: At most so long a span is computed at once; a shorter one where it has more samples than `MAX_SAMPLES`.
CHUNK_S = HOUR_S
MAX_SAMPLES = 4_000_000


class PushedSignals:
    """The golden signals of what clients push (`core.ports.MetricSource`).

    Args:
        pushed: of the tenant.
        step_s: seconds between values.
        services: derives the service from the labels.
        known_types: metric -> type, as senders have declared them.
    """

    def __init__(
        self,
        pushed: PushedStores,
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
        self._sizes = SizeHistory(pushed.sizes, step_s)
        self._replicas = ReplicaHistory(pushed.replicas, step_s)

    @classmethod
    def configured(cls, setup: SourceSetup) -> MetricSource | None:
        """The pushed samples, if golden signals are computed and there are any; null otherwise."""
        settings, pushed = setup.settings, setup.pushed
        if pushed is None or pushed.raw.extent() is None:
            return None
        return cls(
            pushed,
            GoldenSignals.configured(settings),
            tenant=setup.tenant,
            clock=setup.clock,
            step_s=settings.prometheus_step_s,
            services=settings.service_rule,
            known_types=setup.known_types,
        )

    @property
    def name(self) -> str:
        """Signals with another step have a cursor of their own."""
        return f"pushed: {self._plan.name} every {self._step_s} s"

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        """All values after `cursor` (the last time that was computed), in the order of time."""
        kept = self._pushed.raw.extent()
        if kept is None:
            return
        step_s = self._step_s
        last = newest_time(kept, self._clock.now(), step_s)
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
        before = moment(end - KEEP_S)
        self._pushed.raw.forget(before)
        self._pushed.raw.forget_series(
            before, keep=self._plan.host_metrics, keep_since=moment(end - HOST_MEMORY_S)
        )

    def _chunk_s(self, start: int) -> int:
        """How long a span to compute at once, a multiple of the step."""
        steps = max(1, CHUNK_S // self._step_s)
        while steps > 1:
            kept = self._pushed.raw.extent(moment(start), moment(start + steps * self._step_s))
            if kept is None or kept.count <= MAX_SAMPLES:
                break
            steps //= 2
        return steps * self._step_s

    def _chunk(self, start: int, end: int) -> Batch:
        raw, window_s = self._samples(start, end)
        sizes = self._sizes.before(start)
        types = self._known_types()
        pull = Pull(
            tenant=self._tenant,
            step_s=self._step_s,
            services=self._services,
            window_s=window_s,
            declared=types,
            types=types,
        )
        times = range(start, end + 1, self._step_s)
        span = PushedSpan(self._pushed.raw, raw_samples(raw, sizes), times=times)
        pending = Pending()
        for read in self._plan.reads(span, pull):
            for labels, of_series, values in span.values(read.query):
                try:
                    pending.add(read.series_of(labels), of_series, values)
                except InputError as error:
                    span.reject({"query": read.query.text, "labels": dict(labels)}, str(error))
        calls, events = self._plan.calls(span, pull), self._plan.events(span, pull)
        # Before the batch is stored, so that a crash loses nothing. What is kept already is not added again.
        self._sizes.record(raw, self._plan.size_terms, start, end)
        self._replicas.record(span, self._plan, pull)
        last = pending.batch(span.take_rejected(), cursor=str(end), notes=self._plan.take_notes())
        return replace(last, calls=calls, events=events)

    def _samples(self, start: int, end: int) -> tuple[Stored, int]:
        """The raw samples that the values of a span need, and the window of rates in seconds."""
        back_s = max(self._step_s, LOOKBACK_MS // 1000)
        raw = self._stored(start - back_s, end)
        scrape_s = raw_samples(raw).interval_s("job") or ASSUMED_SCRAPE_S
        window_s = max(self._step_s, int(-(-scrape_s * SCRAPES_IN_RATE // 1)))
        if window_s > back_s:
            raw = self._stored(start - window_s, end)
        return raw, window_s

    def _stored(self, start: int, end: int) -> Stored:
        """The raw samples of [start, end], with the deltas at its edges."""
        spread_s = MAX_SPREAD_MS // 1000
        return stored_samples(self._pushed.raw, start - spread_s, end + spread_s)
