"""Samples, their rollups and their retention on a real server."""

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from time import sleep

import numpy as np
import polars as pl
import psycopg
import pytest
from any_float import AWKWARD
from fakes.rows import STEP, T0, make_series, samples_of

from core.domain import Series
from core.errors import InputError, InvalidFrameError, UnknownSeriesError
from core.frames import SAMPLES, TIME
from core.settings import Settings
from pipelines.stores import samples
from pipelines.stores.session import Connection
from pipelines.stores.store import Store

WAITING = "SELECT count(*) FROM pg_locks WHERE relation = 'samples'::regclass AND NOT granted"


def test_samples_come_back_sorted_and_half_open(store: Store) -> None:
    one, two = make_series(store, "a"), make_series(store, "b")
    written = pl.concat([samples_of(two, [4.0, 5.0, 6.0]), samples_of(one, [1.0, 2.0, 3.0])]).reverse()
    assert store.samples.write(written).inserted == 6
    read = store.samples.read(T0, T0 + 2 * STEP)
    assert read.equals(written.filter(pl.col("ts") < T0 + 2 * STEP).sort("series_id", "ts"))
    assert read.schema == pl.Schema(SAMPLES)
    only = store.samples.read(T0, T0 + timedelta(days=1), [two.series_id])
    assert only["value"].to_list() == [4.0, 5.0, 6.0]
    assert store.samples.read(T0, T0 + STEP, []).is_empty()
    assert store.samples.span() == (T0, T0 + 2 * STEP)
    newest = {row["series_id"]: row["value"] for row in store.samples.latest().to_dicts()}
    assert newest == {one.series_id: 3.0, two.series_id: 6.0}


def test_every_float_comes_back_to_the_last_bit(store: Store) -> None:
    written = samples_of(make_series(store), list(AWKWARD))
    store.samples.write(written)
    read = store.samples.read(T0, T0 + timedelta(days=1))["value"].to_numpy()
    assert read.tobytes() == np.array(AWKWARD).tobytes()


def test_a_store_without_samples_says_so(store: Store) -> None:
    make_series(store)
    assert store.samples.span() is None
    assert store.samples.latest().is_empty()
    assert store.samples.read(T0, T0 + STEP).schema == pl.Schema(SAMPLES)


def test_the_same_samples_again_change_nothing(store: Store) -> None:
    rows = samples_of(make_series(store), [1.0, 2.0, 3.0])
    store.samples.write(rows)
    again = store.samples.write(rows)
    assert (again.inserted, again.duplicates, again.conflicts.height) == (0, 3, 0)


def test_the_first_value_of_a_time_wins_and_the_other_is_told(store: Store) -> None:
    series = make_series(store)
    store.samples.write(samples_of(series, [1.0, 2.0, 3.0]))
    result = store.samples.write(samples_of(series, [1.0, 20.0, 3.0, 4.0]))
    assert (result.inserted, result.duplicates) == (1, 2)
    assert result.conflicts.to_dicts() == [
        {"series_id": series.series_id, "ts": T0 + STEP, "value": 20.0, "stored": 2.0}
    ]
    assert store.samples.read(T0, T0 + timedelta(hours=1))["value"].to_list() == [1.0, 2.0, 3.0, 4.0]


def test_a_frame_that_contradicts_itself_keeps_its_first_value(store: Store) -> None:
    series = make_series(store)
    rows = pl.concat([samples_of(series, [1.0]), samples_of(series, [1.0]), samples_of(series, [9.0])])
    result = store.samples.write(rows)
    assert (result.inserted, result.duplicates) == (1, 1)
    assert result.conflicts["value"].to_list() == [9.0]
    assert result.conflicts["stored"].to_list() == [1.0]


def test_late_samples_fill_a_gap_between_stored_ones(store: Store) -> None:
    series = make_series(store)
    whole = samples_of(series, [float(n) for n in range(10)])
    store.samples.write(whole.gather_every(2))
    assert store.samples.write(whole).inserted == 5
    assert store.samples.read(T0, T0 + timedelta(hours=1)).equals(whole)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None])
