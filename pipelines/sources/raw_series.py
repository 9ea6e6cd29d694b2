"""The raw series that people selected, metric by metric; buckets of histograms are left out."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from core.domain import Direction, Event, Role, Series, SeriesKind, ServiceEdges
from core.metric_names import guess_metric
from core.metric_types import declaring_names, is_bucket, is_counter
from core.service_names import ServiceRule
from pipelines.sources.prometheus_queries import Query, Span
from pipelines.sources.read_plan import Pull, Read

#: The metric that Prometheus adds to each target: 1 while it can scrape it, else 0. A dead exporter is found by it,
#: because Prometheus ends all other series of the target.
UP = "up"


class RawSeries:
    """All series that the selectors match, counters as rates (`pipelines.sources.read_plan.ReadPlan`)."""

    def __init__(self, match: Sequence[str]) -> None:
        self._match = match

    @property
    def name(self) -> str:
        return " ".join(self._match)

    def reads(self, span: Span, pull: Pull) -> Iterator[Read[Query]]:
        """One query for each metric and selector."""
        for name in span.names(self._match):
            if is_bucket(name, pull.types):
                continue
            counter = is_counter(name, pull.types)
            for selector in self._match:
                yield _read(name, selector, pull, counter)

    def calls(self, span: Span, pull: Pull) -> ServiceEdges:
        return ()

    def events(self, _span: Span, _pull: Pull) -> list[Event]:
        return []

    def take_notes(self) -> tuple[str, ...]:
        return ()


def _read(metric: str, selector: str, pull: Pull, counter: bool) -> Read[Query]:
    def series_of(labels: Mapping[str, str]) -> Series:
        return series_of_labels(
            pull.tenant, metric, labels, counter=counter, step_s=pull.step_s, services=pull.services
        )

    query = Query.of_metric(metric, selector, pull.window_s if counter else None)
    relevant = declaring_names([metric])
    return Read(query, series_of, {name: kind for name, kind in pull.declared.items() if name in relevant})


def raw_id_of(labels: Mapping[str, str]) -> int:
    """A stable 63-bit id of the labels of a raw series, whatever their order."""
    text = json.dumps(sorted(labels.items()))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


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
    found = Series(
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
    if metric == UP:
        return replace(found, role=Role.ERRORS, slo_threshold=0.5, direction=Direction.DOWN_IS_BAD)
    return found
