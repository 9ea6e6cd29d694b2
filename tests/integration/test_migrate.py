"""Migrations: once each, in order, all or nothing, and back."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from fakes.rows import T0, make_series, samples_of
from psycopg.types.json import Jsonb
from servers.postgres import down_to, fresh_database

from core.diagnosis import Diagnosis, DiagnosisRecord, FeedbackValue, IncidentState, PolicyDecision
from core.domain import FilterResult
from core.errors import ConfigurationError, UnavailableError
from core.settings import Settings
from pipelines.stores import migrate as migrations
from pipelines.stores.migrate import down, migrate, status
from pipelines.stores.session import open_pool
from pipelines.stores.store import Store
from pipelines.stores.timescale import timescale_usable


@pytest.fixture
def empty(server_dsn: str) -> Iterator[str]:
    with fresh_database(server_dsn) as dsn:
        yield dsn


def tables(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')"
        ).fetchall()
        return {row[0] for row in rows}


def test_a_new_database_gets_every_migration_once(empty: str) -> None:
    assert not any(entry.applied for entry in status(empty))
    applied = migrate(empty)
    assert applied == [entry.name for entry in status(empty)]
    assert all(entry.applied for entry in status(empty))
    assert migrate(empty) == []
    assert {"series", "samples", "rollups_1h", "signals", "api_keys"} <= tables(empty)


def test_all_the_way_down_and_up_again(empty: str) -> None:
    applied = migrate(empty)
    assert down(empty, steps=len(applied)) == applied[::-1]
    assert tables(empty) == {"schema_migrations"}
    assert migrate(empty) == applied


PREVIOUS_RELEASE = "0003_signals"


def test_rows_of_the_previous_release_are_read_after_the_vocabulary_changed(empty: str) -> None:
    migrate_to(empty, PREVIOUS_RELEASE)
    write_rows_of_the_previous_release(empty)
    before = previous_rows(empty)
    assert "0004_vocabulary" in migrate(empty)

    with open_pool(empty) as pool:
        store = Store(pool, "acme")
        suppressed, passed = store.signals.find()
        assert suppressed.suppressed_by == "budget"
        assert suppressed.filters == (
            FilterResult(name="predictable", passed=True, reason="regular"),
            FilterResult(name="budget", passed=False, reason="too many"),
        )
        assert (passed.signal_id, passed.suppressed_by, passed.filters) == ("s1", None, ())
        assert [signal.signal_id for signal in store.signals.find(suppressed=True)] == ["s2"]

        feedback = [(one.subject_id, one.value, one.by, one.note) for one in store.feedback.list()]
        assert feedback == [
            ("s1", FeedbackValue.TRUE_POSITIVE, "ann", "it was real"),
            ("s2", FeedbackValue.FALSE_POSITIVE, "unknown", ""),
            ("hypothesis", FeedbackValue.ACCEPTED, "ann", ""),
            ("hypothesis", FeedbackValue.REJECTED, "bob", ""),
        ]
        # the same id belongs to another tenant's hypothesis, which is no signal of that tenant
        assert [one.value for one in Store(pool, "other").feedback.list()] == [FeedbackValue.ACCEPTED]

        (record,) = store.diagnoses.list(incident_id="c1")
        assert record == DIAGNOSED
        assert [(one.incident_id, one.before, one.after) for one in store.transitions.list("c1")] == [
            ("c1", None, IncidentState.DETECTED),
            ("c1", IncidentState.DETECTED, IncidentState.ACKNOWLEDGED),
        ]

    down_to(empty, PREVIOUS_RELEASE)
    assert previous_rows(empty) == before


def migrate_to(dsn: str, name: str) -> None:
    """A database as a release had it whose last plain migration was `name`."""
    migrate(dsn)
    down_to(dsn, name)


NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DIAGNOSED = DiagnosisRecord(
    tenant="acme",
    incident_id="c1",
    service="checkout",
    made_at=NOON,
    signal_ids=("s1",),
    diagnosis=Diagnosis(decision=PolicyDecision.INCONCLUSIVE, reason="no evidence", ranked=(), shown=()),
)


def write_rows_of_the_previous_release(dsn: str) -> None:
    signal = {
        "tenant": "acme",
        "kind": "anomaly",
        "service": "checkout",
        "started_at": NOON.isoformat(),
        "summary": "checkout is slow",
        "severity": "warning",
    }
    gates = [
        {"gate": "predictable", "passed": True, "reason": "regular"},
        {"gate": "budget", "passed": False, "reason": "too many"},
    ]
    later = NOON + timedelta(minutes=1)
    judgement = {"decision": "inconclusive", "reason": "no evidence", "ranked": [], "shown": []}
    verdict = {
        "tenant": "acme",
        "case_id": "c1",
        "service": "checkout",
        "made_at": NOON.isoformat(),
        "signal_ids": ["s1"],
        "judgement": judgement,
    }
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO signals (tenant, signal_id, kind, service, started_at, stopped_by, body)"
            " VALUES ('acme', %s, 'anomaly', 'checkout', %s, %s, %s)",
            [
                ("s1", NOON, None, Jsonb({**signal, "signal_id": "s1", "gates": []})),
                (
                    "s2",
                    later,
                    "budget",
                    Jsonb({**signal, "signal_id": "s2", "started_at": later.isoformat(), "gates": gates}),
                ),
            ],
        )
        cursor.executemany(
            "INSERT INTO feedback (tenant, subject_id, accepted, at, by, note) VALUES (%s, %s, %s, %s, %s, %s)",
            [
                ("acme", "s1", True, NOON, "ann", "it was real"),
                ("acme", "s2", False, NOON, "", ""),
                ("acme", "hypothesis", True, later, "ann", ""),
                ("acme", "hypothesis", False, later, "bob", ""),
                ("other", "s1", True, NOON, "eve", ""),
            ],
        )
        cursor.execute(
            "INSERT INTO verdicts (tenant, verdict_id, case_id, service, made_at, body)"
            " VALUES ('acme', 'v1', 'c1', 'checkout', %s, %s)",
            [NOON, Jsonb(verdict)],
        )
        cursor.executemany(
            "INSERT INTO transitions (tenant, case_id, before, after, at, by) VALUES ('acme', 'c1', %s, %s, %s, 'ann')",
            [(None, "detected", NOON), ("detected", "acknowledged", later)],
        )


def previous_rows(dsn: str) -> dict[str, list[tuple[object, ...]]]:
    """The rows as the previous release reads them. It wrote no `by` for feedback without a name."""
    queries = {
        "signals": "SELECT tenant, signal_id, stopped_by, body FROM signals ORDER BY signal_id",
        "feedback": "SELECT tenant, subject_id, accepted, at, coalesce(nullif(by, ''), 'unknown'), note"
        " FROM feedback ORDER BY id",
        "verdicts": "SELECT tenant, verdict_id, case_id, service, made_at, body FROM verdicts",
        "transitions": "SELECT tenant, case_id, before, after, at, by FROM transitions ORDER BY id",
    }
    with psycopg.connect(dsn) as connection:
        return {table: connection.execute(query).fetchall() for table, query in queries.items()}


def test_two_at_once_apply_each_migration_once(empty: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(migrate, [empty, empty])
    assert sorted(first + second) == sorted(entry.name for entry in status(empty))


def test_an_edited_migration_is_noticed(empty: str) -> None:
    migrate(empty)
    with psycopg.connect(empty) as connection:
        connection.execute("UPDATE schema_migrations SET checksum = 'other' WHERE name LIKE '0002%'")
    with pytest.raises(ConfigurationError, match="0002_learned was changed"):
        migrate(empty)


def test_a_migration_that_fails_leaves_nothing_of_itself(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(empty)
    broken = migrations._Migration(name="9999_broken", up="CREATE TABLE half (n int); SELECT 1/0", down="")
    wanted = migrations._wanted
    monkeypatch.setattr(migrations, "_wanted", lambda *args, **rest: [*wanted(*args, **rest), broken])
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty)
    assert "half" not in tables(empty)


def test_a_database_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match="does not answer"):
        migrate("postgresql://nobody:secret@127.0.0.1:1/nowhere")


def test_timescale_makes_hypertables_compression_aggregates_and_policies(empty: str) -> None:
    with psycopg.connect(empty) as connection:
        if not timescale_usable(connection):
            pytest.skip("this server has no TimescaleDB")
    migrate(empty, Settings(_env_file=None, retention_raw_days=40, retention_rollup_days=400))
    with psycopg.connect(empty) as connection:

        def column(query: str) -> set[str]:
            return {str(row[0]) for row in connection.execute(query.encode()).fetchall()}

        assert column(
            "SELECT hypertable_name FROM timescaledb_information.hypertables WHERE compression_enabled"
        ) == {"samples"}
        assert {"samples", "service_features"} <= column(
            "SELECT hypertable_name FROM timescaledb_information.hypertables"
        )
        assert column("SELECT view_name FROM timescaledb_information.continuous_aggregates") == {
            "rollups_5m",
            "rollups_1h",
        }
        jobs = connection.execute(
            "SELECT j.proc_name, coalesce(c.view_name, j.hypertable_name),"
            " j.config->>'drop_after', j.config->>'compress_after'"
            " FROM timescaledb_information.jobs j LEFT JOIN timescaledb_information.continuous_aggregates c"
            " ON j.hypertable_name IN (c.materialization_hypertable_name, c.view_name)"
            " WHERE j.proc_name LIKE 'policy%'"
        ).fetchall()
        assert set(jobs) >= {
            ("policy_retention", "samples", "40 days", None),
            ("policy_retention", "rollups_5m", "400 days", None),
            ("policy_retention", "rollups_1h", "400 days", None),
            ("policy_retention", "service_features", "400 days", None),
            ("policy_compression", "samples", None, "01:00:00"),
            ("policy_refresh_continuous_aggregate", "rollups_5m", None, None),
            ("policy_refresh_continuous_aggregate", "rollups_1h", None, None),
        }
    migrate(empty, Settings(_env_file=None, retention_raw_days=50))
    with psycopg.connect(empty) as connection:
        ages = connection.execute(
            "SELECT config->>'drop_after' FROM timescaledb_information.jobs"
            " WHERE proc_name = 'policy_retention' AND hypertable_name = 'samples'"
        ).fetchall()
        assert ages == [("50 days",)]


def test_rollups_survive_the_migration_that_replaces_their_views(empty: str) -> None:
    with psycopg.connect(empty) as connection:
        if not timescale_usable(connection):
            pytest.skip("this server has no TimescaleDB")
    migrate(empty, Settings(_env_file=None, retention_raw_days=4000, retention_rollup_days=400))
    undone = ["timescale/0004_smaller_chunks", "timescale/0003_rollups_of_any_value"]
    assert down(empty, steps=2) == undone
    with open_pool(empty) as pool:
        store = Store(pool, "acme")
        series = make_series(store)
        store.samples.write(samples_of(series, [1.0, 2.0]))
        store.rollups.refresh(T0, T0 + timedelta(hours=1))
        before = store.rollups.read("1h", T0, T0 + timedelta(hours=1))
        with pool.connection() as connection:
            connection.execute("SELECT drop_chunks('samples', newer_than => '2000-01-01'::timestamptz)")
        assert migrate(empty) == undone[::-1]
        assert before["mean"].to_list() == [1.5]
        assert store.rollups.read("1h", T0, T0 + timedelta(hours=1)).equals(before)
        with pool.connection() as connection:
            ages = connection.execute(
                "SELECT count(*) FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention'"
                " AND config->>'drop_after' = '400 days'"
            ).fetchone()
            assert ages == (3,), "of both rollups and of the features"


def test_compressed_samples_are_read_and_written_like_any_other(empty: str) -> None:
    import polars as pl

    from core.domain import Series
    from core.frames import SAMPLES

    with psycopg.connect(empty) as connection:
        if not timescale_usable(connection):
            pytest.skip("this server has no TimescaleDB")
    migrate(empty)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    with open_pool(empty) as pool:
        store = Store(pool, "acme")
        series = Series(tenant="acme", service="a", metric="b")
        store.series.register([series])
        rows = [(series.series_id, start + timedelta(minutes=5 * n), float(n)) for n in range(5000)]
        frame = pl.DataFrame(rows, schema=SAMPLES, orient="row")
        store.samples.write(frame.filter(pl.col("value") != 17.0))
        with pool.connection() as connection:
            connection.execute("SELECT compress_chunk(c) FROM show_chunks('samples') c")
            compressed = connection.execute(
                "SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed"
            ).fetchone()
            assert compressed is not None
            assert compressed[0] >= 2
        again = store.samples.write(frame)
        assert (again.inserted, again.duplicates, again.conflicts.height) == (1, 4999, 0)
        assert store.samples.read(start, start + timedelta(days=365)).equals(frame)
        assert store.samples.latest()["value"].to_list() == [4999.0]


@pytest.mark.parametrize(
    ("problem", "code", "is_tried_again"),
    [
        ("tuple concurrently deleted", "XX000", True),
        ("tuple concurrently updated", "XX000", True),
        ("deadlock detected", "40P01", True),
        ("could not open relation with OID 7", "XX000", False),
    ],
)
def test_a_migration_that_meets_a_job_of_the_database_is_tried_again(
    empty: str, monkeypatch: pytest.MonkeyPatch, problem: str, code: str, is_tried_again: bool
) -> None:
    migrate(empty)
    # A sequence does not go back with the transaction.
    script = (
        "DO $$ BEGIN IF nextval('tries') < 3 THEN"
        f" RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = '{problem}'; END IF; END $$;"
    )
    added = migrations._Migration(name="9999_meets_a_job", up=script, down="SELECT 1;")
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE tries")
        wanted = migrations._wanted(connection)
    monkeypatch.setattr(migrations, "_wanted", lambda *_, **__: [*wanted, added])
    if is_tried_again:
        assert migrate(empty) == [added.name]
    else:
        with pytest.raises(psycopg.errors.InternalError_, match=problem):
            migrate(empty)
