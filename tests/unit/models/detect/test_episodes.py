"""Which values belong to one episode."""

import numpy as np
import pytest

from core.domain import Shape
from models.detect.episodes import find_episodes

STEP_S = 300


def episodes(pattern: str, sigma: float = 20.0) -> list[tuple[int, int, Shape]]:
    """First and last row and shape of each episode of a course: `#` is far away, `.` is as usual."""
    far = np.array([one == "#" for one in pattern])
    noise = np.random.default_rng(1).normal(0, 0.5, far.size)
    found = find_episodes(
        STEP_S * np.arange(far.size, dtype=np.int64),
        np.where(far, 8.0, 0.5),
        far,
        np.where(far, sigma, 0.0) + noise,
        STEP_S,
    )
    return [(one.first, one.last, one.shape) for one in found]


SPIKE, SHIFT = Shape.POINT_SPIKE, Shape.LEVEL_SHIFT


@pytest.mark.parametrize("sigma", [20.0, 4.0], ids=["plain", "weak"])
@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("..######..", [(2, 7, SHIFT)]),
        ("#...#.....", [(0, 0, SPIKE), (4, 4, SPIKE)]),
        ("#...######", [(0, 0, SPIKE), (4, 9, SHIFT)]),
        ("######...#", [(0, 9, None)]),
        ("##.##.##..", [(0, 7, None)]),
        ("#.#.#.#.#.", [(0, 0, SPIKE), (2, 8, None)]),
        ("##..######", [(0, 1, None), (4, 9, SHIFT)]),
        ("####.......####", [(0, 3, None), (11, 14, None)]),
        ("######....#", [(0, 10, None)]),
        ("#..#..#..#..#..#", [(0, 0, SPIKE), (3, 15, None)]),
    ],
)
def test_quiet_that_is_as_long_as_what_came_before_divides_but_what_flaps_is_one(
    pattern: str, wanted: list[tuple[int, int, Shape | None]], sigma: float
) -> None:
    found = episodes(pattern, sigma)
    assert [one[:2] for one in found] == [one[:2] for one in wanted]
    for (*_, shape), (*_, expected) in zip(found, wanted, strict=True):
        assert expected is None or shape is expected


def test_what_averages_remember_of_a_deviation_does_not_join_it_to_the_next() -> None:
    deviation = np.array([0.0, 30.0, 30.0, 1.0, 1.0, 1.0, 1.0, 30.0, 30.0, 30.0])
    surprise = np.array([0.0, 8.0, 8.0, 3.0, 3.0, 3.0, 3.0, 8.0, 8.0, 8.0])
    found = find_episodes(STEP_S * np.arange(10), surprise, surprise > 5, deviation, STEP_S)
    assert [(one.first, one.last) for one in found] == [(1, 2), (7, 9)]


def test_a_value_that_is_no_anomaly_makes_no_episode_of_its_own() -> None:
    surprise = np.array([8.0, 0.5, 0.5, 0.5, 2.5, 0.5])
    found = find_episodes(STEP_S * np.arange(6), surprise, surprise > 5, surprise, STEP_S)
    assert [(one.first, one.last) for one in found] == [(0, 0)]
