"""What exceeds the budgets of traces and logs, and is counted together in one series of each service."""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from core.durations import DAY
from models.signals.new_log_line import METRIC as TEMPLATE_METRIC
from pipelines.collect.log_templates import MAX_TEMPLATES
from pipelines.collect.log_templates import OTHER as OTHER_TEMPLATES
from pipelines.collect.store_traces import MAX_OPERATIONS
from pipelines.collect.store_traces import OTHER as OTHER_OPERATIONS
from pipelines.collect.summarise_traces import REQUESTS_METRIC
from pipelines.common.tenant_platform import Platform
from pipelines.operate.status_part import StatusPart

#: So many services are named.
_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Budget:
    """How many operations or templates of a service are counted one by one.

    Attributes:
        metric: of the series, a rate.
        label: names the operation or the template; `other` stands for all beyond the budget.
        unit: what the rate counts.
    """

    source: str
    most: int
    metric: str
    label: str
    other: str
    unit: str


_BUDGETS = (
    _Budget(
        source="traces",
        most=MAX_OPERATIONS,
        metric=REQUESTS_METRIC,
        label="operation",
        other=OTHER_OPERATIONS,
        unit="requests",
    ),
    _Budget(
        source="logs",
        most=MAX_TEMPLATES,
        metric=TEMPLATE_METRIC,
        label="template",
        other=OTHER_TEMPLATES,
        unit="lines",
    ),
)


def budgets(platform: Platform) -> Iterator[StatusPart]:
    """The services with more operations or templates than are counted one by one, in the last day."""
    for budget in _BUDGETS:
        shares = _shares(platform, budget)
        if not shares:
            continue
        named = sorted(shares, key=lambda service: (-shares[service], service))
        texts = [f"{service} ({shares[service]:.1%} of its {budget.unit})" for service in named[:_NAMED]]
        more = f" and {len(named) - _NAMED} more services" if len(named) > _NAMED else ""
        yield StatusPart(
            name=f"note on {budget.source}",
            state=f"{budget.label}s beyond {budget.most} of a service are counted together as `{budget.other}`, in"
            f" the last day those of {', '.join(texts)}{more}",
        )


def _shares(platform: Platform, budget: _Budget) -> dict[str, float]:
    """Service -> the share that is counted together, of the services that have some."""
    series = platform.store.series.find(metric=budget.metric)
    together = {one.series_id: one.service for one in series if one.labels.get(budget.label) == budget.other}
    services = set(together.values())
    service_of = {one.series_id: one.service for one in series if one.service in services}
    if not together:
        return {}
    now = platform.clock.now()
    sums = (
        platform.store.samples.read(now - DAY, now, list(service_of))
        .group_by("series_id")
        .agg(pl.col("value").sum())
    )
    totals = dict.fromkeys(services, 0.0)
    others = dict.fromkeys(services, 0.0)
    for series_id, total in sums.iter_rows():
        totals[service_of[series_id]] += total
        if series_id in together:
            others[together[series_id]] += total
    return {service: others[service] / totals[service] for service in services if others[service] > 0}
