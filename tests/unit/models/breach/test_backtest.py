"""Past breaches are found, and predictions before them are repeated without knowledge of the future."""

from datetime import UTC, datetime

import numpy as np
import pytest
from fakes.mirror import mirrored_series

from core.arrays import FloatArray
from core.domain import Role, Series
from models.breach.backtest import (
    PastBreaches,
    PastForecast,
    backtest_breaches,
    find_breaches,
    find_rises,
    gradual_breaches,
)
from models.breach.outlook import BREACH_HORIZONS_S, BreachPattern
from models.forecast.choice.selection import Plan, select
from models.forecast.protocols import History

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DISK = Series(
    tenant="t", service="db", metric="disk_used_bytes", unit="bytes", role=Role.CAPACITY, limit=100 / 0.98
)
FREE = mirrored_series(DISK, 0.0)
FAILS = 24 * 18


def filling(later: float = 40.0) -> FloatArray:
    """Twenty days of a calm disk that fills in ten hours, and is at `later` from then on."""
    values = 40 + np.random.default_rng(3).normal(0, 0.3, 24 * 20)
    values[FAILS - 10 : FAILS + 1] += 6.2 * np.arange(11)
    values[FAILS + 1 :] = later
    return values


def test_a_value_that_returns_soon_is_the_same_breach() -> None:
    seconds = np.arange(0, 20 * 3_600, 3_600, dtype=np.float64)
    values = np.zeros(20)
    values[[5, 7, 15]] = 10.0
    assert find_breaches(seconds, values, 9.0, upward=True).tolist() == [5 * 3_600, 15 * 3_600]
    assert find_breaches(seconds, -values, -9.0, upward=False).tolist() == [5 * 3_600, 15 * 3_600]


def test_a_breach_that_lasts_ends_when_it_was_over_for_the_last_time() -> None:
    seconds = np.arange(0, 20 * 3_600, 3_600, dtype=np.float64)
    values = np.zeros(20)
    values[[0, 5, 6, 7, 8, 9, 10, 12, 17]] = 10.0
    assert find_breaches(seconds, values, 9.0, upward=True).tolist() == [5 * 3_600, 17 * 3_600]


def test_a_jump_could_not_be_predicted() -> None:
    seconds = np.arange(0, 20 * 3_600, 3_600, dtype=np.float64)
    values = np.full(20, 1.0)
    values[[5, 11, 12, 13]] = [10.0, 4.0, 7.0, 10.0]
    at_s = find_breaches(seconds, values, 9.0, upward=True)
    assert at_s.tolist() == [5 * 3_600, 13 * 3_600]
    assert gradual_breaches(at_s, seconds, values, 9.0, usual=1.0).tolist() == [13 * 3_600]
    assert gradual_breaches(at_s, seconds, -values, -9.0, usual=-1.0).tolist() == [13 * 3_600]
    assert gradual_breaches(np.empty(0), seconds, values, 9.0, usual=1.0).tolist() == []


@pytest.mark.parametrize(("series", "sign"), [(DISK, 1.0), (FREE, -1.0)], ids=["high is bad", "low is bad"])
def test_a_backtest_knows_nothing_that_came_later(series: Series, sign: float) -> None:
    values = sign * filling()
    history = History(values=values, start=NOW, step_s=3_600, seasons=(24, 168))
    choice = select(history.until(24 * 17), Plan(origins=4))
    seconds = NOW.timestamp() + 3_600.0 * np.arange(1, len(values) + 1, dtype=np.float64) - 1
    rises = find_rises(values, sign * 100.0, upward=sign > 0, season=24)

    def found(later: float) -> list[PastForecast]:
        changed = sign * filling(later)
        past = PastBreaches(
            at_s=(seconds[FAILS],), rises=tuple(rises), unfiltered=changed, seconds=seconds, values=changed
        )
        then = History(values=changed, start=NOW, step_s=3_600, seasons=(24, 168))
        return backtest_breaches(series, then, choice, past, seed=1)

    first = found(40.0)
    assert first
    assert {one.selected_by_breach for one in first} == {True, False}
    for one in first:
        assert one.breach_in_s is not None
        assert 0 < one.breach_in_s <= 24 * 3_600
        assert one.pattern is not BreachPattern.FILL or one.group == f"fill/stock/{series.metric}"
        assert tuple(one.probability_by_horizon_s) == BREACH_HORIZONS_S
    assert first == found(1e6)


def test_a_rise_is_found_whether_a_breach_followed_or_not() -> None:
    values = filling()
    stopped = values.copy()
    stopped[FAILS - 5 :] = 40.0
    rises = find_rises(values, 100.0, upward=True, season=24)
    assert set(range(FAILS - 6, FAILS - 1)) <= set(rises)
    assert [step for step in rises if step < FAILS - 5] == [
        step for step in find_rises(stopped, 100.0, upward=True, season=24) if step < FAILS - 5
    ]
    assert find_rises(-values, -100.0, upward=False, season=24) == rises


def test_no_rise_is_found_in_noise_far_from_the_threshold_or_in_nothing() -> None:
    calm = 40 + np.random.default_rng(4).normal(0, 0.3, 24 * 20)
    assert find_rises(calm, 100.0, upward=True, season=24) == []
    assert find_rises(np.full(24 * 20, np.nan), 100.0, upward=True, season=24) == []
    assert find_rises(calm[:24], 100.0, upward=True, season=24) == []
