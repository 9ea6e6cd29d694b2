"""Forecasts and features on a real server: the newest answer, and the disk does not fill."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from fakes.rows import STEP, T0, make_series

from core.domain import ModelRef, Series
from core.errors import InputError
from core.frames import TIME
from core.settings import Settings
from pipelines.stores.session import Pool
from pipelines.stores.store import Store

MODEL = ModelRef(name="detector", version=3, run_id="r1")


def forecast(series: Series, yhat: float) -> pl.DataFrame:
    return pl.DataFrame({"series_id": [series.series_id] * 2, "ts": [T0, T0 + STEP]}).with_columns(
        pl.col("ts").cast(TIME),
        yhat=pl.lit(yhat),
        lo_80=pl.lit(yhat - 1),
        hi_80=pl.lit(yhat + 1),
        lo_95=pl.lit(None, pl.Float64),
        hi_95=pl.lit(None, pl.Float64),
    )


def test_the_newest_forecast_answers(store: Store, pool: Pool) -> None:
    one, two = make_series(store, "a"), make_series(store, "b")
    assert store.forecasts.latest(one.series_id) is None
    both = pl.concat([forecast(one, 1.0), forecast(two, 1.0)])
    assert store.forecasts.publish(both, made_at=T0, model=MODEL) == 2
    store.forecasts.publish(forecast(one, 2.0), made_at=T0 + STEP, model=None)
    store.forecasts.publish(forecast(one, 3.0), made_at=T0 + STEP, model=None)
    store.forecasts.publish(forecast(one, 0.0), made_at=T0 - STEP, model=None)
    latest = store.forecasts.latest(one.series_id)
    assert latest is not None
    assert latest["yhat"].to_list() == [3.0, 3.0]
    everything = store.forecasts.latest_all().sort("series_id", "ts")
    assert everything.height == 4
    store.forecasts.publish(forecast(one, 4.0), made_at=T0 + 2 * STEP, model=None)
    with pool.connection() as connection:
        rows = connection.execute(
            "SELECT count(*) FROM forecasts WHERE tenant = %s", [store.tenant]
        ).fetchone()
    assert rows == (4,), "a cycle every five minutes would fill the disk with forecasts that nobody reads"
    assert set(everything.filter(pl.col("series_id") == two.series_id)["model_version"]) == {3}


def test_a_forecast_that_is_stored_already_is_not_written_again(store: Store, pool: Pool) -> None:
    one, two = make_series(store, "a"), make_series(store, "b")

    def publish(at: datetime, second: float, model: ModelRef = MODEL) -> dict[int, tuple[datetime, float]]:
        both = pl.concat([forecast(two, second), forecast(one, 1.0)])
        assert store.forecasts.publish(both, made_at=at, model=model) == 2
        rows = store.forecasts.latest_all().group_by("series_id").agg(pl.col("made_at", "yhat").last()).rows()
        return {key: (made_at, yhat) for key, made_at, yhat in rows}

    def writes() -> list[tuple[object, ...]]:
        with pool.connection() as connection:
            return connection.execute(
                "SELECT xmin::text, series_id, ts FROM forecasts ORDER BY 2, 3"
            ).fetchall()

    publish(T0, 1.0)
    before = writes()
    stored = publish(T0 + STEP, 1.0)
    assert stored == {one.series_id: (T0, 1.0), two.series_id: (T0, 1.0)}, (
        "the time is when it was first made"
    )
    assert writes() == before
    assert publish(T0 + 2 * STEP, 2.0) == {one.series_id: (T0, 1.0), two.series_id: (T0 + 2 * STEP, 2.0)}
    newer = replace(MODEL, version=4)
    assert publish(T0 + 3 * STEP, 2.0, newer) == {
        one.series_id: (T0 + 3 * STEP, 1.0),
        two.series_id: (T0 + 3 * STEP, 2.0),
    }, "each names the model that makes it now"
    with pool.connection() as connection:
        connection.execute("TRUNCATE forecasts")
    assert publish(T0 + 4 * STEP, 2.0, newer)[one.series_id] == (T0 + 4 * STEP, 1.0), (
        "what is gone comes back"
    )


def test_the_newest_features_are_found_without_reading_all(store: Store, pool: Pool) -> None:
    """A watch cycle asks both questions, and after some weeks the table has gigabytes."""
    ts = [T0 + hour * timedelta(hours=1) for hour in range(200)]
    ids = [f"{store.tenant}/service-{number:02}" for number in range(20)]
    frame = pl.DataFrame({"service_id": ids}).join(pl.DataFrame({"ts": ts}), how="cross")
    store.features.write(frame.with_columns(pl.col("ts").cast(TIME), cpu_trend=pl.lit(1.0)))
    assert store.features.newest() == ts[-1]
    assert store.features.services(ts[-1], ts[-1]) == ids
    with pool.connection() as connection:
        connection.execute("ANALYZE service_features")
        for question in ("max(ts) FROM service_features WHERE tenant = %(tenant)s",
                         "DISTINCT service_id FROM service_features WHERE tenant = %(tenant)s"
                         " AND ts BETWEEN %(at)s AND %(at)s"):  # fmt: skip
            rows = connection.execute(
                f"EXPLAIN (ANALYZE, FORMAT JSON) SELECT {question}", {"tenant": store.tenant, "at": ts[-1]}
            ).fetchall()
            assert "Seq Scan" not in str(rows), rows


def test_features_between_the_half_hours_are_deleted_after_a_day(store: Store) -> None:
    newest = datetime(2026, 3, 10, 9, 5, tzinfo=UTC)
    kept = [
        newest,
        newest - timedelta(minutes=35),
        newest - timedelta(days=1),
        newest - timedelta(days=2, minutes=5),
    ]
    deleted = [newest - timedelta(days=2), newest - timedelta(days=91, minutes=5)]
    rows = pl.DataFrame({"ts": kept + deleted}).with_columns(
        pl.col("ts").cast(TIME), service_id=pl.lit(f"{store.tenant}/checkout"), cpu_trend=pl.lit(1.0)
    )
    store.features.write(rows)
    gone = store.retention.apply(Settings(_env_file=None), newest)
    assert gone == {"service_features": 2}
    found = store.features.read(newest - timedelta(days=100), newest + STEP)["ts"].to_list()
    assert sorted(found) == sorted(kept)


def test_features_are_replaced_by_service_and_time_and_keep_the_others(store: Store) -> None:
    key = {"service_id": [f"{store.tenant}/checkout"], "ts": [T0]}
    keys = pl.DataFrame(key).with_columns(pl.col("ts").cast(TIME))
    assert store.features.write(keys.with_columns(cpu_trend=pl.lit(1.0))) == 1
    assert store.features.write(keys.with_columns(cpu_trend=pl.lit(2.0), p99_s=pl.lit(3.0))) == 1
    read = store.features.read(T0, T0 + STEP)
    assert read.select("cpu_trend", "p99_s").rows() == [(2.0, 3.0)]
    assert store.features.read(T0 + STEP, T0 + 2 * STEP).is_empty()
    two = pl.concat([keys, keys.with_columns(service_id=pl.lit(f"{store.tenant}/größer"))])
    values = {"cpu_trend": pl.Series([None, 4.0]), "p99_s": pl.Series([5.0, None])}
    assert store.features.write(two.with_columns(**values)) == 2
    assert store.features.read(T0, T0 + STEP).select("cpu_trend", "p99_s").rows() == [
        (None, 5.0),
        (4.0, None),
    ]
    with pytest.raises(InputError, match="must start with"):
        store.features.write(keys.with_columns(service_id=pl.lit("another/checkout"), cpu_trend=pl.lit(1.0)))
    with pytest.raises(InputError, match="name of a feature"):
        store.features.ensure_columns(['x"; DROP TABLE samples; --'])
