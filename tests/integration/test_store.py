"""Every repository on a real server: what goes in comes back, and again changes nothing."""

from datetime import timedelta
from typing import Any

import polars as pl
import psycopg
import pytest
from fakes.rows import STEP, T0, make_series, samples_of

from core.diagnosis import (
    Diagnosis,
    DiagnosisRecord,
    Feedback,
    FeedbackValue,
    IncidentState,
    PolicyDecision,
    Transition,
)
from core.domain import (
    Band,
    Direction,
    Event,
    EventKind,
    FailureRisk,
    FilterResult,
    Incident,
    ModelRef,
    Role,
    SeriesKind,
    Severity,
    Signal,
    SignalKind,
)
from core.errors import InputError, NotFoundError, UnknownSeriesError
from pipelines.stores.baselines import BASELINE_ROWS
from pipelines.stores.keys import KeyRing
from pipelines.stores.session import Pool
from pipelines.stores.store import Store

MODEL = ModelRef(name="detector", version=3, run_id="r1")


def make_signal(store: Store, signal_id: str = "s1", **rest: Any) -> Signal:
    fields: dict[str, Any] = {
        "signal_id": signal_id,
        "tenant": store.tenant,
        "kind": SignalKind.ANOMALY,
        "service": "checkout",
        "started_at": T0,
        "summary": "checkout is slow",
        "severity": Severity.WARNING,
    }
    return Signal(**fields | rest)


def test_a_series_comes_back_as_it_was_and_takes_over_new_metadata(store: Store) -> None:
    disk = make_series(
        store,
        "disk_used_bytes",
        labels={"mount": "/data"},
        unit="bytes",
        kind=SeriesKind.GAUGE,
        role=Role.CAPACITY,
        limit=1e12,
    )
    make_series(store, "latency_seconds", role=Role.LATENCY)
    assert store.series.get(disk.series_id) == disk
    assert store.series.find(role=Role.CAPACITY) == [disk]
    assert store.series.find()[0] is store.series.get(disk.series_id), "what has not changed is not made anew"
    assert [series.metric for series in store.series.find(service="checkout")] == [
        "disk_used_bytes",
        "latency_seconds",
    ]
    bigger = make_series(store, "disk_used_bytes", labels={"mount": "/data"}, limit=2e12)
    assert store.series.get(disk.series_id).limit == bigger.limit == 2e12
    make_series(store, "disk_used_bytes", labels={"mount": "/data"})
    assert store.series.get(disk.series_id).limit == 2e12, "who knows no limit takes none away"


def test_a_declared_direction_is_stored_and_stays_until_another_one_is_declared(store: Store) -> None:
    one = make_series(store, "coolant", direction=Direction.DOWN_IS_BAD)
    make_series(store, "coolant")
    assert store.series.get(one.series_id).direction is Direction.DOWN_IS_BAD
    make_series(store, "coolant", direction=Direction.BOTH)
    assert store.series.find(metric="coolant")[0].direction is Direction.BOTH


def test_an_unknown_series_is_named(store: Store) -> None:
    with pytest.raises(UnknownSeriesError, match="12345"):
        store.series.get(12345)


def test_events_that_touch_a_span_are_found(store: Store) -> None:
    hour = timedelta(hours=1)
    deploy = Event(tenant=store.tenant, service="checkout", kind=EventKind.DEPLOY, at=T0, version="1.2")
    window = Event(
        tenant=store.tenant, service="*", kind=EventKind.MAINTENANCE, at=T0 - hour, until=T0 + hour
    )
    assert store.events.add([deploy, window, deploy]) == 2
    assert store.events.add([deploy]) == 0
    assert store.events.between(T0, T0 + hour) == [window, deploy]
    assert store.events.between(T0 + STEP, T0 + hour, "checkout") == [window]
    assert store.events.between(T0 + hour, T0 + 2 * hour) == []
    assert store.events.between(T0, T0 + hour, "cart") == [window]


def test_an_incident_told_again_takes_over_its_end_and_its_severity(store: Store) -> None:
    hour = timedelta(hours=1)
    going_on = Incident(
        tenant=store.tenant, service="checkout", type="disk_full", severity=Severity.WARNING, start=T0
    )
    assert store.incidents.add([going_on]) == 1
    assert store.incidents.between(T0 + 5 * hour, T0 + 6 * hour) == [going_on]
    over = Incident(
        tenant=store.tenant,
        service="checkout",
        type="disk_full",
        severity=Severity.CRITICAL,
        start=T0,
        end=T0 + hour,
    )
    assert store.incidents.add([over]) == 0
    assert store.incidents.between(T0, T0 + hour, "checkout") == [over]
    assert store.incidents.between(T0 + hour, T0 + 2 * hour) == []


def test_a_dead_letter_is_kept_once(store: Store) -> None:
    rows = pl.DataFrame({"row": ["a\0b", "a\0b", "c"], "reason": ["bad", "bad", "bad"]})
    assert store.dead_letters.add("csv:x", rows) == 2
    assert store.dead_letters.add("csv:x", rows) == 0
    assert store.dead_letters.count() == 2
    assert {letter.row for letter in store.dead_letters.list()} == {"a\\u0000b", "c"}
    assert len(store.dead_letters.list(limit=1)) == 1


