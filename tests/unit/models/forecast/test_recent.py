"""The newest samples of single series as arrays: any number of series, each with its own values and bins."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from core.frames import SAMPLES
from core.moments import microseconds, moment_of
from models.forecast.history import on_grid
from models.forecast.recent import NOTHING, recent_of

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTES = (0, 25, 59, 60, 61, 150, 299)


def samples(series: int) -> pl.DataFrame:
    """Values of so many series at the same times, the series one after the other."""
    rows = [
        (key, START + timedelta(minutes=minute, microseconds=key), float(10 * key + minute))
        for key in range(series)
        for minute in MINUTES
    ]
    return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row")


@pytest.mark.parametrize("series", [0, 1, 3])
def test_each_series_has_its_own_samples(series: int) -> None:
    frame = samples(series)
    found = recent_of(frame)
    assert list(found) == list(range(series))
    for key, one in found.items():
        mine = frame.filter(pl.col("series_id") == key)
        assert [moment_of(at) for at in one.times_us.tolist()] == mine["ts"].to_list()
        assert one.values.tolist() == mine["value"].to_list()


def test_samples_of_several_series_may_be_mixed() -> None:
    mixed = recent_of(samples(3).sort("ts"))
    for key, one in recent_of(samples(3)).items():
        assert mixed[key].times_us.tolist() == one.times_us.tolist()
        assert mixed[key].values.tolist() == one.values.tolist()


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_the_means_of_bins_are_those_of_the_grid(steps: int) -> None:
    frame = samples(2)
    grid = on_grid(frame, step_s=3_600, end=START + timedelta(hours=steps), steps=steps)
    for key, one in recent_of(frame).items():
        np.testing.assert_array_equal(one.means(start=START, step_s=3_600, steps=steps), grid[key])


def test_a_series_without_samples_has_no_values() -> None:
    assert np.isnan(NOTHING.means(start=START, step_s=3_600, steps=2)).all()
    assert NOTHING.before(START).values.size == 0


def test_only_known_values_before_a_moment_count() -> None:
    frame = samples(1).with_columns(value=pl.when(pl.col("value") == 25).then(None).otherwise("value"))
    found = recent_of(frame)[0].before(START + timedelta(minutes=60))
    assert found.values.tolist() == [0.0, 59.0]
    assert found.times_us[0] == microseconds(START)
