"""Two tenants on one database: nothing of one is ever seen, changed or deleted by the other."""

import inspect
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from fakes.filled_store import (
    END,
    STEP,
    T0,
    Filled,
    alert_change,
    baselines,
    contradiction,
    ends_of,
    features_of,
    forecast_of,
    histograms_of,
    hold_all,
    intake_count,
    pushed_samples,
    template,
)

from core.dead_letters import EVERY_DEAD_LETTER
from core.domain import Signal
from core.errors import InputError, NotFoundError, UnknownSeriesError
from core.frames import SAMPLES
from core.limit_changes import LimitChange
from core.logs import LogCount
from core.outbox import DeliveryLane
from core.pushed import PushedRepository
from core.settings import Settings
from core.traces import SpanCount, SpanMark
from pipelines.stores.session import Pool
from pipelines.stores.store import Store


def _seen(filled: Filled) -> dict[str, Any]:
    """What every reading method of the store answers."""
    store = filled.store
    reads: dict[str, Callable[[], Any]] = {
        "series.find": store.series.find,
        "series.get": lambda: store.series.get(filled.series.series_id),
        "series.known": lambda: store.series.known([filled.series.series_id]),
        "samples.read": lambda: store.samples.read(T0, END).rows(),
        "samples.latest": lambda: store.samples.latest().rows(),
        "samples.span": store.samples.span,
        "rollups.read": lambda: [
            store.rollups.read("5m", T0, END).rows(),
            store.rollups.read("1h", T0, END).rows(),
        ],
        "events.between": lambda: store.events.between(T0, END),
        "incidents.between": lambda: store.incidents.between(T0, END),
        "dead_letters.count": store.dead_letters.count,
        "dead_letters.by_reason": lambda: [one.example for one in store.dead_letters.by_reason()],
        "dead_letters.list": lambda: [letter.row for letter in store.dead_letters.list()],
        "dead_letters.lock_next": lambda: [
            letter.row for letter in store.dead_letters.lock_next(EVERY_DEAD_LETTER, 0, 9, 99)
        ],
        "cursors.list": lambda: [(one.source, one.cursor) for one in store.cursors.list()],
        "intake.since": lambda: [one.source for one in store.intake.since(T0)],
        "source_states.list": lambda: [one.notes for one in store.source_states.list()],
        "watch_cycles.since": lambda: [list(one.step_seconds) for one in store.watch_cycles.since(T0)],
        "series_ends.since": lambda: store.series_ends.since(T0).rows(),
        "native_histograms.recent": lambda: store.native_histograms.recent([filled.series.series_id]).rows(),
        "cursors.get": lambda: store.cursors.get("csv:x"),
        "baselines.current": lambda: _version_and_rows(store),
        "baselines.extent": store.baselines.extent,
        "forecasts.latest": lambda: _rows(store.forecasts.latest(filled.series.series_id)),
        "forecasts.latest_all": lambda: store.forecasts.latest_all().rows(),
        "features.newest": store.features.newest,
        "features.read": lambda: store.features.read(T0, END).rows(),
        "features.services": lambda: store.features.services(T0, END),
        "features.latest": lambda: store.features.latest(
            [f"{filled.store.tenant}/checkout"], ["cpu_trend"]
        ).rows(),
        "signals.find": store.signals.find,
        "signals.counts": lambda: store.signals.counts(T0),
        "signals.unfinished": store.signals.unfinished,
        "signals.get": lambda: store.signals.get("s1"),
        "deliveries.due": lambda: store.deliveries.due("slack", DeliveryLane.NEW, END),
        "deliveries.attempts": lambda: store.deliveries.attempts("slack", DeliveryLane.NEW),
        "deliveries.alert_ids": lambda: store.deliveries.alert_ids("slack"),
        "deliveries.over": lambda: store.deliveries.over("slack"),
        "deliveries.received": lambda: store.deliveries.received("slack", DeliveryLane.NEW),
        "deliveries.rejections": lambda: store.deliveries.rejections("slack", DeliveryLane.NEW),
        "deliveries.counts": lambda: store.deliveries.counts(["slack"]),
        "deliveries.sink_states": store.deliveries.sink_states,
        "locks.owners": lambda: store.locks.owners(["job"]),
        "feedback.list": store.feedback.list,
        **_pushed_reads("pushed", store.pushed),
        **_pushed_reads("pushed_sizes", store.pushed_sizes),
        **_pushed_reads("pushed_replicas", store.pushed_replicas),
        "series.of_metrics": lambda: store.series.of_metrics(["latency"]),
        "series.kinds_and_steps": lambda: store.series.kinds_and_steps([filled.series.series_id]),
        "samples.newest_times": lambda: store.samples.newest_times([filled.series.series_id]),
        "samples.stored_at": lambda: store.samples.stored_at(
            pl.DataFrame({"series_id": [filled.series.series_id], "ts": [T0]})
        ).rows(),
        "counters.recent": lambda: store.counters.recent([filled.series.series_id]).rows(),
        "metric_types.declared": store.metric_types.declared,
        "spans.operations": lambda: store.spans.operations(["checkout"], T0),
        "spans.oldest": store.spans.oldest,
        "spans.calls": store.spans.calls,
        "logs.levels": lambda: store.logs.levels(T0),
        "logs.templates": store.logs.templates,
        "logs.oldest": store.logs.oldest,
        "service_edges.since": lambda: store.service_edges.since(T0),
        "service_edges.known_among": lambda: store.service_edges.known_among(["checkout", "other"]),
        "metric_types.sources": lambda: store.metric_types.sources(["latency"]),
        "contradictions.list": lambda: store.contradictions.list(T0),
        "limit_changes.past_limits": lambda: store.limit_changes.past_limits([filled.series.series_id]),
        "archive.summary": store.archive.summary,
        "diagnoses.list": store.diagnoses.list,
        "diagnoses.of_signals": lambda: store.diagnoses.of_signals(filled.record.signal_ids, until=END),
        "diagnoses.causes": lambda: store.diagnoses.causes([filled.record.diagnosis_id]),
        "transitions.states": lambda: store.transitions.states([filled.record.incident_id]),
        "transitions.list": store.transitions.list,
    }
    return {name: read() for name, read in reads.items()}


