"""The shape of an episode: what ends within minutes is a spike, unless it stays far away."""

import numpy as np
import pytest

from core.domain import Shape
from models.detect.episodes import name_shape

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
