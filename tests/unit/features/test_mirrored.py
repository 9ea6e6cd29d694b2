"""Shares of what is left over: the mirror image of what is used, and never "1201 % of its limit"."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from core.arrays import FloatArray
from core.domain import Role, Series, SeriesKind
from core.frames import SAMPLES
from features.grid import fleet_grid
from features.slots import SLOTS

START = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = 288 * 3
RNG = np.random.default_rng(5)
#: A disk of 100 that fills on the last day.
USED = 40 + RNG.normal(0, 0.5, STEPS) + np.clip(np.arange(STEPS) - 288 * 2, 0, None) * 55 / 288


def disk(metric: str, limit: float | None = None, slo: float | None = None) -> Series:
    return Series(tenant="t", service="db", metric=metric, role=Role.CAPACITY, limit=limit, slo_threshold=slo)


def shares(series: Series, values: FloatArray) -> FloatArray:
    """The shares of the slot that the series fills."""
    columns = {
        "series_id": [series.series_id] * STEPS,
        "ts": [START + timedelta(minutes=5 * step) for step in range(STEPS)],
        "value": values,
    }
    grid = fleet_grid(
        pl.DataFrame(columns, schema=dict(SAMPLES)),
        [series],
        [],
        start=START,
        end=START + timedelta(minutes=5 * (STEPS - 1)),
    )
    slot = "errors" if series.role is Role.ERRORS else "disk"
    return np.asarray(grid.shares[0, SLOTS.index(slot)])


def test_free_space_with_the_size_as_limit_has_the_shares_of_used_space() -> None:
    used, free = (
        shares(disk("disk_used_bytes", 100.0), USED),
        shares(disk("disk_free_bytes", 100.0), 100.0 - USED),
    )
    assert free[288:] == pytest.approx(used[288:], abs=1e-5)


@pytest.mark.parametrize(("limit", "slo"), [(0.0, None), (None, 5.0), (0.0, 5.0), (100.0, 5.0), (20.0, None)])
def test_free_space_is_never_used_beyond_all_and_is_used_up_at_its_threshold(
    limit: float | None, slo: float | None
) -> None:
    end = slo if slo is not None else min(limit or 0.0, 20.0)
    values = np.linspace(60.0, end, STEPS)
    values[-1] = end
    found = shares(disk("node_filesystem_avail_bytes", limit, slo), values)[12:]
    assert ((found >= 0) & (found <= 1)).all()
    assert found[-1] == 1.0
    assert found[0] < 0.45
    steady = shares(disk("node_filesystem_avail_bytes", limit, slo), np.full(STEPS, 60.0))[12:]
    assert (steady < 0.45).all()


def test_without_a_threshold_less_than_usual_is_more_used() -> None:
    values = np.full(STEPS, 60.0)
    values[-1] = 30.0
    found = shares(disk("disk_free_bytes"), values)
    assert found[-2] == pytest.approx(1.0, abs=1e-5)
    assert found[-1] == pytest.approx(1.5, abs=0.01)


def test_a_success_ratio_has_the_shares_of_the_error_ratio() -> None:
    errors = Series(
        tenant="t",
        service="db",
        metric="error_ratio",
        kind=SeriesKind.RATIO,
        role=Role.ERRORS,
        slo_threshold=0.02,
    )
    success = Series(
        tenant="t",
        service="db",
        metric="success_ratio",
        kind=SeriesKind.RATIO,
        role=Role.ERRORS,
        slo_threshold=0.98,
    )
    values = RNG.uniform(0, 0.3, STEPS)
    assert shares(success, 1.0 - values) == pytest.approx(shares(errors, values), abs=1e-5)
