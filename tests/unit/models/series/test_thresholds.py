"""What a limit or an SLO says: its bad side, what lies past it, and how much sooner that is believed."""

import numpy as np
import pytest

from core.domain import Direction, Role, Series
from models.series.thresholds import WEIGHTS_PAST, is_past, is_upward, threshold_of, weights


def series(
    metric: str = "latency_p99_seconds",
    role: Role = Role.LATENCY,
    *,
    limit: float | None = None,
    slo_threshold: float | None = None,
    direction: Direction | None = None,
) -> Series:
    return Series(
        tenant="t",
        service="s",
        metric=metric,
        role=role,
        limit=limit,
        slo_threshold=slo_threshold,
        direction=direction,
    )


UP, DOWN, BOTH = Direction.UP_IS_BAD, Direction.DOWN_IS_BAD, Direction.BOTH
SLO = series(slo_threshold=10.0)
EXPECTED = np.full(8, 5.0)


def test_a_limit_counts_a_little_before_its_end_and_an_slo_at_once() -> None:
    assert threshold_of(series(limit=100.0)) == pytest.approx(98.0)
    assert threshold_of(series(limit=100.0, slo_threshold=80.0)) == 80.0
    assert threshold_of(series()) is None


@pytest.mark.parametrize(
    ("one", "usual", "upward"),
    [
        (series("disk_free_bytes", Role.CAPACITY, slo_threshold=10.0), 5.0, False),
        (SLO, 20.0, True),  # always too slow is no reason to call fast the trouble
        (series("connections", Role.CAPACITY, slo_threshold=10.0), 5.0, True),
        (series("replicas", Role.CAPACITY, slo_threshold=10.0), 50.0, False),
        (series("replicas", Role.CAPACITY, slo_threshold=10.0), None, True),
        # a resource ends at 0, whatever its name; errors do not
        (series("coolant", Role.SATURATION, limit=0.0), None, False),
        (series("request_errors", Role.ERRORS, limit=0.0), None, True),
        (series("coolant_used", Role.CAPACITY, limit=0.0), None, True),
        # what people declare comes before all of this
        (series("coolant", Role.SATURATION, slo_threshold=10.0, direction=DOWN), None, False),
        (series("disk_free_bytes", Role.CAPACITY, limit=10.0, direction=UP), None, True),
        (series("latency_seconds", Role.LATENCY, slo_threshold=1.0, direction=DOWN), 0.5, False),
        (series("latency_seconds", Role.LATENCY, slo_threshold=1.0, direction=BOTH), 5.0, False),
        (series("temperature", Role.SATURATION, slo_threshold=1.0, direction=BOTH), 0.5, True),
    ],
)
def test_the_bad_side_is_told_by_name_then_role_then_what_is_usual(
    one: Series, usual: float | None, *, upward: bool
) -> None:
    assert is_upward(one, usual) is upward


def test_what_is_missing_is_not_past() -> None:
    assert is_past(np.array([9.0, 10.0, np.nan]), 10.0, upward=True).tolist() == [False, True, False]
    assert is_past(np.array([9.0, 10.0, np.nan]), 10.0, upward=False).tolist() == [True, True, False]


def test_what_stays_past_weighs_the_more_the_longer_it_stays() -> None:
    (soon, more), (late, most) = WEIGHTS_PAST
    assert (soon, late) == (3, 6)
    values = np.array([5, 12, 12, 12, 12, 12, 12, 5, 12, 12], dtype=np.float64)
    assert weights(SLO, values, np.full(10, 5.0)).tolist() == [1, 1, 1, more, more, more, most, 1, 1, 1]


def test_missing_values_neither_count_nor_break_a_row() -> None:
    more = WEIGHTS_PAST[0][1]
    values = np.array([12, np.nan, 12, np.nan, 12, 12, 5, 5])
    assert weights(SLO, values, EXPECTED).tolist() == [1, 1, 1, 1, more, more, 1, 1]


def test_where_past_is_expected_or_nothing_is_known_all_weigh_the_same() -> None:
    values = np.full(8, 12.0)
    assert (weights(SLO, values, np.full(8, 11.0)) == 1.0).all()
    assert (weights(series(), values, EXPECTED) == 1.0).all()
    assert (weights(SLO, np.full(8, np.nan), EXPECTED) == 1.0).all()
    assert weights(SLO, np.empty(0), np.empty(0)).size == 0


@pytest.mark.parametrize("one", [SLO, series("replicas", Role.CAPACITY, slo_threshold=10.0)])
def test_the_future_never_changes_a_past_weight(one: Series) -> None:
    values = np.random.default_rng(3).normal(11.0, 2.0, 200)
    expected = np.where(
        np.arange(200) < 60, 5.0, 20.0
    )  # what is usual moves to the other side of the threshold
    whole = weights(one, values, expected)
    assert (whole > 1.0).any()
    for end in (3, 50, 120):
        assert (weights(one, values[:end], expected[:end]) == whole[:end]).all()