def test_a_cursor_is_null_then_the_last_one_set(store: Store) -> None:
    assert store.cursors.get("csv:x") is None
    store.cursors.set("csv:x", "1")
    store.cursors.set("csv:x", "2")
    assert store.cursors.get("csv:x") == "2"


def test_what_fails_inside_atomically_leaves_nothing(store: Store) -> None:
    series = make_series(store)

    def fail_midway() -> None:
        with store.atomically():
            store.samples.write(samples_of(series, [1.0]))
            store.cursors.set("csv:x", "1")
            with store.atomically():
                store.dead_letters.add("csv:x", pl.DataFrame({"row": ["a"], "reason": ["b"]}))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_midway()
    assert store.samples.span() is None
    assert store.cursors.get("csv:x") is None
    assert store.dead_letters.count() == 0


def baseline_rows(series_id: int) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "series_id": series_id,
                "n": 100,
                "mean": 1.5,
                "std": None,
                "percentiles": [1.0, 2.0, 3.0],
                "seasonality": "daily",
                "change_points": [T0, T0 + STEP],
                "profile": [1.0, None, 3.0],
                "slot_s": 300,
                "lower": [0.0, None, 1.0],
                "upper": [2.0, None, 5.0],
                "note": "",
            },
            {
                "series_id": series_id + 1,
                "n": 0,
                "mean": None,
                "std": None,
                "percentiles": [],
                "seasonality": "none",
                "change_points": [],
                "profile": [],
                "slot_s": 300,
                "lower": [],
                "upper": [],
                "note": "too little history",
            },
        ],
        schema=BASELINE_ROWS,
    )


def test_the_newest_baselines_answer_and_fourteen_versions_are_kept(store: Store, pool: Pool) -> None:
    assert store.baselines.current() is None
    rows = baseline_rows(7)
    for expected in range(1, 17):
        span = {"window_start": T0 - timedelta(days=30), "window_end": T0 + expected * STEP}
        assert store.baselines.publish(rows, model=MODEL, **span) == expected
    assert store.baselines.extent() == (16, T0 + 16 * STEP, 2)
    current = store.baselines.current()
    assert current is not None
    assert current[0] == 16
    assert current[1].equals(rows)
    assert current[1].schema == pl.Schema(BASELINE_ROWS)
    with pool.connection() as connection:
        query = "SELECT count(DISTINCT version) FROM baseline_rows WHERE tenant = %s"
        assert connection.execute(query, [store.tenant]).fetchone() == (14,)


def test_the_same_baselines_published_again_are_the_same_version(store: Store) -> None:
    span = {"window_start": T0 - timedelta(days=30), "window_end": T0}
    rows = baseline_rows(7)
    assert [store.baselines.publish(rows, model=None, **span) for _ in range(3)] == [1, 1, 1]
    changed = rows.with_columns(mean=pl.col("mean") + 1)
    assert store.baselines.publish(changed, model=None, **span) == 2
    assert store.baselines.publish(changed.head(1), model=None, **span) == 3
    assert store.baselines.publish(changed, model=None, **span) == 4


def test_baselines_without_a_row_are_a_version_too(store: Store) -> None:
    rows = pl.DataFrame(schema=BASELINE_ROWS)
    assert store.baselines.publish(rows, window_start=T0, window_end=T0, model=None) == 1
    current = store.baselines.current()
    assert current is not None
    assert current[1].schema == pl.Schema(BASELINE_ROWS)
    assert current[1].is_empty()


def test_a_signal_comes_back_as_it_was_and_only_a_change_counts_as_one(store: Store) -> None:
    signal = make_signal(
        store,
        band=Band(expected=1.0, lower=0.5, upper=2.0),
        filters=(FilterResult(name="baseline", passed=True, reason="30 days"),),
        risk=FailureRisk(probability_by_horizon_s={3600: 0.1, 7200: 0.4}, when=None, likely_type="disk"),
        model=MODEL,
        labels={"mount": "/"},
    )
    assert store.signals.upsert([signal]) == (1, 0)
    assert store.signals.upsert([signal]) == (0, 0)
    assert store.signals.get("s1") == signal
    ended = make_signal(store, ended_at=T0 + STEP)
    assert store.signals.upsert([ended, make_signal(store, "s2")]) == (1, 1)
    assert store.signals.get("s1") == ended
    with pytest.raises(NotFoundError, match="nope"):
        store.signals.get("nope")


