"""Which replicas differ from their peers: properties of the comparison, and known situations."""

from collections.abc import Callable

import numpy as np
import pytest

from core.arrays import FloatArray
from core.domain import Direction
from models.peers.comparison import Comparison, compare, others_median, outlier_episodes

STEPS, DAYS, REPLICAS = 24, 3, 6
LEAST = 0.05
MIRRORED = {
    Direction.UP_IS_BAD: Direction.DOWN_IS_BAD,
    Direction.DOWN_IS_BAD: Direction.UP_IS_BAD,
    Direction.BOTH: Direction.BOTH,
}


def usual(replicas: int = REPLICAS, seed: int = 1, noise: float = 0.05) -> tuple[FloatArray, FloatArray]:
    """Replicas without an outlier: the last two hours, and the days before."""
    rng = np.random.default_rng(seed)
    return (
        1 + noise * rng.normal(size=(replicas, STEPS)),
        1 + noise * rng.normal(size=(replicas, 24 * DAYS)),
    )


def with_outlier(factor: float = 4.0, since: int = 18) -> tuple[FloatArray, FloatArray]:
    recent, past = usual()
    recent[2, since:] *= factor
    return recent, past


def compared(
    recent: FloatArray, past: FloatArray, direction: Direction = Direction.BOTH, least: float = LEAST
) -> Comparison:
    return compare(recent, past, least=least, direction=direction)


def outliers(strength: FloatArray) -> list[int]:
    """The replicas with an open episode."""
    return [row for row, own in enumerate(strength) if any(one.is_open for one in outlier_episodes(own))]


def test_the_median_of_the_others_is_that_of_a_naive_loop() -> None:
    rng = np.random.default_rng(3)
    for replicas in range(1, 8):
        values = rng.integers(0, 4, size=(replicas, 30)).astype(np.float64)
        values[rng.random(values.shape) < 0.2] = np.nan
        found = others_median(values)
        for row, column in np.ndindex(values.shape):
            others = np.delete(values[:, column], row)
            others = others[~np.isnan(others)]
            missing = np.isnan(values[row, column]) or not len(others)
            assert found[row, column] == pytest.approx(np.nan if missing else np.median(others), nan_ok=True)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_replicas_does_not_matter(seed: int) -> None:
    recent, past = with_outlier()
    order = np.random.default_rng(seed).permutation(REPLICAS)
    mixed = compared(recent[order], past[order]).strength
    np.testing.assert_array_equal(mixed, compared(recent, past).strength[order])


@pytest.mark.parametrize("factor", [1e-9, 0.37, 1e12])
def test_another_unit_gives_the_same_outliers(factor: float) -> None:
    recent, past = with_outlier()
    scaled = compared(recent * factor, past * factor, least=LEAST * factor).strength
    np.testing.assert_allclose(scaled, compared(recent, past).strength, rtol=1e-9)


@pytest.mark.parametrize("direction", list(Direction))
def test_mirrored_values_and_direction_give_mirrored_strengths(direction: Direction) -> None:
    recent, past = with_outlier()
    mirrored = compared(-recent, -past, MIRRORED[direction]).strength
    np.testing.assert_allclose(mirrored, -compared(recent, past, direction).strength, rtol=1e-12)


@pytest.mark.parametrize("factor", [4.0, 0.0])
@pytest.mark.parametrize("replicas", [4, 5, 12, 50])
def test_one_outlier_is_found_within_three_steps_and_only_that_one(replicas: int, factor: float) -> None:
    recent, past = usual(replicas)
    recent[2, -3:] *= factor
    assert outliers(compared(recent, past).strength) == [2]


def test_the_good_side_is_no_finding() -> None:
    strength = compared(*with_outlier(factor=0.1), Direction.UP_IS_BAD).strength
    assert outliers(strength) == []


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 1e300])
def test_equal_constants_have_no_outlier(value: float) -> None:
    strength = compared(np.full((5, STEPS), value), np.full((5, 24 * DAYS), value)).strength
    assert not strength.any()