def _pushed_reads(name: str, pushed: PushedRepository) -> dict[str, Callable[[], Any]]:
    return {
        f"{name}.read": lambda: pushed.read(T0, END).values.tolist(),
        f"{name}.extent": pushed.extent,
        f"{name}.labels": lambda: pushed.labels([1]),
        f"{name}.series_of": lambda: pushed.series_of(["latency"], T0),
    }


def _version_and_rows(store: Store) -> tuple[int, list[Any]] | None:
    current = store.baselines.current()
    return None if current is None else (current[0], current[1].rows())


def _rows(frame: pl.DataFrame | None) -> list[Any] | None:
    return None if frame is None else frame.rows()


#: Every method that writes is tried below, from the other tenant.
WRITES = {
    "series.register", "series.hold", "series.propose", "limit_changes.add", "contradictions.add",
    "samples.write", "rollups.refresh", "events.add", "incidents.add", "incidents.change",
    "dead_letters.add",
    "dead_letters.remove", "dead_letters.put_back",
    "cursors.set", "cursors.advance", "source_states.worked", "source_states.failed", "intake.add",
    "watch_cycles.add",
    "series_ends.add", "native_histograms.replace",
    "baselines.publish", "forecasts.publish", "features.ensure_columns", "features.write",
    "signals.upsert", "deliveries.enqueue", "deliveries.skip", "deliveries.delivered", "deliveries.failed",
    "deliveries.set_over",
    "deliveries.rejected", "deliveries.retry_given_up", "deliveries.release", "deliveries.sink_failed",
    "deliveries.sink_recovered",
    *(
        f"{name}.{method}"
        for name in ("pushed", "pushed_sizes", "pushed_replicas")
        for method in ("add", "forget", "forget_series")
    ),
    "spans.hold", "spans.remember", "spans.see_operations", "spans.add", "spans.take", "spans.forget",
    "service_edges.see", "logs.hold", "logs.is_repeated", "logs.add", "logs.take", "logs.forget",
    "logs.hold_templates", "logs.save_templates", "logs.see_templates",
    "samples.remove", "counters.save", "counters.forget", "metric_types.declare", "metric_types.hold",
    "feedback.add", "diagnoses.add", "transitions.append", "retention.apply", "locks.hold",
    "archive.check", "archive.forget",
}  # fmt: skip


@pytest.fixture
def pair(pool: Pool, request: pytest.FixtureRequest) -> tuple[Filled, Filled]:
    name = request.node.name.split("[")[0][-30:]
    return Filled(pool, f"{name}_a", 1.0), Filled(pool, f"{name}_b", 2.0)


def test_every_method_of_the_store_is_tried_here(pair: tuple[Filled, Filled]) -> None:
    methods = {
        f"{name}.{method}"
        for name, repository in vars(pair[0].store).items()
        if not name.startswith("_") and not isinstance(repository, str)
        for method, _ in inspect.getmembers(repository, inspect.ismethod)
        if not method.startswith("_")
    }
    assert methods == set(_seen(pair[0])) | WRITES


