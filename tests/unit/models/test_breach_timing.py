"""Ranges are corrected by what past breaches taught, and by nothing that came later."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from core.domain import Breach, Role, Series, TimeRange
from models.breach_timing import PastBreaches, PastLook, Timing, find_breaches, learn_timing, look_back
from models.forecasters.protocols import History
from models.forecasters.selection import Plan, select
from models.outlook import Case

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DISK = Series(
    tenant="t", service="db", metric="disk_used_bytes", unit="bytes", role=Role.CAPACITY, limit=100 / 0.98
)
TOLD = (2.0 * 3_600, 4.0 * 3_600, 9.0 * 3_600)


def breach() -> Breach:
    p10, p50, p90 = (NOW + timedelta(seconds=told) for told in TOLD)
    return Breach(
        threshold=98.0, probability=0.9, horizon_s=86_400, when=TimeRange(p10=p10, p50=p50, p90=p90)
    )


def looks(metric: str, breaches: int, factor: float, seed: int = 1) -> list[PastLook]:
    """Breaches that came at `factor` of the middle that was said, with a fifth of spread."""
    came = TOLD[1] * factor * np.exp(np.random.default_rng(seed).normal(0, 0.2, breaches))
    kind = f"fill/stock/{metric}"
    return [
        PastLook(kind=kind, breach=str(number), told_s=TOLD, came_s=float(one))
        for number, one in enumerate(came)
    ]


def range_h(timing: Timing, metric: str = "disk_used_bytes", case: Case = Case.FILL) -> list[float]:
    when = timing.correct(breach(), replace(DISK, metric=metric), case, NOW).when
    assert when is not None
    return [(moment - NOW).total_seconds() / 3_600 for moment in (when.p10, when.p50, when.p90)]


def test_without_past_breaches_nothing_is_moved() -> None:
    assert range_h(learn_timing([])) == pytest.approx([2.0, 4.0, 9.0])


def test_a_range_that_came_late_is_moved_until_it_holds_four_in_five() -> None:
    low, middle, high = range_h(learn_timing(looks("disk_used_bytes", 4_000, 0.6)))
    came = np.array([look.came_s / 3_600 for look in looks("disk_used_bytes", 4_000, 0.6, seed=2)])
    assert middle == pytest.approx(2.4, rel=0.1)
    assert np.mean((came >= low) & (came <= high)) == pytest.approx(0.8, abs=0.05)


def test_few_breaches_move_it_a_little_and_other_cases_not_at_all() -> None:
    timing = learn_timing(looks("disk_used_bytes", 2, 0.3))
    assert 2.5 < range_h(timing)[1] < 4.0
    assert range_h(timing, case=Case.SEASONAL) == pytest.approx([2.0, 4.0, 9.0])


def test_a_metric_that_never_breached_follows_the_others_less() -> None:
    timing = learn_timing(looks("disk_used_bytes", 40, 0.5))
    assert range_h(timing)[1] < range_h(timing, "queue_depth")[1] < 4.0


def test_a_range_stays_ordered_and_within_the_horizon() -> None:
    low, middle, high = range_h(Timing({"fill/stock": (2.0, -3.0, 5.0)}))
    assert 0 <= low <= middle <= high <= 24


def test_a_value_that_returns_soon_is_the_same_breach() -> None:
    seconds = np.arange(0, 20 * 3_600, 3_600, dtype=np.float64)
    values = np.zeros(20)
    values[[5, 7, 15]] = 10.0
    assert find_breaches(seconds, values, 9.0, upward=True).tolist() == [5 * 3_600, 15 * 3_600]
    assert find_breaches(seconds, -values, -9.0, upward=False).tolist() == [5 * 3_600, 15 * 3_600]


def test_looking_back_knows_nothing_that_came_later() -> None:
    rng = np.random.default_rng(3)
    values = 40 + rng.normal(0, 0.3, 24 * 20)
    fails = 24 * 18
    values[fails - 10 : fails + 1] += 6.0 * np.arange(11)
    history = History(values=values, start=NOW, step_s=3_600, seasons=(24, 168))
    choice = select(history.until(24 * 17), Plan(origins=4))
    seconds = NOW.timestamp() + 3_600.0 * np.arange(1, len(values) + 1) - 1

    def found(later: float) -> list[PastLook]:
        changed = values.copy()
        changed[fails + 1 :] = later
        past = PastBreaches(at_s=(seconds[fails],), seen=changed, seconds=seconds, values=changed)
        then = History(values=changed, start=NOW, step_s=3_600, seasons=(24, 168))
        return look_back(DISK, then, choice, past, seed=1)

    first = found(40.0)
    assert first
    assert all(look.kind == "fill/stock/disk_used_bytes" for look in first)
    assert all(0 < look.came_s <= 24 * 3_600 for look in first)
    assert first == found(1e6)
