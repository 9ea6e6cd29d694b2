"""Detectors, alone and in a bundle, over the whole range of float64."""

import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import polars.testing
import pytest
from any_float import AWKWARD, courses, many_examples
from hypothesis import example, given
from hypothesis import strategies as st

from core.domain import Series
from core.frames import EXCLUSIONS, SAMPLES
from models.detect.bundle import DetectorBundle, DetectorOptions
from models.detect.catalog import detector_classes, make_detector
from models.detect.protocols import Reads

pytestmark = pytest.mark.many_examples

STEP_S = 3_600
START = datetime(2026, 1, 5, tzinfo=UTC)
HOURS = 24 * 10
SERIES = Series(tenant="t", service="s", metric="m", step_s=STEP_S)
#: The detectors whose fit takes a millisecond; the others grow trees or solve equations.
QUICK = ("zscore", "mad", "ewma", "holt_winters", "stream", "pca", "spectral_residual")


def samples(values: Any, start: datetime = START) -> pl.DataFrame:
    known = np.isfinite(values)
    times = [start + timedelta(seconds=STEP_S * int(at)) for at in np.flatnonzero(known)]
    rows = {"series_id": [SERIES.series_id] * len(times), "ts": times, "value": values[known]}
    return pl.DataFrame(rows, schema=dict(SAMPLES))


def fitted(values: Any, *detectors: str) -> DetectorBundle:
    return DetectorBundle.fit(
        samples(values),
        [SERIES],
        pl.DataFrame(schema=dict(EXCLUSIONS)),
        options=DetectorOptions(detectors=detectors),
    )


def scored(history: Any, values: Any, *detectors: str) -> pl.DataFrame:
    after = START + timedelta(seconds=STEP_S * len(history))
    return fitted(history, *detectors).score(samples(values, after))


def course(spread: float = 3.0, size: int = HOURS, seed: int = 3) -> Any:
    noise = np.random.default_rng(seed).normal(0.0, spread, size)
    return 100.0 + 40.0 * np.sin(2 * np.pi * np.arange(size) / 24) + noise


@pytest.mark.parametrize("name", detector_classes())
@given(data=st.data())
@many_examples(10)
def test_a_detector_reads_any_float(name: str, data: st.DataObject) -> None:
    examples = 20 if name in QUICK else 1
    for _ in range(examples):
        history, values = data.draw(courses(130, 140)), data.draw(courses(0, 20))
        detector = make_detector(name)
        if np.isfinite(history).sum() < max(detector.min_points, 2 * 64):
            continue
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Number of distinct clusters")
            fitted_detector = detector.fit(history)
        scores = fitted_detector.score(values)
        assert scores.shape == values.shape
        assert not np.isinf(scores).any()
        assert not np.isnan(scores[np.isfinite(values)]).any()
        after = fitted_detector.update(values).score(values)
        assert not np.isinf(after).any()


@given(history=courses(HOURS, HOURS), values=courses(1, 30), one=st.sampled_from(AWKWARD))
@example(history=course(), values=np.array([1.7e308, -1.7e308, 5e-324, -0.0]), one=1.7e308)
@example(history=np.full(HOURS, 1.7e308), values=np.array([-1.7e308, 1.7e308]), one=0.0)
@many_examples(50)
def test_a_bundle_scores_any_float(history: Any, values: Any, one: float) -> None:
    bundle = fitted(history)
    after = START + timedelta(seconds=STEP_S * HOURS)
    frame = bundle.score(samples(values, after))
    if SERIES.series_id not in bundle.models:
        return
    assert frame.height == np.isfinite(values).sum()
    for name in ("expected", "lower", "upper", "score", "p_value", "surprise", "deviation_sigma"):
        assert frame[name].is_finite().all(), name
    assert frame["score"].is_between(0.0, 1.0).all()
    assert frame["p_value"].is_between(0.0, 1.0).all()
    (point,) = bundle.score_points(SERIES.series_id, [after], [one])
    assert point.score is not None
    assert 0.0 <= point.score <= 1.0
    assert point.band is not None
    assert np.isfinite([point.band.lower, point.band.expected, point.band.upper]).all()
    again = DetectorBundle.from_files(bundle.to_files())
    assert again.score(samples(values, after)).equals(frame)


