"""Named examples: which series breach, and which only look as if they would.

Each example also runs mirrored: as a series that is bad when it is low.
"""

import math
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from fakes.mirror import (
    mirrored_history,
    mirrored_outlook,
    mirrored_paths,
    mirrored_present,
    mirrored_series,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from core.arrays import FloatArray
from core.domain import Role, Series, SeriesKind
from core.formatting import format_duration
from models.breach.growth import Growth, Present
from models.breach.outlook import BREACH_HORIZONS_S, BreachOutlook, BreachPattern, SeriesPast, predict_breach
from models.breach.paths import SimulatedPaths
from models.forecast.intervals.conformal import fit_errors
from models.forecast.intervals.widths import PastErrors
from models.forecast.pool.seasonal_naive import seasonal_naive
from models.forecast.protocols import Bounds, History
from models.series.thresholds import is_upward, threshold_of
from models.words.breach import expected_breach, growth_reason

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LIMIT = 100.0
DISK = Series(
    tenant="t",
    service="orders-db",
    metric="disk_used_bytes",
    unit="bytes",
    role=Role.CAPACITY,
    limit=LIMIT / 0.98,
)


def reason_of(growth: Growth) -> str:
    return growth_reason(growth.per_hour, growth.span_s, growth.usual_per_hour, "bytes")


#: Whether the examples run as their mirror images about `ABOUT`.
MIRRORED, ABOUT = False, 250.0


@pytest.fixture(params=[False, True], ids=["high is bad", "low is bad"], autouse=True)
def side(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "MIRRORED", request.param)


def outlook(
    values: FloatArray,
    series: Series = DISK,
    *,
    an_hour_ago: float | None = None,
    impact_level: float | None = None,
    always_simulated: bool = False,
) -> BreachOutlook:
    """The outlook of a series whose past is `values`, hourly."""
    history = History(
        values=values,
        start=NOW - timedelta(hours=len(values)),
        step_s=3_600,
        seasons=(24, 168),
        bounds=Bounds(lower=0.0),
    )
    origins = tuple(range(48, len(values) - 24, 24))
    forecasts = np.stack([seasonal_naive(values[:at], (24,), 24) for at in origins])
    rows = np.stack([values[at : at + 24] for at in origins]) - forecasts
    errors = fit_errors(
        PastErrors(errors=rows, yhat=forecasts, origins=origins, known=len(values)), floor=0.01
    )
    rng = np.random.default_rng(1)
    usual = errors.paths(seasonal_naive(values, (24,), 24), 400, Bounds(lower=0.0), rng)
    if always_simulated:
        usual = replace(usual, lowest=-math.inf, highest=math.inf)
    present = Present(
        at=history.end,
        level=float(values[-1]),
        level_an_hour_ago=float(values[-2]) if an_hour_ago is None else an_hour_ago,
    )
    if MIRRORED and is_upward(series):
        found = predict_breach(
            mirrored_series(series, ABOUT),
            SeriesPast.of(mirrored_series(series, ABOUT), mirrored_history(history, ABOUT), 24),
            mirrored_paths(usual, ABOUT),
            mirrored_present(present, ABOUT),
            rng=rng,
            impact_level=None if impact_level is None else ABOUT - impact_level,
        )
        assert found is not None
        return mirrored_outlook(found, ABOUT)
    past = SeriesPast.of(series, history, 24)
    found = predict_breach(series, past, usual, present, rng=rng, impact_level=impact_level)
    assert found is not None
    return found


def noise(n: int, size: float = 0.3) -> FloatArray:
    return np.random.default_rng(7).normal(0, size, n)


def test_a_fill_breaches_and_its_time_is_in_the_range() -> None:
    values = np.concatenate([np.full(480, 40.0), 40 + 6.0 * np.arange(1, 8)]) + noise(487)
    found = outlook(values)
    hours_left = (LIMIT - values[-1]) / 6.0
    assert found.pattern is BreachPattern.FILL
    assert found.breach.probability > 0.6
    assert found.breach.when is not None
    assert found.breach.when.p10 < NOW + timedelta(hours=hours_left) < found.breach.when.p90


def test_a_sawtooth_near_its_limit_does_not_breach() -> None:
    values = 40 + 50 * (np.arange(480) % 12) / 12 + noise(480)
    found = outlook(values[:479])
    assert found.sawtooth is not None
    assert found.breach.probability < 0.1


def test_a_fill_on_top_of_a_sawtooth_breaches() -> None:
    values = 30 + 10 * (np.arange(480) % 12) / 12 + noise(480)
    values[-8:] += 7.0 * np.arange(1, 9)
    assert outlook(values).breach.probability > 0.5


@pytest.mark.parametrize("level", [10.0, 60.0, 80.0, 95.0, 99.0, 101.0])
def test_paths_that_cannot_reach_the_threshold_need_no_simulation(level: float) -> None:
    values = level + 2.0 * np.sin(np.arange(480) / 24 * 2 * np.pi) + noise(480)
    found, counted = (
        outlook(values, always_simulated=simulated, impact_level=LIMIT + 1) for simulated in (False, True)
    )
    assert found.breach == counted.breach
    assert found.impact == counted.impact
    assert found.pattern is counted.pattern
    assert np.array_equal(found.paths(), counted.paths())


def test_growth_that_was_just_reset_does_not_breach() -> None:
    values = np.full(480, 40.0) + noise(480)
    values[-8:-1] += 7.0 * np.arange(1, 8)
    assert outlook(values).breach.probability < 0.2


def test_a_step_is_not_growth() -> None:
    values = np.full(480, 40.0) + noise(480)
    values[-3:] += 25
    assert outlook(values).breach.probability < 0.2


def test_a_jump_of_a_latency_is_no_growth_yet() -> None:
    latency = replace(DISK, metric="latency_p99_seconds", unit="seconds", role=Role.LATENCY)
    calm = np.full(480, 30.0) + noise(480)
    jumped = np.concatenate([calm, [80.0]])
    crept = np.concatenate([calm, 30 + 12.0 * np.arange(1, 5)])
    assert outlook(jumped).growth.weight > 0.5
    assert outlook(jumped, latency).breach.probability < 0.2
    assert outlook(crept, latency).breach.probability > 0.5


def test_an_impact_level_beyond_the_threshold_is_reached_later() -> None:
    values = np.concatenate([np.full(480, 40.0), 40 + 6.0 * np.arange(1, 8)]) + noise(487)
    found = outlook(values, impact_level=LIMIT * 1.01)
    assert found.impact.threshold == pytest.approx(LIMIT * 1.01)
    assert found.impact.probability <= found.breach.probability
    assert found.impact.when is not None
    assert found.breach.when is not None
    assert found.impact.when.p50 > found.breach.when.p50
    assert outlook(values).impact == outlook(values).breach


def test_daily_peaks_that_always_come_close_do_not_breach() -> None:
    values = 60 + 30 * np.sin(2 * np.pi * np.arange(480) / 24) + noise(480)
    assert outlook(values).breach.probability < 0.1


def test_noise_near_the_limit_is_a_risk_and_not_a_fill() -> None:
    values = np.full(480, 95.0) + noise(480, 2.0)
    found = outlook(values)
    assert found.pattern is not BreachPattern.FILL
    assert found.breach.probability > 0.05


def test_a_series_over_its_threshold_has_the_pattern_over() -> None:
    values = np.full(480, 40.0) + noise(480)
    values[-2:] = 101.0
    assert outlook(values).pattern is BreachPattern.OVER


def test_a_flat_series_far_below_is_clear() -> None:
    found = outlook(np.full(480, 40.0) + noise(480))
    assert found.pattern is BreachPattern.CLEAR
    assert found.breach.when is None


def test_free_space_breaches_downwards() -> None:
    free = Series(tenant="t", service="db", metric="disk_free_bytes", unit="bytes", slo_threshold=10.0)
    values = np.concatenate([np.full(480, 60.0), 60 - 6.0 * np.arange(1, 7)]) + noise(486)
    assert not is_upward(free)
    assert outlook(values, free).breach.probability > 0.6


def test_the_slo_comes_before_the_physical_end() -> None:
    assert threshold_of(Series(tenant="t", service="s", metric="m", limit=100.0)) == pytest.approx(98.0)
    assert threshold_of(Series(tenant="t", service="s", metric="m", limit=100.0, slo_threshold=70.0)) == 70.0
    assert threshold_of(Series(tenant="t", service="s", metric="m", kind=SeriesKind.RATIO)) is None


def test_the_text_reads_as_a_person_would_say_it() -> None:
    values = np.concatenate([np.full(480, 40.0), 40 + 6.0 * np.arange(1, 8)]) + noise(487)
    found = outlook(values)
    text = expected_breach(DISK, found.breach, NOW, reason_of(found.growth))
    assert text.startswith("disk of orders-db is full in ")
    assert "; it grew " in text
    assert text.endswith("; normally no growth")
    assert format_duration(found.growth.span_s) in text


@given(
    st.integers(0, 2**31),
    st.floats(0.5, 5.0),
    st.floats(1.0, 50.0),
)
@settings(max_examples=40, deadline=None)
def test_probability_never_falls_with_the_horizon_and_the_range_is_ordered(
    seed: int, drift: float, distance: float
) -> None:
    rng = np.random.default_rng(seed)
    paths = np.cumsum(rng.normal(drift, 2.0, (200, 24)), axis=1)
    simulated = SimulatedPaths.of(paths, level=0.0, at=NOW, step_s=3_600)
    breach = simulated.breach(distance, horizons_s=BREACH_HORIZONS_S)
    shares = list(breach.probability_by_horizon_s.values())
    assert shares == sorted(shares)
    assert breach.probability == pytest.approx(shares[-1])
    if breach.when is not None:
        assert NOW <= breach.when.p10 <= breach.when.p50 <= breach.when.p90
        assert breach.when.p90 <= NOW + timedelta(hours=24)


def test_next_to_nothing_of_the_growth_reads_as_no_growth() -> None:
    growing = Growth(per_hour=2.0**31, span_s=3_600, usual_per_hour=-700.0, weight=1.0)
    assert reason_of(growing) == "grew 2 GiB/h over the last 1 h; normally no growth"
    steady = Growth(per_hour=2.0**31, span_s=3_600, usual_per_hour=2.0**30, weight=1.0)
    assert reason_of(steady) == "grew 2 GiB/h over the last 1 h; normally 1 GiB/h"
