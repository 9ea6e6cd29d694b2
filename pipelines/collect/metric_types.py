"""Store the types that sources declare, and read stored series again whose metrics turn out to be counters.

A sender may send samples before it declares their type. Until then, a metric whose name does not tell a counter is read
as a gauge. When its type is declared, the stored counts become rates, so that the series has one meaning throughout.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl

from core.batch import Declaration
from core.contradictions import Contradiction
from core.domain import Series, SeriesKind
from core.frames import SAMPLES
from core.metric_names import guess_metric
from core.metric_types import declared_names, declaring_names, is_counter
from core.ports import Store
from pipelines.collect.counter_rates import rates_of, without_starts
from pipelines.collect.validation import rejected_rows
from pipelines.stores.dead_letters import REJECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """A source that declares types, and the present."""

    name: str
    at: datetime


def declare_types(store: Store, types: Mapping[str, str], source: Sender | None = None) -> pl.DataFrame:
    """Hold the types of the tenant until the end of the transaction, and store new ones.

    Call it before samples are read with the types.

    Args:
        source: who declares them; null: nobody new.
    Returns:
        Rejected rows: counts that are below 0, and rates that were removed because the metric is a gauge.
    """
    known = {name: kind for name, kind in types.items() if kind != "unknown"}
    changed = _changed(store, known)
    store.metric_types.hold(change=bool(changed))
    if not changed:
        return pl.DataFrame(schema=REJECTED)
    changed = _changed(store, known)  # another transaction may have stored them before this one got the lock
    concerned = declared_names(changed)
    before = store.metric_types.declared(sorted(declaring_names(concerned)))
    if source is not None:
        _keep_contradictions(store, changed, source)
    store.metric_types.declare(changed, "" if source is None else source.name)
    after = {**before, **changed}
    rejected = [pl.DataFrame(schema=REJECTED)]
    for series in store.series.of_metrics(sorted(concerned)):
        counter = is_counter(series.metric, after)
        if counter and series.kind is not SeriesKind.COUNTER and not is_counter(series.metric, before):
            rejected.append(_to_counter(store, series))
        elif not counter and series.kind is SeriesKind.COUNTER and is_counter(series.metric, before):
            rejected.append(_to_gauge(store, series))
    return pl.concat(rejected)


def retype(store: Store, declarations: Sequence[Declaration], described: Sequence[Series]) -> pl.DataFrame:
    """Read stored series again whose `kind` people declare differently now; call it before they are registered.

    Returns:
        Rejected rows, as `declare_types`.
    """
    if not any("kind" in one.facts for one in declarations):
        return pl.DataFrame(schema=REJECTED)
    return reread(store, described)


def reread(store: Store, described: Sequence[Series]) -> pl.DataFrame:
    """Read stored series again that have become counters, or are none any more; call it before they are registered.

    Returns:
        Rejected rows, as `declare_types`.
    """
    store.series.hold()  # before the counts of the series are locked
    kinds = {one.series_id: one.kind for one in described}
    rejected = [pl.DataFrame(schema=REJECTED)]
    for stored in store.series.of_metrics(sorted({one.metric for one in described})):
        kind = kinds.get(stored.series_id, stored.kind)
        if kind is SeriesKind.COUNTER and stored.kind is not SeriesKind.COUNTER:
            rejected.append(_to_counter(store, stored))
        elif kind is not SeriesKind.COUNTER and stored.kind is SeriesKind.COUNTER:
            rejected.append(_to_gauge(store, stored))
    return pl.concat(rejected)


def _changed(store: Store, types: Mapping[str, str]) -> dict[str, str]:
    if not types:
        return {}
    stored = store.metric_types.declared(sorted(types))
    return {name: kind for name, kind in types.items() if stored.get(name) != kind}


def _keep_contradictions(store: Store, changed: Mapping[str, str], source: Sender) -> None:
    """Remember the metrics whose type another source has declared differently."""
    names = sorted(changed)
    before, senders = store.metric_types.declared(names), store.metric_types.sources(names)
    found = [
        Contradiction(
            metric=name,
            field="type",
            source=source.name,
            value=changed[name],
            other_source=senders[name],
            other_value=before[name],
        )
        for name in names
        if name in before and senders.get(name) not in (None, "", source.name)
    ]
    if found:
        store.contradictions.add(found, source.at)


def _to_counter(store: Store, series: Series) -> pl.DataFrame:
    """Replace the stored counts of a series by rates."""
    counts = _samples(store, series)
    negative = counts.filter(pl.col("value") < 0).with_columns(
        reason=pl.format("value {} is below 0, and the metric is a counter", "value")
    )
    counted = rates_of(counts.clear(), counts.filter(pl.col("value") >= 0))
    unit = guess_metric(series.metric).unit
    store.series.register([replace(series, kind=SeriesKind.COUNTER, unit=f"{unit}/s" if unit else "1/s")])
    store.samples.remove(series.series_id)
    store.samples.write(counted.rates.filter(pl.col("value").is_finite()))
    store.counters.save(counted.recent)
    return rejected_rows(negative, {series.series_id: series}, counts=True)


def _to_gauge(store: Store, series: Series) -> pl.DataFrame:
    """Replace the rates of a series by the values that are still known; the others cannot be computed from rates."""
    values = without_starts(store.counters.recent([series.series_id]))
    guess = guess_metric(series.metric)
    # the name may tell a counter
    kind = SeriesKind.RATIO if guess.kind is SeriesKind.RATIO else SeriesKind.GAUGE
    store.series.register([replace(series, kind=kind, unit=guess.unit)])
    removed = store.samples.remove(series.series_id)
    store.samples.write(values)
    store.counters.forget([series.series_id])
    lost = removed - max(0, values.height - 1)
    if lost <= 0:
        return pl.DataFrame(schema=REJECTED)
    row = {"series": series.name, "rates": lost}
    reason = "these rates were removed: the metric is declared a gauge now, and its name tells a counter"
    return pl.DataFrame({"row": [json.dumps(row)], "reason": [reason]}, schema=REJECTED)


def _samples(store: Store, series: Series) -> pl.DataFrame:
    span = store.samples.span()
    if span is None:
        return pl.DataFrame(schema=SAMPLES)
    return store.samples.read(span[0], span[1] + timedelta(seconds=1), [series.series_id])