def test_samples_without_a_finite_value_are_refused_whole(store: Store, bad: float | None) -> None:
    rows = pl.concat(
        [samples_of(make_series(store), [1.0]), samples_of(make_series(store), [1.0], T0 + STEP)]
    )
    rows = rows.with_columns(value=pl.Series([1.0, bad]))
    with pytest.raises(InputError, match="finite"):
        store.samples.write(rows)
    assert store.samples.span() is None


def test_samples_of_an_unregistered_series_are_refused(store: Store) -> None:
    stranger = Series(tenant=store.tenant, service="x", metric="never registered")
    with pytest.raises(UnknownSeriesError):
        store.samples.write(samples_of(stranger, [1.0]))


def test_a_frame_of_another_shape_is_refused(store: Store) -> None:
    with pytest.raises(InvalidFrameError, match="value"):
        store.samples.write(pl.DataFrame(schema={"series_id": pl.Int64, "ts": TIME}))


def test_rollups_sum_up_and_a_second_refresh_brings_them_up_to_date(store: Store) -> None:
    series = make_series(store)
    store.samples.write(samples_of(series, [float(n) for n in range(24)]))
    store.rollups.refresh(T0, T0 + timedelta(hours=2))
    hours = store.rollups.read("1h", T0, T0 + timedelta(days=1), [series.series_id])
    assert hours.drop("series_id").rows() == [
        (T0, 12, 5.5, 0.0, 11.0),
        (T0 + timedelta(hours=1), 12, 17.5, 12.0, 23.0),
    ]
    assert store.rollups.read("5m", T0, T0 + STEP)["mean"].to_list() == [0.0]
    store.samples.write(samples_of(series, [100.0], T0 + timedelta(minutes=2)))
    store.rollups.refresh(T0, T0 + STEP)
    assert store.rollups.read("1h", T0, T0 + STEP)["max"].to_list() == [100.0]
    assert store.rollups.read("5m", T0, T0 + STEP)["n"].to_list() == [2]


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([1.7e308, 1.7e308, -1.7e308], 1.7e308 / 3),
        ([1e200, -1e200, 3.0], 1.0),
        ([sys.float_info.max] * 7, sys.float_info.max),
        ([5e-324, 5e-324], 5e-324),
        ([1e300, 1e-300, 0.0, 5e-324], 1e300 / 4),
        ([0.1, 0.2, 0.4], (0.1 + 0.2 + 0.4) / 3),
        (list(AWKWARD[-11:]), 1e300 / 11),
        ([1e139, 1e139], 1e139),
    ],
)
def test_any_values_have_a_rollup(store: Store, values: list[float], mean: float) -> None:
    one = make_series(store)
    store.samples.write(samples_of(one, values))
    store.rollups.refresh(T0, T0 + timedelta(hours=1))
    hour = store.rollups.read("1h", T0, T0 + timedelta(hours=1), [one.series_id])
    assert hour["n"].to_list() == [len(values)]
    rounding = 1e-15 * max(abs(value) for value in values)
    assert hour["mean"].to_list() == [pytest.approx(mean, rel=1e-15, abs=rounding)]
    assert (hour["min"].item(), hour["max"].item()) == (min(values), max(values))


def test_retention_deletes_by_age_and_leaves_rollups(store: Store) -> None:
    series = make_series(store)
    now = T0 + timedelta(days=60)
    store.samples.write(samples_of(series, [1.0] * 12, T0))
    store.samples.write(samples_of(series, [2.0], now))
    settings = Settings(_env_file=None)
    gone = store.retention.apply(settings, now)
    if "samples" in gone:  # TimescaleDB drops whole chunks by itself
        assert gone == {"samples": 12}
        assert store.samples.span() == (now, now)
    assert store.rollups.read("1h", T0, now)["n"].to_list() == [12]
    assert store.retention.apply(settings, now) == {}


