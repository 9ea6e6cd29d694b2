"""A mirrored series gets the mirrored answer: 200 random series, and the same of everything that counts breaches."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from fakes.mirror import (
    mirrored_capacity,
    mirrored_history,
    mirrored_outlook,
    mirrored_present,
    mirrored_series,
    times_of,
    with_same_id,
)
from fakes.paths import paths_of

from core.arrays import FloatArray
from core.domain import Band, ModelRef, Role, Series, SeriesKind, Signal
from models.breach.backtest import find_breaches, find_rises
from models.breach.capacity import Capacity, plan_capacity
from models.breach.cascade import CascadeModel
from models.breach.growth import Present
from models.breach.learn_cascades import HourlyPeaks
from models.breach.outlook import BreachOutlook, BreachPattern, SeriesPast, predict_breach
from models.forecast.protocols import Bounds, History
from models.series.thresholds import is_past, is_upward, threshold_of, used_share, weights, with_known_limit
from models.signals.breach import BreachContext, SeriesOutlook, breach_signals

NOW = datetime(2026, 3, 1, tzinfo=UTC)
COUNT, DAYS = 200, 20
HOURS = np.arange(24.0 * DAYS)
MODEL = ModelRef(name="forecaster", version=1, run_id="r")


def course(seed: int) -> FloatArray:
    """A random course between about 0 and 1: flat, seasonal, filling, a sawtooth, a walk, or some of them together."""
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.2, 0.7) + rng.normal(0, rng.uniform(0.001, 0.03), HOURS.size)
    if rng.random() < 0.4:
        values += rng.uniform(0.02, 0.2) * np.sin(2 * np.pi * (HOURS + rng.integers(24)) / 24)
    if rng.random() < 0.4:
        period = int(rng.integers(5, 30))
        values += rng.uniform(0.05, 0.4) * ((HOURS + rng.integers(period)) % period) / period
    if rng.random() < 0.5:
        began = int(rng.integers(2, 14))
        values[-began:] += rng.uniform(0.005, 0.08) * np.arange(1, began + 1)
    if rng.random() < 0.3:
        values += rng.normal(0, 0.003, HOURS.size).cumsum()
    if rng.random() < 0.3:
        values += rng.uniform(-0.001, 0.001) * HOURS
    return np.asarray(values)


def both(seed: int) -> tuple[list[BreachOutlook], list[Capacity], list[Signal], float]:
    """Outlook, plan and signal of a random series, and of its mirror image, mirrored back."""
    rng = np.random.default_rng(10_000 + seed)
    scale, about = 10.0 ** rng.integers(-3, 12), rng.uniform(-3, 5)
    about *= scale
    values = scale * course(seed)
    role = Role.CAPACITY if seed % 3 else Role.LATENCY
    disk = Series(
        tenant="t",
        service="db",
        metric="disk_used_bytes",
        role=role,
        slo_threshold=scale * rng.uniform(0.6, 1.1),
    )
    series = with_same_id(disk)
    history = History(
        values=values,
        start=NOW - timedelta(hours=len(values)),
        step_s=3_600,
        seasons=(24, 168),
        bounds=Bounds(lower=0.0) if seed % 2 else Bounds(),
    )
    usual = values[-24:] + scale * 0.03 * rng.standard_normal((200, 24)).cumsum(axis=1)
    present = Present(
        at=history.end + timedelta(minutes=int(rng.integers(60))),
        level=float(values[-1]),
        level_an_hour_ago=float(values[-2]),
    )
    outlooks, plans, signals = [], [], []
    for mirrored in (False, True):
        if mirrored:
            series = mirrored_series(series, about, declared=seed % 4 == 1)
            history = mirrored_history(history, about)
            usual, present = about - usual, mirrored_present(present, about)
            assert not is_upward(series)
        past = SeriesPast.of(series, history, usual.shape[1])
        outlook = predict_breach(series, past, paths_of(usual), present, rng=np.random.default_rng(seed))
        plan = plan_capacity(series, history, at=NOW, seed=seed, outlook=outlook)
        assert outlook is not None
        assert plan is not None
        signals += breach_signals({1: seen(series, outlook)}, {}, MODEL, CONTEXT)
        outlooks.append(mirrored_outlook(outlook, about) if mirrored else outlook)
        plans.append(mirrored_capacity(plan, about) if mirrored else plan)
    return outlooks, plans, signals, scale


CONTEXT = BreachContext(now=NOW, cascades=CascadeModel())


def seen(series: Series, outlook: BreachOutlook) -> SeriesOutlook:
    return SeriesOutlook(
        series=series,
        pattern=outlook.pattern,
        breach=outlook.breach,
        growth=outlook.growth,
        level=outlook.level,
        impact=outlook.impact,
        impact_since=None,
        band=Band(expected=outlook.level, lower=outlook.level, upper=outlook.level),
    )


@pytest.mark.parametrize("seed", range(COUNT))
def test_a_mirrored_series_gets_the_mirrored_answer(seed: int) -> None:
    (up, down), (plan_up, plan_down), signals, scale = both(seed)
    assert down.pattern is up.pattern
    assert down.breach.probability == pytest.approx(up.breach.probability, abs=0.006)
    assert list(down.breach.probability_by_horizon_s.values()) == pytest.approx(
        list(up.breach.probability_by_horizon_s.values()), abs=0.006
    )
    assert down.growth.per_hour == pytest.approx(up.growth.per_hour, rel=1e-6, abs=1e-9 * scale)
    assert down.growth.weight == pytest.approx(up.growth.weight, abs=1e-6)
    assert (down.sawtooth is None) == (up.sawtooth is None)
    for one, other in ((up.breach, down.breach), (plan_up.breach, plan_down.breach)):
        times, mirrored = times_of(one, NOW), times_of(other, NOW)
        assert (times is None) == (mirrored is None)
        if times is not None:
            assert mirrored == pytest.approx(times, rel=0.02, abs=0.05)
    assert plan_down.breach.probability == pytest.approx(plan_up.breach.probability, abs=0.006)
    assert plan_down.per_day == pytest.approx(plan_up.per_day, rel=1e-6, abs=1e-9 * scale)
    np.testing.assert_allclose(plan_down.fan, plan_up.fan, atol=1e-6 * scale)
    assert len(signals) in (0, 2)
    if signals:
        high, low = signals
        assert low.severity is high.severity
        assert low.suppressed_by == high.suppressed_by
        assert [one.contribution for one in low.factors] == pytest.approx(
            [one.contribution for one in high.factors]
        )


def test_the_random_series_are_of_every_pattern() -> None:
    assert {both(seed)[0][0].pattern for seed in range(60)} == set(BreachPattern)


def test_past_breaches_and_rises_of_a_mirrored_series_are_the_same() -> None:
    for seed in range(40):
        values, about = course(seed), 3.0
        threshold = float(np.quantile(values, 0.97))
        seconds = 3_600.0 * np.arange(24 * DAYS, dtype=np.float64)
        up = find_breaches(seconds, values, threshold, upward=True)
        assert find_breaches(seconds, about - values, about - threshold, upward=False).tolist() == up.tolist()
        rises = find_rises(values, threshold, upward=True, season=24)
        assert find_rises(about - values, about - threshold, upward=False, season=24) == rises


def test_peaks_of_a_success_ratio_are_those_of_the_error_ratio() -> None:
    errors = Series(
        tenant="t",
        service="a",
        metric="error_ratio",
        kind=SeriesKind.RATIO,
        role=Role.ERRORS,
        slo_threshold=0.25,
    )
    success = replace(errors, metric="success_ratio", slo_threshold=0.75)
    values = np.round(np.abs(course(3)) * 64) / 64
    seconds = 3_600.0 * np.arange(24 * DAYS, dtype=np.float64)
    times = seconds[5::7]
    reached = []
    for series, ratio in ((errors, values), (success, 1.0 - values)):
        peaks = HourlyPeaks.of(series, seconds, ratio, start_s=0.0, hours=HOURS.size)
        assert peaks is not None
        reached.append((peaks.around(times) >= peaks.threshold).tolist())
    assert reached[0] == reached[1]
    assert any(reached[0])


def test_weights_of_a_mirrored_series_are_the_same() -> None:
    series = Series(tenant="t", service="db", metric="disk_used_bytes", role=Role.CAPACITY, slo_threshold=0.9)
    values = course(8)
    values[-9:] = 0.95
    expected = np.full(values.size, 0.5)
    up = weights(series, values, expected)
    assert up.max() > 1
    mirrored = weights(mirrored_series(series, 2.0), 2.0 - values, 2.0 - expected)
    assert mirrored.tolist() == up.tolist()


FREE = Series(
    tenant="t", service="db", metric="node_filesystem_avail_bytes", unit="bytes", role=Role.CAPACITY
)


def test_the_size_of_a_disk_as_limit_of_its_free_space_means_what_it_means_for_used_space() -> None:
    used = replace(FREE, metric="disk_used_bytes", limit=100.0)
    threshold = threshold_of(used)
    assert threshold is not None
    free = with_known_limit(replace(FREE, limit=100.0), np.array([np.nan, 60.0, 20.0]))
    assert threshold_of(free) == pytest.approx(100.0 - threshold)
    assert not is_past(np.array([20.0]), threshold_of(free) or 0.0, upward=False)[0]


def test_a_limit_that_free_space_exceeds_is_the_lowest_value() -> None:
    free = replace(FREE, limit=10.0)
    assert with_known_limit(free, np.array([60.0, 20.0])) == free
    assert threshold_of(free) == 10.0


@pytest.mark.parametrize("limit", [0.0, 10.0, 100.0, -5.0])
@pytest.mark.parametrize("level", [1_201.0, 60.0, 0.0])
def test_no_share_is_used_beyond_all(limit: float, level: float) -> None:
    for metric in ("disk_used_bytes", "node_filesystem_avail_bytes"):
        for slo in (None, 5.0, 100.0):
            share = used_share(replace(FREE, metric=metric, limit=limit, slo_threshold=slo), level)
            assert share is None or 0.0 <= share <= 1.0


@pytest.mark.parametrize(("limit", "threshold"), [(100.0, 98.0), (0.0, 0.0), (-10.0, -10.2)])
def test_the_threshold_of_what_fills_is_never_beyond_its_limit(limit: float, threshold: float) -> None:
    series = Series(tenant="t", service="s", metric="m", limit=limit)
    assert threshold_of(series) == pytest.approx(threshold)
    assert (threshold_of(series) or 0.0) <= limit
