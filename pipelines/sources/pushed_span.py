"""The samples that clients pushed, as a span of time of which our own computation gives the values of queries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from core.errors import InputError
from core.pushed import PushedExtent, PushedRepository, PushedSamples
from models.metrics.calls import call_grouping
from models.metrics.evaluate import Evaluator
from models.metrics.raw_samples import RawSamples
from models.metrics.recipe import Term
from pipelines.sources.call_queries import CallQuery
from pipelines.sources.prometheus_queries import Item
from pipelines.sources.prometheus_values import Values
from pipelines.sources.read_plan import ComputedQuery
from pipelines.sources.rejections import Rejections

#: Samples come at most so late. Prometheus sends what it scrapes within a few seconds.
LATENESS_S = 60


class PushedMetrics(Rejections):
    """The metrics that were pushed in one span of time (`pipelines.sources.read_plan.MetricSpan`).

    Args:
        samples: with those before the first time that its windows need.
        times: of the values, in seconds since 1970.
    """

    def __init__(self, pushed: PushedRepository, samples: RawSamples, *, times: range) -> None:
        super().__init__()
        self._pushed = pushed
        self._samples = samples
        self._times_ms = np.array(times, dtype=np.int64) * 1000
        self._start, self._end = times[0], times[-1]

    @property
    def start(self) -> int:
        return self._start

    @property
    def end(self) -> int:
        return self._end

    def names(self) -> list[str]:
        return list(self.possible_names(self._samples.metrics))

    def label_names(self, metric: str) -> list[str]:
        series = self._samples.of_metric(metric).tolist()
        return sorted({name for at in series for name in self._samples.labels[at]})

    def series_of(self, metrics: Sequence[str], since: float) -> list[Mapping[str, str]]:
        return self._pushed.series_of(metrics, datetime.fromtimestamp(since, UTC))

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


class PushedSpan(PushedMetrics):
    """The values of pushed samples (`pipelines.sources.read_plan.ValueSpan`)."""

    def values(self, query: ComputedQuery) -> Iterator[Values]:
        """The series of a query: labels, times in microseconds and values, without NaN."""
        evaluator = Evaluator(
            samples=self._samples,
            times_ms=self._times_ms,
            window_s=query.window_s,
            service_labels=query.service_labels,
        )
        try:
            vector = query.vector(evaluator)
        except InputError as error:  # an invalid regular expression of the recipe
            self.reject({"query": query.text}, str(error))
            return
        for key, values, present in zip(vector.keys, vector.values, vector.present, strict=True):
            known = present & ~np.isnan(values)
            yield dict(key), self._times_ms[known] * 1000, values[known]


@dataclass(frozen=True, slots=True)
class Stored:
    """Stored samples of which the labels are known.

    Attributes:
        labels: of each series, by its id.
    """

    samples: PushedSamples
    labels: Mapping[int, Mapping[str, str]]


def stored_samples(repository: PushedRepository, start: float, end: float) -> Stored:
    """The samples of [start, end], in seconds since 1970."""
    samples = repository.read(moment(start), moment(end))
    labels = repository.labels(np.unique(samples.series_ids).tolist())
    known = np.isin(samples.series_ids, np.array(list(labels), dtype=np.int64))
    return Stored(
        PushedSamples(samples.series_ids[known], samples.times_ms[known], samples.values[known]), labels
    )


def raw_samples(*parts: Stored) -> RawSamples:
    """The samples of all parts, which may have some in common."""
    labels = {series_id: one for part in parts for series_id, one in part.labels.items()}
    ids = np.array(sorted(labels), dtype=np.int64)
    samples = [part.samples for part in parts]
    rows = np.searchsorted(ids, np.concatenate([one.series_ids for one in samples]))
    return RawSamples(
        [labels[one] for one in ids.tolist()],
        rows,
        np.concatenate([one.times_ms for one in samples]),
        np.concatenate([one.values for one in samples]),
    )


def newest_time(kept: PushedExtent, now: datetime, step_s: int) -> int:
    """The last time for which no more samples are expected, a multiple of the step, in seconds since 1970."""
    newest_s = min(now, kept.last).timestamp()
    return int((newest_s - LATENESS_S) // step_s) * step_s


def moment(seconds: float) -> datetime:
    """A time in seconds since 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
