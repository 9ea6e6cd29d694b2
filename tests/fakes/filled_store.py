"""A store of one tenant in which every table has something."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from core.alert_changes import AlertChange
from core.contradictions import Contradiction
from core.diagnosis import (
    Diagnosis,
    DiagnosisRecord,
    Feedback,
    FeedbackValue,
    IncidentState,
    PolicyDecision,
    Transition,
)
from core.domain import Event, EventKind, Incident, Series, Severity, Signal, SignalKind
from core.frames import SAMPLES, TIME, TIMES, Schema
from core.intake import IntakeCount, IntakeKind
from core.limit_changes import LimitChange
from core.logs import LogCount, LogTemplate
from core.outbox import DeliveryLane
from core.pushed import PushedSamples
from core.traces import SpanCount, SpanMark
from core.watch_cycles import WatchCycle
from pipelines.stores.baselines import BASELINE_ROWS
from pipelines.stores.session import Pool
from pipelines.stores.store import Store

T0 = datetime(2026, 1, 5, tzinfo=UTC)
END = T0 + timedelta(days=1)
STEP = timedelta(minutes=5)


def contradiction(source: str) -> Contradiction:
    return Contradiction(
        metric="latency", field="type", source=source, value="gauge", other_source="y", other_value="counter"
    )


class Filled:
    """A store in which every table has something, the same for each tenant but for the tenant itself."""

    def __init__(self, pool: Pool, tenant: str, value: float) -> None:
        self.store = store = Store(pool, tenant)
        self.value = value
        self.series = Series(tenant=tenant, service="checkout", metric="latency")
        store.series.register([self.series])
        ids = [self.series.series_id]
        rows = [(ids[0], T0 + n * STEP, value) for n in range(12)]
        store.samples.write(pl.DataFrame(rows, schema=SAMPLES, orient="row"))
        store.rollups.refresh(T0, END)
        self.event = Event(tenant=tenant, service="checkout", kind=EventKind.DEPLOY, at=T0, title=tenant)
        store.events.add([self.event])
        store.series.propose({ids[0]: value})
        self.series = store.series.get(ids[0])
        store.contradictions.add([contradiction(tenant)], T0)
        store.limit_changes.add([LimitChange(series=self.series, before=value, after=value)], T0)
        store.counters.save(pl.DataFrame([(ids[0], T0, value)], schema=SAMPLES, orient="row"))
        store.metric_types.declare({"latency": tenant})
        for pushed in (store.pushed, store.pushed_sizes, store.pushed_replicas):
            pushed.add({1: {"__name__": "latency", "t": tenant}}, pushed_samples(value), T0)
        store.spans.remember([SpanMark(1, True, 2, tenant), SpanMark(2, False, None, "web")], T0)
        store.spans.see_operations([("checkout", tenant)], T0)
        store.spans.add([SpanCount(T0, "checkout", tenant, 7, 3, 1)])
        store.service_edges.see([("checkout", tenant)], T0)
        store.logs.add([LogCount(T0, tenant, "error", "x", 3)], T0)
        store.logs.is_repeated(7, T0)
        store.logs.save_templates([template(tenant)])
        self.incident = Incident(
            tenant=tenant, service="checkout", type="x", severity=Severity.INFO, start=T0, end=T0 + STEP
        )
        store.incidents.add([self.incident])
        store.dead_letters.add("csv:x", pl.DataFrame({"row": [tenant], "reason": ["bad"]}))
        store.cursors.set("csv:x", tenant)
        store.source_states.worked("csv:x", [tenant])
        store.watch_cycles.add(WatchCycle(at=T0, step_seconds={tenant: 1.0}))
        store.intake.add(END, [intake_count(tenant)])
        store.series_ends.add(ends_of(ids[0], T0))
        store.native_histograms.replace(histograms_of(ids[0], tenant))
        store.baselines.publish(baselines(ids[0], value), window_start=T0, window_end=END, model=None)
        store.forecasts.publish(forecast_of(ids[0], value), made_at=T0, model=None)
        store.features.write(features_of(tenant, value))
        self.signal = signal_of(tenant)
        store.signals.upsert([self.signal])
        store.deliveries.enqueue("slack", DeliveryLane.NEW)
        store.deliveries.sink_failed("slack", T0, tenant, None)
        self.feedback = Feedback(
            tenant=tenant, subject_id="s1", value=FeedbackValue.TRUE_POSITIVE, at=T0, by=tenant, note=""
        )
        store.feedback.add([self.feedback])
        self.record = verdict(tenant)
        store.diagnoses.add([self.record])
        self.transition = Transition(
            tenant=tenant, incident_id="c1", before=None, after=IncidentState.DETECTED, at=T0, by=tenant
        )
        store.transitions.append(self.transition)


def alert_change(tenant: str) -> AlertChange:
    """The end of the incident of `Filled`, if it were of that tenant."""
    return AlertChange(
        tenant=tenant, service="checkout", type="x", severity=Severity.INFO, at=END, firing=False
    )


def pushed_samples(value: float) -> PushedSamples:
    return PushedSamples(np.array([1]), np.array([round(T0.timestamp() * 1000)]), np.array([value]))


def baselines(series_id: int, value: float) -> pl.DataFrame:
    row: tuple[object, ...] = (
        series_id,
        1,
        value,
        0.0,
        [value],
        "none",
        [],
        [value],
        300,
        [value],
        [value],
        "",
    )
    return pl.DataFrame([row], schema=BASELINE_ROWS, orient="row")


def forecast_of(series_id: int, value: float) -> pl.DataFrame:
    names = ("yhat", "lo_80", "hi_80", "lo_95", "hi_95")
    schema: Schema = {"series_id": pl.Int64, "ts": TIME, **dict.fromkeys(names, pl.Float64)}
    return pl.DataFrame([(series_id, T0, *[value] * 5)], schema=schema, orient="row")


def features_of(tenant: str, value: float) -> pl.DataFrame:
    schema: Schema = {"service_id": pl.String, "ts": TIME, "cpu_trend": pl.Float64}
    return pl.DataFrame([(f"{tenant}/checkout", T0, value)], schema=schema, orient="row")


def ends_of(series_id: int, at: datetime) -> pl.DataFrame:
    return pl.DataFrame([(series_id, at)], schema=TIMES, orient="row")


def histograms_of(series_id: int, content: str) -> pl.DataFrame:
    schema: Schema = {**TIMES, "content": pl.Binary}
    return pl.DataFrame([(series_id, T0, content.encode())], schema=schema, orient="row")


def template(tenant: str, pattern: str = "x") -> LogTemplate:
    return LogTemplate(
        tenant=tenant,
        service="checkout",
        name="x",
        pattern=pattern,
        level="error",
        example=tenant,
        first_seen=T0,
        seen_at=T0,
    )


def hold_all(store: Store) -> None:
    for repository in (store.metric_types, store.spans, store.logs):
        repository.hold(change=True)
    store.logs.hold_templates()


def signal_of(tenant: str) -> Signal:
    return Signal(
        signal_id="s1",
        tenant=tenant,
        kind=SignalKind.ANOMALY,
        service="checkout",
        started_at=T0,
        summary=f"of {tenant}",
        severity=Severity.INFO,
    )


def intake_count(source: str) -> IntakeCount:
    return IntakeCount("metrics", source, IntakeKind.ITEMS, "new", 1)


def verdict(tenant: str) -> DiagnosisRecord:
    diagnosis = Diagnosis(decision=PolicyDecision.ASK, reason=tenant, ranked=(), shown=())
    return DiagnosisRecord(
        tenant=tenant,
        incident_id="c1",
        service="checkout",
        made_at=T0,
        signal_ids=("s1",),
        diagnosis=diagnosis,
    )
