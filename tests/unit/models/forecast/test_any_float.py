"""Forecasts, breaches and capacity over the whole range of float64."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from any_float import AWKWARD, courses, many_examples
from hypothesis import example, given
from hypothesis import strategies as st

from core.domain import Role, Series
from core.errors import InsufficientDataError
from core.frames import SAMPLES
from models.breach.bundle import BreachBundle
from models.breach.capacity import plan_capacity
from models.forecast.bundle import ForecasterBundle
from models.forecast.choice.selection import Plan, select
from models.forecast.entry import Entry
from models.forecast.files import ForecastParts
from models.forecast.history import histories
from models.forecast.recent import recent_of

pytestmark = pytest.mark.many_examples

HOUR_S = 3_600
HOURS = 24 * 9
END = datetime(2026, 3, 2, tzinfo=UTC)
SERIES = Series(tenant="t", service="s", metric="disk_used_bytes", role=Role.CAPACITY, step_s=HOUR_S)


def samples(series: Series, values: Any, end: datetime = END) -> pl.DataFrame:
    known = np.flatnonzero(np.isfinite(values))
    times = [end - timedelta(seconds=HOUR_S * int(len(values) - at)) for at in known]
    rows = {"series_id": [series.series_id] * len(times), "ts": times, "value": values[known]}
    return pl.DataFrame(rows, schema=dict(SAMPLES))


def bundle_of(series: Series, values: Any) -> ForecasterBundle | None:
    """The bundle of one series; null if it has too few values."""
    found = histories(
        samples(series, values), {series.series_id: series}, step_s=HOUR_S, end=END, steps=len(values)
    )
    if series.series_id not in found:
        return None
    history = found[series.series_id]
    try:
        choice = select(history, Plan(origins=4))
    except InsufficientDataError:
        return None
    entry = Entry(series=series, history=history, choice=choice)
    return ForecasterBundle(ForecastParts(entries={series.series_id: entry}, seed=1))


@given(values=courses(HOURS, HOURS), limit=st.sampled_from(AWKWARD), newest=st.sampled_from(AWKWARD))
@example(values=np.full(HOURS, 1.7e308), limit=1.7976931348623157e308, newest=-1.7e308)
@example(values=np.linspace(1e-300, 1e-290, HOURS), limit=1e-289, newest=5e-324)
@many_examples(25)
def test_any_float_is_forecast(values: Any, limit: float, newest: float) -> None:
    series = replace(SERIES, limit=limit)
    bundle = bundle_of(series, values)
    if bundle is None:
        return
    now = END + timedelta(hours=1)
    recent = samples(series, np.array([values[-1], newest]), now)
    prediction = bundle.forecast(series.series_id, recent, 24, at=now)
    for edge in (prediction.yhat, *prediction.lower.values(), *prediction.upper.values()):
        assert edge.shape == (24,)
        assert np.isfinite(edge).all()
    assert (prediction.lower[0.95] <= prediction.upper[0.95]).all()
    assert np.isfinite(bundle.paths(prediction, 20).simulate()).all()
    try:
        _, outlook = BreachBundle(bundle).outlook(series.series_id, recent_of(recent)[series.series_id], now)
    except InsufficientDataError:
        return
    assert outlook is not None
    assert 0.0 <= outlook.breach.probability <= 1.0
    assert np.isfinite(outlook.paths()).all()
    assert np.isfinite([outlook.level, outlook.growth.per_hour, outlook.growth.weight]).all()
    history = bundle.present(bundle.entry(series.series_id), recent_of(recent)[series.series_id], now)
    plan = plan_capacity(series, history, at=now, seed=1, horizon_days=10, outlook=outlook)
    if plan is not None:
        assert np.isfinite([plan.level, plan.per_day]).all()
        assert np.isfinite(plan.fan).all()
    again = ForecasterBundle.from_files(bundle.to_files())
    assert np.array_equal(again.forecast(series.series_id, recent, 24, at=now).yhat, prediction.yhat)


@pytest.mark.parametrize("exponent", [-900, -300, 300, 900])
def test_the_scale_of_a_series_does_not_change_its_forecast(exponent: int) -> None:
    rng = np.random.default_rng(1)
    values = 100.0 + 30 * np.sin(2 * np.pi * np.arange(HOURS) / 24) + rng.normal(0, 3, HOURS)
    values[-8:] += 5.0 * np.arange(8)
    plain, other = (
        (replace(SERIES, limit=float(np.ldexp(200.0, one))), np.ldexp(values, one)) for one in (0, exponent)
    )
    first, second = (bundle_of(*one) for one in (plain, other))
    assert first is not None
    assert second is not None
    key = SERIES.series_id
    expected = np.ldexp(first.forecast(key, horizon_steps=24).yhat, exponent)
    np.testing.assert_allclose(second.forecast(key, horizon_steps=24).yhat, expected, rtol=1e-6)
    outlooks = [
        BreachBundle(one).outlook(key, recent_of(samples(SERIES, given_[1][-3:]))[key], END)[1]
        for one, given_ in ((first, plain), (second, other))
    ]
    assert outlooks[0] is not None
    assert outlooks[1] is not None
    assert outlooks[1].pattern == outlooks[0].pattern
    assert outlooks[1].breach.probability == pytest.approx(outlooks[0].breach.probability, abs=0.02)
    assert outlooks[1].breach.threshold == np.ldexp(outlooks[0].breach.threshold, exponent)
