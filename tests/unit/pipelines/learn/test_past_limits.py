"""History is judged by the limit of its time."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from core.domain import Role, Series
from core.frames import SAMPLES
from models.forecast.history import histories
from models.series.thresholds import known_past_limits, threshold_of, thresholds_over_time, with_limit_of
from pipelines.learn.past_breaches import FleetBreaches

END = datetime(2026, 3, 1, tzinfo=UTC)
COUNT = 12 * 24 * 12
RESIZED = END - timedelta(days=4)
DISK = Series(
    tenant="t", service="db", metric="disk_used_bytes", unit="bytes", role=Role.CAPACITY, limit=200.0
)
FREE = Series(tenant="t", service="db", metric="disk_free_bytes", unit="bytes", role=Role.CAPACITY, limit=0.0)


def test_a_disk_that_was_full_before_it_was_resized_has_breached() -> None:
    ts = [END - timedelta(minutes=5 * back) for back in range(COUNT, 0, -1)]
    values = 40 + np.random.default_rng(1).normal(0, 0.01, COUNT)
    values[1000:1100] += np.clip(np.arange(100), 0, 60)
    samples = pl.DataFrame(
        {"series_id": [DISK.series_id] * COUNT, "ts": ts, "value": values}, schema=dict(SAMPLES)
    )
    history = histories(samples, {DISK.series_id: DISK}, step_s=3_600, end=END, steps=12 * 24)[DISK.series_id]
    fleet = FleetBreaches()
    past = fleet.find(DISK, history, samples, [(RESIZED, 100.0)])
    assert past is not None
    assert len(past.at_s) == 1
    assert [len(one) for one in fleet.breaches[DISK.series_id].as_cause_s] == [1, 1, 1, 1]
    by_the_new_limit = FleetBreaches()
    by_the_new_limit.find(DISK, history, samples)
    assert not by_the_new_limit.breaches


def test_each_moment_has_the_threshold_of_its_limit() -> None:
    past = [(RESIZED - timedelta(days=1), 50.0), (RESIZED, 100.0)]
    seconds = np.array([(RESIZED + timedelta(days=days)).timestamp() for days in (-2, -0.5, 0, 1)])
    found = thresholds_over_time(DISK, past, seconds)
    assert np.asarray(found).tolist() == pytest.approx([49.0, 98.0, 196.0, 196.0])
    limits = [with_limit_of(DISK, past, at_s).limit for at_s in seconds]
    assert limits == [50.0, 100.0, 200.0, 200.0]


def test_a_size_as_limit_of_free_space_is_understood_in_the_past_too() -> None:
    [(_, limit)] = known_past_limits(FREE, [(RESIZED, 100.0)], np.array([30.0, 60.0]))
    assert limit == pytest.approx(2.0)
    assert threshold_of(FREE) == 0.0
