"""The prediction for a series does not depend on the minute of the hour at which it is made."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from core.domain import Role, Series
from core.frames import SAMPLES
from models.breach.bundle import BreachBundle
from models.forecast.bundle import ForecasterBundle
from models.forecast.choice.selection import Plan, select
from models.forecast.entry import Entry
from models.forecast.files import ForecastParts
from models.forecast.history import histories

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
MINUTES = (0, 5, 20, 35, 50, 55)


@pytest.fixture(scope="module")
def samples() -> pl.DataFrame:
    start = TRAINED - timedelta(days=DAYS)
    times = pl.datetime_range(
        start, TRAINED + timedelta(days=1), "5m", closed="left", eager=True, time_zone="UTC"
    )
    hours = (times.dt.epoch("s").to_numpy() - BEGINS.timestamp()) / 3_600
    values = USUAL + PACE * np.maximum(hours, 0.0) + np.random.default_rng(3).normal(0, 0.3, len(times))
    return pl.DataFrame(
        {"series_id": [DISK.series_id] * len(times), "ts": times, "value": values}, schema=dict(SAMPLES)
    )


@pytest.fixture(scope="module")
def bundle(samples: pl.DataFrame) -> BreachBundle:
    past = histories(samples, {DISK.series_id: DISK}, step_s=3_600, end=TRAINED, steps=24 * DAYS)
    history = past[DISK.series_id]
    entry = Entry(series=DISK, history=history, choice=select(history, Plan(origins=6)))
    return BreachBundle(ForecasterBundle(ForecastParts(entries={DISK.series_id: entry})))


@pytest.mark.parametrize("minutes", MINUTES)
def test_growth_and_the_time_left_are_those_of_the_present(
    bundle: BreachBundle, samples: pl.DataFrame, minutes: int
) -> None:
    now = NOW + timedelta(minutes=minutes)
    _, outlook = bundle.outlook(DISK.series_id, samples.filter(pl.col("ts") < now), now)
    assert outlook is not None
    assert outlook.growth.per_hour == pytest.approx(PACE, rel=0.05)
    when = outlook.breach.when
    full_at = BEGINS + timedelta(hours=(LIMIT - USUAL) / PACE)
    assert when is not None
    assert when.p10 > now
    assert abs(when.p50 - full_at) < timedelta(minutes=45)


@pytest.mark.parametrize("minutes", MINUTES[1:])
def test_a_jump_is_no_growth_at_any_minute(bundle: BreachBundle, samples: pl.DataFrame, minutes: int) -> None:
    now = NOW + timedelta(minutes=minutes)
    jumped = samples.with_columns(
        value=pl.when(pl.col("ts") >= NOW - timedelta(hours=2))
        .then(USUAL + 25.0)
        .otherwise(USUAL + pl.col("value") * 0.001)
    )
    _, outlook = bundle.outlook(DISK.series_id, jumped.filter(pl.col("ts") < now), now)
    assert outlook is not None
    assert outlook.breach.probability < 0.2
