"""What the samples of a training window teach of breaches: what filled and what only jumped."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from core.domain import Role, Series, SeriesKind
from core.frames import SAMPLES
from models.forecast.history import histories
from models.forecast.protocols import FloatArray
from pipelines.learn.past_breaches import PastOfFleet

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


def learned(series: Series, values: FloatArray) -> PastOfFleet:
    ts = [END - timedelta(minutes=5 * int(back)) for back in range(COUNT, 0, -1)]
    columns = {"series_id": [series.series_id] * COUNT, "ts": ts, "value": values}
    samples = pl.DataFrame(columns, schema=dict(SAMPLES))
    past = histories(samples, {series.series_id: series}, step_s=3_600, end=END, steps=DAYS * 24)
    fleet = PastOfFleet()
    fleet.find(series, past[series.series_id], samples)
    return fleet


def at(step: int) -> float:
    return (END - timedelta(minutes=5 * (COUNT - step))).timestamp()


def test_a_disk_that_fills_comes_to_its_threshold_and_then_to_each_level_up_to_its_limit() -> None:
    values = 40 + np.random.default_rng(1).normal(0, 0.01, COUNT)
    climb = np.arange(COUNT) - FULL_AT
    values += np.where((climb > -120) & (climb <= 24), np.clip(60 + climb * 0.5, 0, 60), 0)
    fleet = learned(DISK, values)
    breached = fleet.breaches[DISK.series_id]
    assert breached.came.tolist() == breached.foreseen[0].tolist()
    assert [len(one) for one in breached.foreseen] == [1, 1, 1, 1]
    times = [float(one[0]) for one in breached.foreseen]
    assert times == sorted(times)
    # The last 2 % take four steps; three quarters of them are over one step before the end.
    assert at(FULL_AT - 5) <= times[0] < times[-1] <= at(FULL_AT + 1)
    assert fleet.heights == {}


@pytest.mark.parametrize(("crept", "foreseen"), [(True, 1), (False, 0)])
def test_errors_that_jumped_were_not_to_be_foreseen_and_those_that_crept_were(
    crept: bool, foreseen: int
) -> None:
    values = np.full(COUNT, 0.001)
    values[FULL_AT : FULL_AT + 12] = 0.06
    if crept:
        values[FULL_AT - 36 : FULL_AT] = np.linspace(0.001, 0.019, 36)
    fleet = learned(ERRORS, values)
    breached = fleet.breaches[ERRORS.series_id]
    assert len(breached.came) == 1
    assert [len(one) for one in breached.foreseen] == [foreseen]
    heights = fleet.heights[ERRORS.series_id]
    assert heights.around(breached.came).tolist() == pytest.approx([0.06])
    assert heights.bar == pytest.approx(0.02)


def test_what_never_breached_has_heights_all_the_same() -> None:
    fleet = learned(ERRORS, np.full(COUNT, 0.001))
    assert fleet.breaches == {}
    assert fleet.heights[ERRORS.series_id].around(np.array([at(FULL_AT)])).tolist() == pytest.approx([0.001])