def test_each_tenant_sees_its_own_and_nothing_else(pair: tuple[Filled, Filled]) -> None:
    for mine, other in (pair, pair[::-1]):
        seen = _seen(mine)
        assert seen["series.find"] == [mine.series]
        assert {row[2] for row in seen["samples.read"]} == {mine.value}
        assert {row[0] for row in seen["samples.latest"]} == {mine.series.series_id}
        assert {row[3] for rows in seen["rollups.read"] for row in rows} == {mine.value}
        assert seen["events.between"] == [mine.event]
        assert seen["incidents.between"] == [mine.incident]
        assert (seen["dead_letters.count"], seen["dead_letters.list"]) == (1, [mine.store.tenant])
        assert seen["dead_letters.lock_next"] == [mine.store.tenant]
        assert seen["cursors.get"] == mine.store.tenant
        assert seen["series_ends.since"] == [(mine.series.series_id, T0)]
        assert [row[2] for row in seen["native_histograms.recent"]] == [mine.store.tenant.encode()]
        assert seen["intake.since"] == [mine.store.tenant]
        assert seen["source_states.list"] == [(mine.store.tenant,)]
        assert [row[2] for row in seen["baselines.current"][1]] == [mine.value]
        assert seen["baselines.extent"] == (1, END, 1)
        assert [row[2] for row in seen["forecasts.latest_all"]] == [mine.value]
        assert mine.value in seen["features.read"][0]
        assert [row[2] for row in seen["features.latest"]] == [mine.value]
        assert seen["features.services"] == [f"{mine.store.tenant}/checkout"]
        assert seen["signals.find"] == [mine.signal] == seen["deliveries.due"]
        assert [one.waiting for one in seen["deliveries.counts"]] == [1, 0, 0]
        assert seen["deliveries.sink_states"]["slack"].error == mine.store.tenant
        assert seen["feedback.list"] == [mine.feedback]
        assert seen["diagnoses.list"] == [mine.record]
        assert seen["transitions.list"] == [mine.transition]
        assert seen["series.of_metrics"] == [mine.series]
        assert [row[2] for row in seen["counters.recent"]] == [mine.value]
        assert seen["metric_types.declared"] == {"latency": mine.store.tenant}
        labels = {"__name__": "latency", "t": mine.store.tenant}
        for name in ("pushed", "pushed_sizes", "pushed_replicas"):
            assert seen[f"{name}.read"] == [mine.value]
            assert seen[f"{name}.extent"].count == 1
            assert (seen[f"{name}.labels"], seen[f"{name}.series_of"]) == ({1: labels}, [labels])
        assert seen["spans.operations"] == {"checkout": {mine.store.tenant}}
        assert seen["logs.templates"] == [template(mine.store.tenant)]
        assert seen["logs.levels"] == [(mine.store.tenant, "error")]
        assert seen["spans.calls"] == [("web", mine.store.tenant)]
        assert seen["service_edges.since"] == (("checkout", mine.store.tenant),)
        assert [one.contradiction.source for one in seen["contradictions.list"]] == [mine.store.tenant]
        assert seen["limit_changes.past_limits"] == {mine.series.series_id: [(T0, mine.value)]}
        assert mine.store.limit_changes.past_limits([other.series.series_id]) == {}
        assert mine.series.proposed_threshold == mine.value
        assert mine.store.series.kinds_and_steps([other.series.series_id]) == {}
        at_start = pl.DataFrame({"series_id": [other.series.series_id], "ts": [T0]})
        assert mine.store.samples.stored_at(at_start).is_empty()
        assert mine.store.samples.newest_times([other.series.series_id]) == {}
        assert mine.store.counters.recent([other.series.series_id]).is_empty()
        ids = [other.series.series_id]
        assert mine.store.samples.read(T0, END, ids).is_empty()
        assert mine.store.rollups.read("1h", T0, END, ids).is_empty()
        assert mine.store.forecasts.latest(ids[0]) is None
        assert mine.store.series.known(ids) == set()
        with pytest.raises(UnknownSeriesError):
            mine.store.series.get(ids[0])


