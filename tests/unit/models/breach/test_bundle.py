"""The prediction for a series does not depend on the minute of the hour at which it is made, nor on the bad side."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from fakes.mirror import mirrored_series, with_same_id

from core.domain import Role, Series
from core.frames import SAMPLES
from models.breach.bundle import BreachBundle
from models.breach.fleet import BREACHES, read_fleet
from models.forecast.bundle import ForecasterBundle
from models.forecast.choice.selection import Plan, select
from models.forecast.entry import Entry
from models.forecast.files import META, ForecastParts
from models.forecast.history import histories
from models.forecast.recent import recent_of

TRAINED = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 21
#: When the disk begins to fill, and how much an hour.
BEGINS, PACE = TRAINED + timedelta(hours=2), 3.0
NOW = BEGINS + timedelta(hours=14)
USUAL, LIMIT = 40.0, 98.0
DISK = Series(
    tenant="t",
    service="db",
    metric="disk_used_bytes",
    unit="bytes",
    role=Role.CAPACITY,
    limit=LIMIT / 0.98,
)
FREE = with_same_id(mirrored_series(DISK, 2 * LIMIT))
MINUTES = (0, 5, 20, 35, 50, 55)


def mirrored(series: Series, values: Any) -> Any:
    """The values of a disk, as those of its free space where the series is that."""
    return 2 * LIMIT - values if series is FREE else values


@pytest.fixture(scope="module", params=[DISK, FREE], ids=["high is bad", "low is bad"])
def series(request: pytest.FixtureRequest) -> Series:
    chosen: Series = request.param
    return chosen


@pytest.fixture(scope="module")
def samples(series: Series) -> pl.DataFrame:
    start = TRAINED - timedelta(days=DAYS)
    times = pl.datetime_range(
        start, TRAINED + timedelta(days=1), "5m", closed="left", eager=True, time_zone="UTC"
    )
    hours = (times.dt.epoch("s").to_numpy() - BEGINS.timestamp()) / 3_600
    values = USUAL + PACE * np.maximum(hours, 0.0) + np.random.default_rng(3).normal(0, 0.3, len(times))
    columns = {"series_id": [series.series_id] * len(times), "ts": times, "value": mirrored(series, values)}
    return pl.DataFrame(columns, schema=dict(SAMPLES))


@pytest.fixture(scope="module")
def bundle(series: Series, samples: pl.DataFrame) -> BreachBundle:
    past = histories(samples, {series.series_id: series}, step_s=3_600, end=TRAINED, steps=24 * DAYS)
    history = past[series.series_id]
    entry = Entry(series=series, history=history, choice=select(history, Plan(origins=6)))
    return BreachBundle(ForecasterBundle(ForecastParts(entries={series.series_id: entry})))


def test_the_fleet_is_read_without_the_forecasters(bundle: BreachBundle) -> None:
    files = bundle.to_files()
    assert read_fleet({name: files[name] for name in (META, BREACHES)}) == bundle.fleet
    meta = json.loads(files[META])
    del meta["series_ids"]
    assert read_fleet({META: json.dumps(meta).encode()}) is None, "a bundle of the release before"


@pytest.mark.parametrize("minutes", MINUTES)
def test_growth_and_the_time_left_are_those_of_the_present(
    bundle: BreachBundle, series: Series, samples: pl.DataFrame, minutes: int
) -> None:
    now = NOW + timedelta(minutes=minutes)
    _, outlook = bundle.outlook(series.series_id, recent_of(samples)[series.series_id], now)
    assert outlook is not None
    assert outlook.growth.per_hour == pytest.approx(PACE if series is DISK else -PACE, rel=0.05)
    when = outlook.breach.when
    full_at = BEGINS + timedelta(hours=(LIMIT - USUAL) / PACE)
    assert when is not None
    assert when.p10 > now
    assert abs(when.p50 - full_at) < timedelta(minutes=45)


@pytest.mark.parametrize("minutes", MINUTES[1:])
def test_a_jump_is_no_growth_at_any_minute(
    bundle: BreachBundle, series: Series, samples: pl.DataFrame, minutes: int
) -> None:
    now = NOW + timedelta(minutes=minutes)
    jumped = samples.with_columns(
        value=pl.when(pl.col("ts") >= NOW - timedelta(hours=2))
        .then(mirrored(series, pl.lit(USUAL + 25.0)))
        .otherwise(mirrored(series, USUAL + mirrored(series, pl.col("value")) * 0.001))
    )
    _, outlook = bundle.outlook(series.series_id, recent_of(jumped)[series.series_id], now)
    assert outlook is not None
    assert outlook.breach.probability < 0.2


def test_a_limit_that_is_changed_in_the_store_counts_at_once(
    bundle: BreachBundle, series: Series, samples: pl.DataFrame
) -> None:
    now = NOW + timedelta(minutes=20)
    recent = recent_of(samples)[series.series_id]
    _, before = bundle.outlook(series.series_id, recent, now)
    farther = replace(series, limit=None, slo_threshold=10 * LIMIT if series is DISK else -10 * LIMIT)
    changed = bundle.with_limits([farther, replace(series, service="another")])
    _, after = changed.outlook(series.series_id, recent, now)
    assert before is not None
    assert after is not None
    assert before.breach.probability > 0.5
    assert after.breach.threshold == farther.slo_threshold
    assert after.breach.probability < 0.1
    _, again = changed.with_limits([series]).outlook(series.series_id, recent, now)
    assert again is not None
    assert again.breach == before.breach
