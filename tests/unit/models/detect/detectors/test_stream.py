"""The default for one metric: seasons, shifts, and the properties that hold for every course."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.detect.detectors.stream import EVIDENCE, EXPECTED, SURPRISE, Stream, once

STEP_S = 300


def course(days: float, seed: int = 1) -> np.ndarray:
    n = int(days * 288)
    return 50 + 10 * np.sin(2 * np.pi * np.arange(n) / 288) + np.random.default_rng(seed).normal(0, 1, n)


def run(values: np.ndarray) -> np.ndarray:
    return Stream(STEP_S).fresh().run(STEP_S * np.arange(values.size, dtype=np.int64), values)[0]


def test_it_expects_the_hour_of_the_day() -> None:
    out = run(course(10))[-288:]
    truth = 50 + 10 * np.sin(2 * np.pi * np.arange(288) / 288)
    assert np.abs(out[:, EXPECTED] - truth).mean() < 1.0


def test_a_spike_a_dip_and_a_value_at_the_wrong_hour_stand_out() -> None:
    for at, value in [(2600, 80.0), (2600, 20.0), (2880 - 72, 58.0)]:
        values = course(10)
        values[at] = value
        evidence = run(values)[:, EVIDENCE]
        assert evidence[at] >= np.quantile(evidence[1000:], 0.999)


def test_a_lasting_shift_becomes_normal() -> None:
    values = course(12)
    values[5 * 288 :] += 30
    surprise = run(values)[:, SURPRISE]
    assert surprise[5 * 288] > 2.5
    assert np.median(surprise[8 * 288 :]) < 1.0


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_on_quiet_data_p_below_alpha_happens_alpha_of_the_time(alpha: float) -> None:
    shares = [np.mean(run(course(20, seed))[4000:, SURPRISE] >= -np.log10(alpha)) for seed in range(10)]
    assert np.mean(shares) == pytest.approx(alpha, rel=0.6)


@settings(max_examples=20)
@given(scale=st.sampled_from([2.0**-8, 0.25, 4.0, 2.0**10]), seed=st.integers(0, 5))
def test_the_unit_of_the_values_does_not_matter(scale: float, seed: int) -> None:
    values = course(4, seed)
    np.testing.assert_allclose(run(values * scale)[:, EVIDENCE], run(values)[:, EVIDENCE], atol=1e-6)


@settings(max_examples=20)
@given(cut=st.integers(10, 1000), seed=st.integers(0, 5), junk=st.floats(-1e6, 1e6))
def test_the_future_never_changes_a_past_score(cut: int, seed: int, junk: float) -> None:
    values = course(4, seed)
    before = run(values)[:cut]
    values[cut:] = junk
    np.testing.assert_array_equal(before, run(values)[:cut])


def test_a_stream_cut_in_two_scores_as_one() -> None:
    values = course(4)
    fitted = Stream(STEP_S).fit(values[:500])
    whole = Stream(STEP_S).fresh().score(values)
    np.testing.assert_array_equal(fitted.score(values[500:]), whole[500:])


def test_a_series_that_begins_constant_recovers_its_spread() -> None:
    values = course(10)
    values[:500] = 0.0
    values[2500] = 90.0
    evidence = run(values)[:, EVIDENCE]
    assert evidence[2500] >= np.quantile(evidence[1500:], 0.999)


def test_one_incident_is_one_alarm() -> None:
    evidence = np.array([0.1, 5.0, 4.9, 4.0, 6.0, 1.0, np.nan])
    held, heard = once(evidence, 0.0, 3.0, 0.01)
    np.testing.assert_allclose(held[:6], [0.1, 5.0, 3.038, 3.02, 6.0, 1.0])
    assert np.isnan(held[6])
    assert heard == pytest.approx(5.98)


def test_scores_are_those_of_the_last_release() -> None:
    golden = [8.3740, 2.8346, 1.7991]
    values = course(6, seed=3)
    values[[1500, 1600]] = [75.0, 40.0]
    out = run(values)[:, EVIDENCE]
    np.testing.assert_allclose([out[1500], out[1600], np.quantile(out[600:], 0.99)], golden, atol=1e-3)
