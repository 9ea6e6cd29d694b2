"""The 90-day view tells growth from noise, and sorts by urgency; also of what runs out downwards."""

import sys
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from fakes.mirror import mirrored_capacity, mirrored_history, mirrored_present, mirrored_series
from fakes.paths import paths_of

from core.arrays import FloatArray
from core.domain import Role, Series
from models.breach.capacity import Capacity, by_urgency, plan_capacity, robust_growth
from models.breach.growth import Present
from models.breach.outlook import SeriesPast, predict_breach
from models.forecast.protocols import History

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def disk(service: str, limit: float = 1000.0) -> Series:
    return Series(
        tenant="t", service=service, metric="disk_used_bytes", role=Role.CAPACITY, limit=limit / 0.98
    )


#: Whether the examples run as their mirror images about `ABOUT`.
MIRRORED, ABOUT = False, 4_000.0


@pytest.fixture(params=[False, True], ids=["high is bad", "low is bad"], autouse=True)
def side(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "MIRRORED", request.param)


def plan(series: Series, values: FloatArray) -> Capacity:
    """The capacity of a series with these hourly values, whose forecaster predicts no change."""
    start = NOW - timedelta(hours=len(values))
    history = History(values=values, start=start, step_s=3_600, seasons=(24, 168))
    rng = np.random.default_rng(2)
    usual = values[-1] + rng.normal(0, 3, (400, 24))
    present = Present(at=history.end, level=float(values[-1]), level_an_hour_ago=float(values[-2]))
    if MIRRORED:
        series, history = mirrored_series(series, ABOUT), mirrored_history(history, ABOUT)
        usual, present = ABOUT - usual, mirrored_present(present, ABOUT)
    outlook = predict_breach(series, SeriesPast.of(series, history, 24), paths_of(usual), present, rng=rng)
    found = plan_capacity(series, history, at=NOW, seed=1, outlook=outlook)
    assert found is not None
    return mirrored_capacity(found, ABOUT) if MIRRORED else found


def growing(per_day: float, level: float = 500.0, seed: int = 1) -> FloatArray:
    hours = np.arange(24 * 40)
    return level + per_day * hours / 24 + np.random.default_rng(seed).normal(0, 3, len(hours))


def test_steady_growth_runs_out_when_a_line_crosses() -> None:
    found = plan(disk("db"), growing(10.0, 100.0))
    days = (1000.0 - 500.0) / 10.0
    assert found.runs_out is not None
    assert abs((found.runs_out.p50 - NOW) / timedelta(days=1) - days) < 5
    assert found.runs_out.p10 < NOW + timedelta(days=days) < found.runs_out.p90


def test_a_resource_without_growth_does_not_run_out() -> None:
    found = plan(disk("db"), growing(0.0))
    assert found.breach.probability < 0.1
    assert found.runs_out is None


def test_a_fill_of_today_is_found_after_a_month_without_growth() -> None:
    values = growing(0.0)
    values[-12:] += 35.0 * np.arange(1, 13)
    found = plan(disk("db"), values)
    assert found.runs_out is not None
    hours = (1000.0 - values[-1]) / 35.0
    assert found.runs_out.p10 < NOW + timedelta(hours=hours) < found.runs_out.p90
    assert found.per_day == pytest.approx(35.0 * 24, rel=0.1)
    first, _ = by_urgency([plan(disk("steady"), growing(12.0, 400.0)), found])
    assert first is found


def test_a_resource_that_was_emptied_since_yesterday_does_not_run_out_now() -> None:
    values = growing(0.0)
    values[-20:-8] = 1_010.0
    runs_out = plan(disk("db"), values).runs_out
    assert runs_out is None or runs_out.p10 > NOW


def test_an_incident_does_not_change_the_growth_of_a_month() -> None:
    values = growing(5.0, 100.0)
    values[400:460] += 400
    assert plan(disk("db"), values).per_day == pytest.approx(5.0, abs=1.0)


def test_the_most_urgent_comes_first() -> None:
    soon = plan(disk("soon"), growing(12.0, 400.0))
    later = plan(disk("later"), growing(8.0, 100.0))
    never = plan(disk("never"), growing(0.0, 900.0))
    assert [one.series.service for one in by_urgency([never, later, soon])] == ["soon", "later", "never"]


def test_a_series_without_a_threshold_has_no_plan() -> None:
    series = Series(tenant="t", service="s", metric="disk_used_bytes")
    history = History(values=growing(1.0), start=NOW, step_s=3_600)
    assert plan_capacity(series, history, at=NOW, seed=1) is None


def test_the_slope_is_exact_on_a_line() -> None:
    assert robust_growth(np.arange(10, dtype=np.float64) * 3) == pytest.approx(3.0)