def test_a_history_of_weeks_with_gaps_is_summarised_and_deleted(store: Store) -> None:
    """Each day has its own statement: none is left out, and each bucket is whole."""
    series, now = make_series(store), T0 + timedelta(days=100)
    starts = [T0 + timedelta(hours=hours) for hours in (0, 23, 24, 47, 300, 1000)]
    for start in starts:
        store.samples.write(samples_of(series, [float(n) for n in range(24)], start))
    store.samples.write(samples_of(series, [2.0], now))
    gone = store.retention.apply(Settings(_env_file=None), now)
    written = 24 * 6 - 12  # the second and the third overlap by an hour
    if "samples" in gone:
        assert gone["samples"] == written
    hours = store.rollups.read("1h", T0, now)
    assert hours["n"].to_list() == [12] * (written // 12)
    assert store.rollups.read("5m", T0, now).height == written
    assert store.retention.apply(Settings(_env_file=None), now) == {}


def test_a_late_sample_does_not_replace_the_rollup_of_deleted_ones(store: Store) -> None:
    series = make_series(store)
    now = T0 + timedelta(days=60)
    store.samples.write(samples_of(series, [1.0] * 12, T0))
    store.samples.write(samples_of(series, [2.0], now))
    store.retention.apply(Settings(_env_file=None), now)
    store.samples.write(samples_of(series, [9.0], T0 + timedelta(minutes=2)))
    store.retention.apply(Settings(_env_file=None), now)
    assert store.rollups.read("1h", T0, now)["n"].item() >= 12


def test_retention_counts_back_from_the_newest_sample_of_an_old_history(store: Store) -> None:
    store.samples.write(samples_of(make_series(store), [1.0] * 12))
    assert store.retention.apply(Settings(_env_file=None), T0 + timedelta(days=5000)) == {}


def test_a_read_that_is_aborted_to_end_a_deadlock_is_read_again(store: Store, dsn: str) -> None:
    series = make_series(store)
    store.samples.write(samples_of(series, [1.0]))
    with psycopg.connect(dsn) as compression, ThreadPoolExecutor(1) as threads:
        compression.execute("SET deadlock_timeout = '1min'")  # so that the reader is the one aborted
        compression.execute("LOCK TABLE samples IN ACCESS EXCLUSIVE MODE")
        reading = threads.submit(store.samples.latest)
        while compression.execute(WAITING).fetchone() == (0,):
            assert not reading.done()
            sleep(0.01)
        compression.execute("LOCK TABLE series IN ACCESS EXCLUSIVE MODE")  # which the reader has locked
        compression.commit()
        assert reading.result()["value"].to_list() == [1.0]


def test_a_deadlock_with_the_compression_of_a_chunk_is_tried_again(
    store: Store, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = make_series(store)
    store.samples.write(samples_of(series, [1.0]))
    copy_unless_taken = samples._copy_unless_taken
    tries = []

    def copy_once_the_compression_waits(connection: Connection, frame: pl.DataFrame) -> bool:
        tries.append(frame.height)
        if len(tries) == 1:
            compressing = threads.submit(upgrade)
            while connection.execute(WAITING).fetchone() == (0,):
                assert not compressing.done()
                sleep(0.01)
        return copy_unless_taken(connection, frame)

    def upgrade() -> None:
        compression.execute("LOCK TABLE samples IN ACCESS EXCLUSIVE MODE")
        compression.commit()

    monkeypatch.setattr(samples, "_copy_unless_taken", copy_once_the_compression_waits)
    with psycopg.connect(dsn) as compression, ThreadPoolExecutor(1) as threads:
        compression.execute("SET deadlock_timeout = '1min'")  # so that the writer is the one undone
        compression.execute("LOCK TABLE samples IN EXCLUSIVE MODE")
        assert store.samples.write(samples_of(series, [2.0, 3.0], T0 + STEP)).inserted == 2
    assert tries == [2, 2]
    assert store.samples.read(T0, T0 + 3 * STEP)["value"].to_list() == [1.0, 2.0, 3.0]
