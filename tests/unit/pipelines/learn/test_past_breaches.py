"""Breaches of a training window: gradual ones are found at each impact level, and jumps are left out as causes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from core.arrays import FloatArray
from core.domain import Role, Series, SeriesKind
from core.frames import SAMPLES
from models.forecast.history import histories
from pipelines.learn.past_breaches import FleetBreaches

END = datetime(2026, 3, 1, tzinfo=UTC)
DAYS, PER_HOUR = 12, 12
COUNT = DAYS * 24 * PER_HOUR
FULL_AT = 8 * 24 * PER_HOUR
DISK = Series(
    tenant="t", service="db", metric="disk_used_bytes", unit="bytes", role=Role.CAPACITY, limit=100.0
)
ERRORS = Series(
    tenant="t",
    service="db",
    metric="error_ratio",
    unit="ratio",
    kind=SeriesKind.RATIO,
    role=Role.ERRORS,
    slo_threshold=0.02,
)


def learned(series: Series, values: FloatArray) -> FleetBreaches:
    ts = [END - timedelta(minutes=5 * int(back)) for back in range(COUNT, 0, -1)]
    columns = {"series_id": [series.series_id] * COUNT, "ts": ts, "value": values}
    samples = pl.DataFrame(columns, schema=dict(SAMPLES))
    past = histories(samples, {series.series_id: series}, step_s=3_600, end=END, steps=DAYS * 24)
    fleet = FleetBreaches()
    fleet.find(series, past[series.series_id], samples)
    return fleet


def at(step: int) -> float:
    return (END - timedelta(minutes=5 * (COUNT - step))).timestamp()


def test_a_filling_disk_crosses_its_threshold_and_then_each_level_up_to_its_limit() -> None:
    values = 40 + np.random.default_rng(1).normal(0, 0.01, COUNT)
    climb = np.arange(COUNT) - FULL_AT
    values += np.where((climb > -120) & (climb <= 24), np.clip(60 + climb * 0.5, 0, 60), 0)
    fleet = learned(DISK, values)
    breached = fleet.breaches[DISK.series_id]
    assert breached.as_effect_s.tolist() == breached.as_cause_s[0].tolist()
    assert [len(one) for one in breached.as_cause_s] == [1, 1, 1, 1]
    times = [float(one[0]) for one in breached.as_cause_s]
    assert times == sorted(times)
    # The last 2 % take four steps; three quarters of them are over one step before the end.
    assert at(FULL_AT - 5) <= times[0] < times[-1] <= at(FULL_AT + 1)
    assert fleet.peaks == {}


def test_free_space_crosses_its_threshold_when_used_space_does() -> None:
    values = 40 + np.random.default_rng(1).normal(0, 0.01, COUNT)
    climb = np.arange(COUNT) - FULL_AT
    values += np.where((climb > -120) & (climb <= 24), np.clip(60 + climb * 0.5, 0, 60), 0)
    free = replace(DISK, metric="disk_free_bytes", limit=None, slo_threshold=2.0)
    used = learned(DISK, values).breaches[DISK.series_id]
    found = learned(free, 100.0 - values).breaches[free.series_id]
    assert found.as_effect_s.tolist() == used.as_effect_s.tolist()
    assert found.as_cause_s[0].tolist() == used.as_cause_s[0].tolist()


@pytest.mark.parametrize(("crept", "count"), [(True, 1), (False, 0)])
def test_errors_that_jumped_could_not_be_predicted_and_those_that_crept_could(
    crept: bool, count: int
) -> None:
    values = np.full(COUNT, 0.001)
    values[FULL_AT : FULL_AT + 12] = 0.06
    if crept:
        values[FULL_AT - 36 : FULL_AT] = np.linspace(0.001, 0.019, 36)
    fleet = learned(ERRORS, values)
    breached = fleet.breaches[ERRORS.series_id]
    assert len(breached.as_effect_s) == 1
    assert [len(one) for one in breached.as_cause_s] == [count]
    peaks = fleet.peaks[ERRORS.series_id]
    assert peaks.around(breached.as_effect_s).tolist() == pytest.approx([0.06])
    assert peaks.threshold == pytest.approx(0.02)


def test_a_series_that_never_breached_has_peaks_too() -> None:
    fleet = learned(ERRORS, np.full(COUNT, 0.001))
    assert fleet.breaches == {}
    assert fleet.peaks[ERRORS.series_id].around(np.array([at(FULL_AT)])).tolist() == pytest.approx([0.001])
