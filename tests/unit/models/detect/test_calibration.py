"""p-values mean what they say."""

import numpy as np
import pytest

from core.errors import InsufficientDataError
from models.detect.calibration import calibrate, score_of


@pytest.mark.parametrize("alpha", [0.1, 0.01, 0.001])
def test_p_below_alpha_happens_alpha_of_the_time(alpha: float) -> None:
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(50):
        calibration = calibrate(rng.exponential(size=4000))
        shares.append(np.mean(calibration.p_value(rng.exponential(size=4000)) <= alpha))
    assert np.mean(shares) == pytest.approx(alpha, rel=0.15)


def test_the_tail_goes_on_beyond_what_was_seen() -> None:
    calibration = calibrate(np.abs(np.random.default_rng(2).normal(size=5000)))
    p = calibration.p_value(np.array([5.0, 10.0, 20.0]))
    assert p[0] > p[1] > p[2] > 0
    assert np.isnan(calibration.p_value(np.array([np.nan]))[0])


def test_a_constant_history_calls_the_same_value_usual() -> None:
    calibration = calibrate(np.zeros(500))
    assert calibration.p_value(np.array([0.0]))[0] == 1.0
    assert calibration.p_value(np.array([1.0]))[0] < 1e-3


def test_scores_are_between_0_and_1() -> None:
    np.testing.assert_allclose(score_of(np.array([0.0, 4.0])), [0.0, 0.5])
    assert score_of(np.array([300.0]))[0] < 1.0


def test_too_few_scores_are_refused() -> None:
    with pytest.raises(InsufficientDataError):
        calibrate(np.arange(5, dtype=np.float64))