@pytest.mark.parametrize("exponent", [-1060, -900, -300, -40, 60, 300, 900, 1014])
def test_the_scale_of_a_series_does_not_matter(exponent: int) -> None:
    history, values = course(), course(size=24, seed=4)
    values[12] += 120.0
    plain = scored(history, values)
    with np.errstate(under="ignore"):
        other = scored(np.ldexp(history, exponent), np.ldexp(values, exponent))
    # A subnormal number has fewer digits.
    tolerance: dict[str, Any] = {"rel_tol": 1e-6} if exponent > -1000 else {"rel_tol": 0.05, "abs_tol": 0.05}
    columns = ["score", "p_value", "surprise", "deviation_sigma", "is_anomaly", *sorted(DEFAULTS)]
    pl.testing.assert_frame_equal(plain.select(columns), other.select(columns), **tolerance)
    assert other["is_anomaly"][12]


DEFAULTS = {"zscore", "mad", "ewma", "isolation_forest", "stream"}


@pytest.mark.parametrize(("factor", "offset"), [(1, 0), (1e18, 0), (1e-12, 0), (1, 1e9), (1, -1e4), (-1, 0)])
def test_the_same_spike_is_found_at_every_scale_and_offset(factor: float, offset: float) -> None:
    history, values = course(), course(size=24, seed=4)
    values[12:14] += 120.0
    found = scored(offset + factor * history, offset + factor * values)["is_anomaly"].to_numpy()
    assert found[12:14].all()
    assert not found[:12].any()


@pytest.mark.parametrize(("factor", "offset"), [(1, 0), (1e18, 0), (1e-12, 0), (1, 1e9), (1, -1e4), (-1, 0)])
def test_a_spike_in_the_last_day_of_the_history_is_found_at_every_scale_and_offset(
    factor: float, offset: float
) -> None:
    history = course(size=24 * 30)
    history[-4:-2] += 120.0
    values = offset + factor * history
    start = START + timedelta(seconds=STEP_S * (len(values) - 24))
    found = fitted(values).score(samples(values[-24:], start))["is_anomaly"].to_numpy()
    assert found[-4:-2].all()
    assert not found[:-4].any()


@pytest.mark.parametrize(
    ("usual", "then"),
    [
        (0.3, 0.1 + 0.2), (0.1 + 0.2, 0.3), (4.0, 4.0001), (5.0, 5.0000001), (0.0, -0.0), (0.0, 5e-324),
        (0.0, 0.1 + 0.2 - 0.3), (1e300, 1e300 * (1 + 1e-15)), (-4.0, -4.0001), (1e-300, 1.00001e-300),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "names", [(), ("pca", "holt_winters", "weighted_ensemble"), ("kmeans", "dbscan", "lof")]
)
def test_a_constant_may_change_by_nothing(usual: float, then: float, names: tuple[str, ...]) -> None:
    history = np.full(HOURS, usual)
    assert not scored(history, np.array([usual, then, then, usual]), *names)["is_anomaly"].any()
    if abs(then - usual) > 1e-12 * abs(usual):
        return
    # Rounding in the history is not a movement that teaches anything.
    history[::7] = then
    assert not scored(history, np.array([usual, then, then, usual]), *names)["is_anomaly"].any()


@pytest.mark.parametrize(
    ("usual", "then"),
    [(4.0, 8.0), (0.0, 1.0), (0.0, 1e-9), (0.3, 0.6), (1e300, 1.5e300), (1e-300, 3e-300), (-4.0, 4.0)],
)
def test_a_constant_that_changes_is_found(usual: float, then: float) -> None:
    found = scored(np.full(HOURS, usual), np.array([usual, then]))["is_anomaly"]
    assert found.to_list() == [False, True]


def test_detectors_of_values_get_ordinary_numbers() -> None:
    assert getattr(detector_classes()["stream"], "reads", None) is Reads.VALUES
    assert (
        scored(np.ldexp(course(), 1000), np.ldexp(course(size=24), 1000), "stream")["score"].is_finite().all()
    )
