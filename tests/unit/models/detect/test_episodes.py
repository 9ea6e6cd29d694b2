"""The shape of an episode: what ends within minutes is a spike, unless it stays far away."""

import numpy as np
import pytest

from core.domain import Shape
from models.detect.episodes import name_shape, plain_start

STEP_S = 300
NONE = np.empty(0)


def shape_of(*deviation: float, step_s: int = STEP_S) -> Shape:
    values = np.array(deviation)
    return name_shape(np.arange(values.size) * step_s, values, NONE)


@pytest.mark.parametrize(
    ("deviation", "shape"),
    [
        ((50.0,), Shape.POINT_SPIKE),  # one value may be an error of the measurement
        ((50.0, 2.0), Shape.POINT_SPIKE),
        ((4.0, 4.0, 4.0), Shape.POINT_SPIKE),
        ((50.0, -50.0), Shape.POINT_SPIKE),
        ((50.0, 60.0), Shape.LEVEL_SHIFT),
        ((-100.0, -100.0), Shape.LEVEL_SHIFT),  # a dead exporter
        ((4.0, 4.0, 4.0, 4.0, 4.0), Shape.LEVEL_SHIFT),
    ],
)
def test_what_stays_far_away_is_no_spike(deviation: tuple[float, ...], shape: Shape) -> None:
    assert shape_of(*deviation) is shape


def test_many_values_of_one_minute_are_a_spike() -> None:
    assert shape_of(50.0, 50.0, 50.0, 50.0, step_s=15) is Shape.POINT_SPIKE


@pytest.mark.parametrize(
    ("deviation", "start"),
    [
        ((1.0, 0.5, 2.0, 9.0, 8.0), 3),  # a little off for a while, and then it broke
        ((1.0, 3.5, 2.0, -9.0), 1),
        ((1.0, np.nan, 2.0, 5.9), 0),  # nothing is far away: small deviations added up
        ((7.0, 8.0), 0),
    ],
)
def test_an_episode_begins_for_people_where_it_is_plain(deviation: tuple[float, ...], start: int) -> None:
    assert plain_start(np.array([np.nan, *deviation, 0.0]), 1, len(deviation)) == 1 + start
