"""Traffic and teeth are taken out of a level; a rise stays in it."""

import numpy as np
import polars as pl
import pytest

from features.calm import LEFT_OUT_H, PER_DAY, teeth, without_traffic
from features.feature import PER_H

STEPS = 9 * PER_DAY
TIME_H = np.arange(STEPS) / PER_H


def made(expression: pl.Expr, **columns: np.ndarray) -> np.ndarray:
    return pl.DataFrame(columns).select(made=expression).get_column("made").to_numpy()


@pytest.fixture(scope="module")
def rotation() -> np.ndarray:
    """A disk that fills by 0.1 in about 12 h and is emptied, 0.4 at the bottom."""
    rng = np.random.default_rng(1)
    ends = (12 * rng.uniform(0.9, 1.1, 40)).cumsum()
    began = np.concatenate([[0.0], ends])
    place = np.searchsorted(ends, TIME_H, side="right")
    share = (TIME_H - began[place]) / (ends[place] - began[place])
    made: np.ndarray = 0.4 + 0.1 * share + rng.normal(0, 0.0005, STEPS)
    return made


def test_what_traffic_explains_is_taken_out() -> None:
    rng = np.random.default_rng(2)
    traffic = 1 + 0.5 * np.cos(2 * np.pi * TIME_H / 24) + rng.normal(0, 0.05, STEPS)
    level = 0.2 + 0.3 * traffic + rng.normal(0, 0.005, STEPS)
    late = slice(6 * PER_DAY, None)
    calm = made(without_traffic(pl.col("level"), pl.col("traffic")), level=level, traffic=traffic)
    assert calm[late].std() < 0.1 * level[late].std()
    assert calm[late].mean() == pytest.approx(0.5, abs=0.02)


def test_a_rise_is_not_explained_by_traffic() -> None:
    rng = np.random.default_rng(3)
    traffic = 1 + 0.5 * np.cos(2 * np.pi * TIME_H / 24)
    rise = np.clip(TIME_H - TIME_H[-1] + 8, 0, None) / 20
    level = 0.2 + 0.2 * traffic + rise + rng.normal(0, 0.005, STEPS)
    calm = made(without_traffic(pl.col("level"), pl.col("traffic")), level=level, traffic=traffic)
    assert LEFT_OUT_H >= 8
    assert calm[-1] - calm[-8 * PER_H] == pytest.approx(rise[-1], abs=0.03)


def test_without_traffic_the_level_stays_as_it_is() -> None:
    level = np.linspace(0.1, 0.9, STEPS)
    none = np.full(STEPS, np.nan)
    calm = made(without_traffic(pl.col("level"), pl.col("traffic").fill_nan(None)), level=level, traffic=none)
    assert calm == pytest.approx(level)


def test_teeth_are_taken_out(rotation: np.ndarray) -> None:
    late = slice(5 * PER_DAY, None)
    bare = (rotation - made(teeth(pl.col("level"), PER_H).struct.field("now"), level=rotation))[late]
    assert np.median(np.abs(bare - 0.4)) < 0.006
    assert bare.std() < 0.5 * rotation[late].std()


def test_a_tooth_ahead_is_where_it_will_be(rotation: np.ndarray) -> None:
    late = slice(5 * PER_DAY, -3 * PER_H)
    ahead = made(teeth(pl.col("level"), 3 * PER_H).struct.field("ahead"), level=rotation)[late]
    then = rotation[3 * PER_H :][5 * PER_DAY :] - 0.4
    assert np.median(np.abs(ahead - then)) < 0.01


def test_a_rise_over_teeth_stays(rotation: np.ndarray) -> None:
    rise = np.clip(TIME_H - TIME_H[-1] + 10, 0, None) / 25
    level = rotation + rise
    bare = level - made(teeth(pl.col("level"), PER_H).struct.field("now"), level=level)
    assert bare[-PER_H:].mean() - bare[-11 * PER_H : -10 * PER_H].mean() == pytest.approx(rise[-1], abs=0.05)


@pytest.mark.parametrize("drops", [[], [500], [300, 700, 2400]])
def test_a_level_without_regular_drops_has_no_teeth(drops: list[int]) -> None:
    level = 0.5 + np.random.default_rng(4).normal(0, 0.004, STEPS)
    for at in drops:
        level[at:] -= 0.05
    assert not made(teeth(pl.col("level"), PER_H).struct.field("now"), level=level).any()