def test_signals_are_found_by_kind_service_time_and_gate(store: Store) -> None:
    hour = timedelta(hours=1)
    stopped = (FilterResult(name="baseline", passed=False, reason="1 day"),)
    store.signals.upsert(
        [
            make_signal(store, "old", started_at=T0 - 5 * hour, ended_at=T0 - 4 * hour),
            make_signal(store, "lasting", started_at=T0 - 5 * hour, ended_at=T0 + hour),
            make_signal(store, "new", started_at=T0 + hour, kind=SignalKind.BREACH),
            make_signal(store, "stopped", service="cart", filters=stopped),
        ]
    )

    def ids(found: list[Signal]) -> list[str]:
        return [signal.signal_id for signal in found]

    find = store.signals.find
    assert ids(find()) == ["new", "stopped", "lasting", "old"]
    assert ids(find(since=T0)) == ["new", "stopped", "lasting"]
    assert ids(find(suppressed=True)) == ["stopped"]
    assert ids(find(suppressed=False, kind=SignalKind.ANOMALY, limit=1)) == ["lasting"]
    assert ids(find(service="cart")) == ["stopped"]


def test_feedback_and_verdicts_are_kept_once(store: Store) -> None:
    said = Feedback(
        tenant=store.tenant, subject_id="s1", value=FeedbackValue.FALSE_POSITIVE, at=T0, by="ann", note=""
    )
    later = Feedback(
        tenant=store.tenant,
        subject_id="s1",
        value=FeedbackValue.TRUE_POSITIVE,
        at=T0 + STEP,
        by="ann",
        note="",
    )
    assert store.feedback.add([later, said]) == 2
    assert store.feedback.add([said]) == 0
    assert store.feedback.list() == [said, later]
    assert store.feedback.list(["s2"]) == []
    diagnosis = Diagnosis(decision=PolicyDecision.ASK, reason="evidence conflicts", ranked=(), shown=())
    record = DiagnosisRecord(
        tenant=store.tenant,
        incident_id="c1",
        service="checkout",
        made_at=T0,
        signal_ids=("s1",),
        diagnosis=diagnosis,
    )
    assert store.diagnoses.add([record]) == 1
    assert store.diagnoses.add([record]) == 0
    assert store.diagnoses.list(incident_id="c1") == [record]
    assert store.diagnoses.list(since=T0 + STEP) == []


def test_of_an_incident_the_newest_diagnosis_of_each_set_of_signals_is_read(store: Store) -> None:
    def add(incident: str, minutes: int, *signals: str) -> DiagnosisRecord:
        record = DiagnosisRecord(
            tenant=store.tenant,
            incident_id=incident,
            service="checkout",
            made_at=T0 + timedelta(minutes=minutes),
            signal_ids=signals,
            diagnosis=Diagnosis(
                decision=PolicyDecision.ASK, reason=f"after {minutes} min", ranked=(), shown=()
            ),
        )
        store.diagnoses.add([record])
        return record

    add("c1", 0, "s1")
    one = add("c1", 5, "s1")
    two = add("c1", 10, "s1", "s2")
    later = add("c1", 15, "s3")
    add("c2", 20, "s4")
    assert store.diagnoses.of_signals({"s1"}, until=T0 + timedelta(hours=1)) == [later, two, one]
    assert store.diagnoses.of_signals({"s2", "s9"}, until=T0 + timedelta(minutes=10)) == [two, one]
    assert store.diagnoses.of_signals({"s9"}, until=T0 + timedelta(hours=1)) == []
    assert store.diagnoses.causes([one.diagnosis_id, "unknown"]) == {}


def test_the_log_of_transitions_cannot_be_rewritten(store: Store, pool: Pool) -> None:
    step = Transition(
        tenant=store.tenant, incident_id="c1", before=None, after=IncidentState.DETECTED, at=T0, by="forewarn"
    )
    store.transitions.append(step)
    assert store.transitions.list("c1") == [step]
    assert store.transitions.states(["c1", "c2"]) == {"c1": IncidentState.DETECTED}
    for statement in ("UPDATE transitions SET by = 'x'", "DELETE FROM transitions", "TRUNCATE transitions"):
        with (
            pytest.raises(psycopg.errors.RaiseException, match="append-only"),
            pool.connection() as connection,
        ):
            connection.execute(statement)
    assert store.transitions.list() == [step]


def test_a_key_opens_its_tenant_until_it_is_revoked(pool: Pool) -> None:
    ring = KeyRing(pool)
    key = ring.create("acme", "grafana")
    assert key.startswith("fw_")
    assert ring.resolve(key) == "acme"
    assert ring.resolve(key[:-1] + ("0" if key[-1] != "0" else "1")) is None
    assert ring.resolve("fw_nonsense") is None
    (kept,) = ring.list("acme")
    assert (kept.note, kept.revoked_at) == ("grafana", None)
    assert key not in repr(kept)
    with pytest.raises(NotFoundError):
        ring.revoke(kept.key_id, "other")
    ring.revoke(kept.key_id, "acme")
    assert ring.resolve(key) is None
    assert ring.list("acme")[0].revoked_at is not None


@pytest.mark.parametrize("name", ["", "a/b", "a b", "x" * 65])
def test_a_tenant_whose_name_could_hold_another_is_refused(pool: Pool, name: str) -> None:
    with pytest.raises(InputError, match="tenant"):
        Store(pool, name)
