"""Range queries over one span of time, made smaller as long as a server refuses them as too large.

A query over too long a time is halved in time. A query over too many series is halved by the values of one label. What
the server refuses nevertheless becomes a rejected row, so that one metric does not keep the others out.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pipelines.sources.prometheus_api import PrometheusApi, QueryTooLargeError, RefusedQueryError
from pipelines.sources.prometheus_values import Values, measured
from pipelines.sources.rejections import Rejections

#: Bytes of a regular expression of label values. VictoriaMetrics accepts queries of up to 16 KB.
MAX_MATCHER_BYTES = 4_000
#: After so many single times that a server refuses, the rest of a query is not asked for.
MOST_REFUSED_TIMES = 3

#: Labels, times in seconds, values as text.
Item = tuple[Mapping[str, str], list[float], list[str]]


class RangeQuery(Protocol):
    """A query that can be made smaller. Equal queries have the same hash."""

    @property
    def selector(self) -> str:
        """The series that the query reads, or some of them."""
        ...

    @property
    def text(self) -> str:
        """The query in PromQL."""
        ...

    def may_be_halved_by(self, label: str) -> bool:
        """Whether the halves by that label give the same series as the whole."""
        ...

    def halves(self, label: str, values: Sequence[str]) -> "tuple[RangeQuery, RangeQuery]":
        """The series that have one of these values, and all others."""
        ...


@dataclass(frozen=True, slots=True)
class Query:
    """The series that some matchers select, as they are or as rates.

    Attributes:
        rate_window_s: null: the values as they are.
    """

    matchers: tuple[str, ...]
    rate_window_s: int | None = None

    @classmethod
    def of_metric(cls, name: str, selector: str, rate_window_s: int | None = None) -> "Query":
        """The series of one metric that a selector matches.

        Examples:
            >>> Query.of_metric("up", '{job="node"}').text
            '{__name__="up",job="node"}'
            >>> Query.of_metric("hits_total", 'hits_total{job="node"}', 60).text
            'rate({__name__="hits_total",__name__="hits_total",job="node"}[60s])'
        """
        metric, brace, rest = selector.strip().partition("{")
        matchers = rest.removesuffix("}").strip().removesuffix(",") if brace else ""
        parts = [f"__name__={_quoted(name)}"]
        if metric.strip():
            parts.append(f"__name__={_quoted(metric.strip())}")
        return cls((*parts, *([matchers] if matchers else [])), rate_window_s)

    @property
    def selector(self) -> str:
        return "{" + ",".join(self.matchers) + "}"

    @property
    def text(self) -> str:
        """The query in PromQL."""
        return (
            self.selector if self.rate_window_s is None else f"rate({self.selector}[{self.rate_window_s}s])"
        )

    def may_be_halved_by(self, label: str) -> bool:
        return True

    def halves(self, label: str, values: Sequence[str]) -> "tuple[Query, Query]":
        """The series that have one of these values, and all others."""
        one, other = matchers_of_halves(label, values)
        return replace(self, matchers=(*self.matchers, one)), replace(self, matchers=(*self.matchers, other))


class Span(Rejections):
    """The queries over one span of time, from `start` to `end` in seconds, and what was rejected."""

    def __init__(self, api: PrometheusApi, *, start: int, end: int, step_s: int) -> None:
        super().__init__()
        self._api = api
        self._start = start
        self._end = end
        self._step_s = step_s
        self._refusal: RefusedQueryError | None = None
        self._refused_times: dict[RangeQuery, int] = {}
        self._succeeded = False

    @property
    def start(self) -> int:
        """The first time, in seconds since 1970."""
        return self._start

    @property
    def end(self) -> int:
        """The last time, in seconds since 1970."""
        return self._end

    def names(self, match: Sequence[str] = ('{__name__!=""}',)) -> list[str]:
        """The names of the metrics that a selector matches, sorted.

        Raises:
            InputError: a selector is invalid.
        """
        return sorted(set(self.possible_names(self._names(match, self._start, self._end))))

    def label_names(self, metric: str) -> list[str]:
        """The names of the labels of all series of a metric."""
        return self._api.labels(metric, self._start, self._end)

    def series_of(self, metrics: Sequence[str], since: float) -> list[Mapping[str, str]]:
        """The labels of all series of these metrics from that time to the end of the span."""
        return self._api.series(metrics, since, self._end)

    def read(self, query: RangeQuery) -> Iterator[Item]:
        """The series of a query with their values."""
        yield from self._read(query, self._start, self._end)

    def values(self, query: RangeQuery) -> Iterator[Values]:
        """The series of a query with their values as numbers, without NaN. One series may come in several parts."""
        for labels, times, texts in self.read(query):
            try:
                known = measured(times, texts)
            except ValueError as error:
                self.reject({"query": query.text, "labels": dict(labels)}, str(error))
            else:
                yield labels, *known

    def read_last(self, query: RangeQuery) -> Iterator[Item]:
        """The series of a query with their values at the end of the span."""
        yield from self._read(query, self._end, self._end)

    def require_some(self) -> None:
        """Raises InputError when the server refused every query: then nothing of the span was read."""
        if self._refusal is not None and not self._succeeded:
            raise self._refusal

    def _names(self, match: Sequence[str], start: int, end: int) -> Iterator[str]:
        try:
            yield from self._api.names(match, start, end)
        except QueryTooLargeError:
            middle = self._middle(start, end)
            if middle is None:
                raise
            yield from self._names(match, start, middle - self._step_s)
            yield from self._names(match, middle, end)

    def _read(self, query: RangeQuery, start: int, end: int) -> Iterator[Item]:
        if self._refused_times.get(query, 0) >= MOST_REFUSED_TIMES:
            return
        try:
            matrix = self._api.query_range(query.text, start, end, self._step_s)
        except QueryTooLargeError as error:
            yield from self._read_smaller(query, start, end, error)
            return
        except RefusedQueryError as error:
            self._refuse(query, error)
            return
        self._succeeded = True
        for entry in matrix:
            item = self._item(query, entry)
            if item is not None:
                yield item

    def _read_smaller(
        self, query: RangeQuery, start: int, end: int, error: QueryTooLargeError
    ) -> Iterator[Item]:
        middle = self._middle(start, end)
        if error.too_many_series or middle is None:
            halves = self._halves_of_series(query, start, end)
            if halves is not None:
                for half in halves:
                    yield from self._read(half, start, end)
                return
        if middle is None:
            self._refused_times[query] = self._refused_times.get(query, 0) + 1
            self._refuse(query, error)
            return
        yield from self._read(query, start, middle - self._step_s)
        yield from self._read(query, middle, end)

    def _middle(self, start: int, end: int) -> int | None:
        """The first time of the second half; null for a single time."""
        points = (end - start) // self._step_s + 1
        return start + (points // 2) * self._step_s if points >= 2 else None

    def _halves_of_series(
        self, query: RangeQuery, start: int, end: int
    ) -> tuple[RangeQuery, RangeQuery] | None:
        """Two queries that select half of the series each, by the label with the most values; null: not possible."""
        try:
            values_by_label = self._api.label_values(query.selector, start, end)
        except RefusedQueryError:
            return None
        possible = [item for item in values_by_label.items() if query.may_be_halved_by(item[0])]
        label, values = max(possible, key=lambda item: len(item[1]), default=("", []))
        if len(values) < 2:
            return None
        half, size = [], 0
        for value in sorted(values)[: len(values) // 2]:
            size += len(value.encode()) + 1
            if size > MAX_MATCHER_BYTES:
                break
            half.append(value)
        return query.halves(label, half) if half else None

    def _refuse(self, query: RangeQuery, error: RefusedQueryError) -> None:
        self._refusal = self._refusal or error
        self.reject({"query": query.text}, str(error))

    def _item(self, query: RangeQuery, entry: Any) -> Item | None:
        """One series of a response; null when it has nothing that can be stored."""
        labels = entry.get("metric") if isinstance(entry, dict) else None
        if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
            self.reject(
                {"query": query.text, "series": repr(entry)[:200]}, "the series has no readable labels"
            )
            return None
        if entry.get("histograms"):
            self.reject(
                {"query": query.text, "labels": labels},
                "native histograms are read as golden signals only; set FOREWARN_GOLDEN_SIGNALS=true, or expose classic"
                " buckets as well",
            )
        points = entry.get("values") or []
        try:
            times, values = zip(*points, strict=True) if points else ((), ())
            return labels, [float(time) for time in times], [str(value) for value in values]
        except (TypeError, ValueError):
            self.reject({"query": query.text, "labels": labels}, "the values are not pairs of time and value")
            return None


def matchers_of_halves(label: str, values: Sequence[str]) -> tuple[str, str]:
    """Matchers of the series that have one of these values, and of all others."""
    pattern = _quoted("|".join(re.escape(value) for value in values))
    return f"{label}=~{pattern}", f"{label}!~{pattern}"


def _quoted(text: str) -> str:
    """A string of PromQL. Its escapes are those of JSON, except that a letter beyond 16 bits has none."""
    return json.dumps(text, ensure_ascii=False)