def test_what_one_writes_changes_nothing_for_the_other(pair: tuple[Filled, Filled]) -> None:
    mine, other = pair
    before = _seen(other)
    store, ids = mine.store, [other.series.series_id]
    refused: list[Callable[[], object]] = [
        lambda: store.series.register([other.series]),
        lambda: store.samples.write(pl.DataFrame([(ids[0], END, 9.0)], schema=SAMPLES, orient="row")),
        lambda: store.events.add([other.event]),
        lambda: store.incidents.add([other.incident]),
        lambda: store.incidents.change([alert_change(other.store.tenant)]),
        lambda: store.forecasts.publish(forecast_of(ids[0], 9.0), made_at=T0, model=None),
        lambda: store.features.write(features_of(other.store.tenant, 9.0)),
        lambda: store.signals.upsert([other.signal]),
        lambda: store.feedback.add([other.feedback]),
        lambda: store.diagnoses.add([other.record]),
        lambda: store.transitions.append(other.transition),
    ]
    for write in refused:
        with pytest.raises(InputError):
            write()
    store.incidents.change([alert_change(mine.store.tenant)])
    store.rollups.refresh(T0, END)
    store.dead_letters.add("csv:x", pl.DataFrame({"row": ["more"], "reason": ["bad"]}))
    letters = other.store.dead_letters.list()
    assert store.dead_letters.remove([one.letter_id for one in letters]) == 0
    assert store.dead_letters.put_back(letters) == 0, "the id is in use"
    store.cursors.set("csv:x", "moved")
    store.source_states.failed("csv:x", END, "down")
    store.series_ends.add(ends_of(ids[0], END))
    store.native_histograms.replace(histograms_of(ids[0], "moved"))
    store.source_states.worked("csv:x", ["moved"])
    store.intake.add(END, [intake_count("moved")])
    assert store.cursors.advance("csv:x", "moved", "further")
    store.baselines.publish(
        baselines(mine.series.series_id, 3.0), window_start=T0, window_end=END, model=None
    )
    for lane in DeliveryLane:
        store.deliveries.enqueue("pagerduty", lane)
        store.deliveries.enqueue("slack", lane)
        store.deliveries.failed("slack", lane, ["s1"], "down", END)
        store.deliveries.rejected("slack", lane, ["s1"], "bad", None)
        store.deliveries.retry_given_up()
        store.deliveries.release("slack")
        store.deliveries.delivered("slack", lane, ["s1"], alert_id="s1")
        store.deliveries.skip("slack", lane, ["s1"])
    store.deliveries.set_over("slack", ["s1"], over=True)
    assert store.deliveries.over("slack") == {"s1"}
    store.deliveries.sink_failed("slack", END, "down", END)
    store.deliveries.sink_recovered("slack")
    with store.locks.hold("job"), other.store.locks.hold("job"):
        assert len(store.locks.owners(["job"])) == 1
    assert store.samples.remove(ids[0]) == 0
    store.counters.save(pl.DataFrame([(ids[0], END, 9.0)], schema=SAMPLES, orient="row"))
    store.counters.forget(ids)
    store.metric_types.declare({"latency": "counter"}, "csv:x")
    store.contradictions.add([contradiction("x")], END)
    store.series.propose({ids[0]: 9.0})
    store.limit_changes.add([LimitChange(series=other.series, before=8.0, after=9.0)], END)
    with mine.store.atomically():
        hold_all(store)
        with other.store.atomically():
            hold_all(other.store)
    later = END + timedelta(days=1)
    for pushed in (store.pushed, store.pushed_sizes, store.pushed_replicas):
        pushed.add({1: {"__name__": "latency", "t": "more"}}, pushed_samples(9.0), END)
        pushed.forget(later)
        pushed.forget_series(later, keep=[], keep_since=later)
    assert store.spans.remember([SpanMark(1, True, 2, "x"), SpanMark(9, True, 2, "x")], END) == {(9, True)}
    store.spans.see_operations([("checkout", other.store.tenant)], END)
    store.spans.add([SpanCount(T0, "checkout", other.store.tenant, 7, 1, 1)])
    assert len(store.spans.take(END)) == 2
    store.spans.forget(END + STEP, END + STEP)
    store.service_edges.see([("checkout", "x")], END)
    assert not store.logs.is_repeated(8, END)
    store.logs.add([LogCount(T0, other.store.tenant, "error", "x", 1)], END)
    assert len(store.logs.take(END)) == 2
    store.logs.save_templates([template(mine.store.tenant, "y")])
    store.logs.see_templates([("checkout", "x")], END)
    assert [(one.pattern, one.seen_at) for one in store.logs.templates()] == [("y", END)]
    store.logs.forget(END + STEP, END + STEP, END + STEP)
    assert other.store.logs.is_repeated(7, T0)
    store.features.ensure_columns(["cpu_trend"])
    store.retention.apply(Settings(_env_file=None), T0 + timedelta(days=5000))
    store.archive.forget(date.min, date.max)
    assert _seen(other) == before


def test_a_signal_of_the_other_cannot_be_sent(pair: tuple[Filled, Filled]) -> None:
    mine, other = pair
    other.store.signals.upsert([Signal(**{**_fields(other.signal), "signal_id": "only-b"})])
    with pytest.raises(NotFoundError):
        mine.store.deliveries.skip("slack", DeliveryLane.NEW, ["only-b"])
    with pytest.raises(NotFoundError):
        mine.store.signals.get("only-b")


def _fields(signal: Signal) -> dict[str, Any]:
    return {name: getattr(signal, name) for name in signal.__dataclass_fields__}