def test_one_that_differs_among_equal_constants_is_found() -> None:
    recent = np.zeros((5, STEPS))
    recent[3, -4:] = 0.2
    assert outliers(compared(recent, np.zeros((5, 24 * DAYS))).strength) == [3]


def test_a_difference_that_nobody_cares_about_is_none() -> None:
    recent = np.zeros((5, STEPS))
    recent[3] = 0.9 * LEAST
    assert outliers(compared(recent, np.zeros((5, 24 * DAYS))).strength) == []


def test_three_replicas_are_not_compared() -> None:
    recent, past = usual(3)
    recent[1] *= 100
    assert np.isnan(compared(recent, past).strength).all()


def test_missing_values_are_no_outliers_and_hide_none() -> None:
    recent, past = with_outlier()
    recent[4] = np.nan
    recent[0, ::3] = np.nan
    past[1] = np.nan
    strength = compared(recent, past).strength
    assert np.isnan(strength[4]).all()
    assert outliers(strength) == [2]


@pytest.mark.parametrize("replicas", [1, 6])
def test_a_group_without_values_or_past_has_no_outlier(replicas: int) -> None:
    strength = compared(np.full((replicas, STEPS), np.nan), np.full((replicas, 24 * DAYS), np.nan)).strength
    assert np.isnan(strength).all()


def _always_different(recent: FloatArray, past: FloatArray) -> None:
    recent[2] *= 3
    past[2] *= 3


def _different_at_this_hour(recent: FloatArray, past: FloatArray) -> None:
    recent[2, 12:] *= 4
    past.reshape(REPLICAS, DAYS, 24)[2, :, 1] *= 4


def _two_halves(recent: FloatArray, past: FloatArray) -> None:
    recent[:3, 12:] *= 4


def _everything_rises(recent: FloatArray, past: FloatArray) -> None:
    recent[:, 12:] *= 10


def _a_moment(recent: FloatArray, past: FloatArray) -> None:
    recent[2, -2:-1] *= 10


@pytest.mark.parametrize(
    "change", [_always_different, _different_at_this_hour, _two_halves, _everything_rises, _a_moment]
)
def test_what_is_usual_or_common_or_brief_is_no_finding(
    change: Callable[[FloatArray, FloatArray], None],
) -> None:
    recent, past = usual()
    change(recent, past)
    assert outliers(compared(recent, past).strength) == []


@pytest.mark.parametrize("silent", range(REPLICAS))
def test_among_unequal_replicas_only_the_one_that_changed_is_found(silent: int) -> None:
    recent, past = usual()
    shares = np.arange(1.0, REPLICAS + 1)[:, None]
    recent, past = recent * shares, past * shares
    recent[silent, -4:] = 0.0
    assert outliers(compared(recent, past).strength) == [silent]


def test_a_new_replica_is_compared_after_half_an_hour_and_with_wider_bounds() -> None:
    recent, past = usual()
    past[2] = np.nan
    recent[2, :-5] = np.nan
    recent[2, -5:] *= 10
    assert outliers(compared(recent, past).strength) == []
    recent[2] = 1.8
    assert outliers(compared(recent, past).strength) == []
    recent[2] = 2.2
    assert outliers(compared(recent, past).strength) == [2]


def test_a_canary_that_gets_less_traffic_from_its_start_is_no_finding() -> None:
    recent, past = usual()
    past[2] = np.nan
    recent[2] *= 0.05
    strength = compare(recent, past, least=LEAST, direction=Direction.BOTH, needs_past=True).strength
    assert outliers(strength) == []


def test_an_episode_ends_when_the_replica_is_like_its_peers_or_has_gone() -> None:
    for back in (1.0, np.nan):
        recent, past = with_outlier(since=8)
        recent[2, 16:] = back
        (episode,) = outlier_episodes(compared(recent, past).strength[2])
        assert (episode.first, episode.last, episode.side, episode.is_open) == (8, 15, 1, False)


def test_one_moment_back_does_not_end_an_episode() -> None:
    strength = np.array([0, 1.5, 1.5, 1.5, 0.0, 0.8, 0.9, 0.0, 1.5])
    (episode,) = outlier_episodes(strength)
    assert (episode.first, episode.last, episode.is_open) == (1, 8, True)
