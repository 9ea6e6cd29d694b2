"""How high effects rose elsewhere tells of pairs that were hardly ever seen."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from core.arrays import FloatArray
from core.domain import Role, Series, SeriesKind
from models.breach.cascade import CascadeModel
from models.breach.learn_cascades import BreachTimes, HourlyPeaks, learn_cascades

START_S = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
HOURS = 24 * 40
SPAN_S = 3_600.0 * HOURS
DISK = Series(
    tenant="t", service="a", metric="disk_used_bytes", unit="bytes", role=Role.CAPACITY, limit=100.0
)
ERRORS = Series(
    tenant="t",
    service="a",
    metric="error_ratio",
    unit="ratio",
    kind=SeriesKind.RATIO,
    role=Role.ERRORS,
    slo_threshold=0.02,
)
DAYS = np.arange(1, 9)
TIMES = START_S + 86_400.0 * DAYS.astype(np.float64)


def breached(at_s: FloatArray) -> BreachTimes:
    return BreachTimes(as_effect_s=at_s, as_cause_s=(at_s,))


def peaks_of(series: Series, peak: float, usual: float = 0.001) -> HourlyPeaks:
    """Eight days on which it peaked 20 minutes after noon by so much."""
    values = np.full(HOURS * 12, usual)
    for day in DAYS:
        values[day * 288 + 4 : day * 288 + 10] = peak
    seconds = START_S + 300.0 * np.arange(len(values), dtype=np.float64)
    found = HourlyPeaks.of(series, seconds, values, start_s=START_S, hours=HOURS)
    assert found is not None
    return found


@pytest.mark.parametrize("height", [0.02, 0.06, 0.07, 1 / 3])
def test_a_peak_exactly_on_the_threshold_is_a_breach(height: float) -> None:
    found = peaks_of(replace(ERRORS, slo_threshold=height), height)
    assert found.around(TIMES).min() >= found.threshold


def shares(threshold: float, *, once: bool) -> CascadeModel:
    """The model of a second service with this SLO, where the errors of another one rise to 0.06."""
    disk, errors = replace(DISK, service="b"), replace(ERRORS, service="b", slo_threshold=threshold)
    breaches = {DISK.series_id: breached(TIMES), ERRORS.series_id: breached(TIMES + 1_200.0)}
    if once:
        breaches[disk.series_id] = breached(TIMES[:1] + 43_200.0)
    known = {ERRORS.series_id: peaks_of(ERRORS, 0.06), errors.series_id: peaks_of(errors, 0.001)}
    return learn_cascades(breaches, (DISK, ERRORS, disk, errors), (), span_s=SPAN_S, peaks=known)


def share_of(known: CascadeModel, threshold: float) -> float:
    errors = replace(ERRORS, service="b", slo_threshold=threshold)
    return known.by_pair[replace(DISK, service="b").series_id, errors.series_id].share


def test_an_effect_is_expected_where_others_rose_above_its_threshold_and_not_where_they_stayed_below() -> (
    None
):
    assert share_of(shares(0.05, once=False), 0.05) > 0.8
    assert share_of(shares(0.5, once=False), 0.5) < 0.1


def test_its_own_breaches_count_too() -> None:
    """Its disk was full once and nothing followed."""
    assert 0.4 < share_of(shares(0.05, once=True), 0.05) < share_of(shares(0.05, once=False), 0.05)


def test_a_pair_that_never_breached_shows_the_counts_of_the_others() -> None:
    known = shares(0.05, once=False)
    pair = known.by_pair[replace(DISK, service="b").series_id, replace(ERRORS, service="b").series_id]
    assert (pair.followed, pair.cause_breaches, pair.own) == (8, 8, False)
    high = shares(0.5, once=False)
    pair = high.by_pair[
        replace(DISK, service="b").series_id,
        replace(ERRORS, service="b", slo_threshold=0.5).series_id,
    ]
    assert (pair.followed, pair.cause_breaches, pair.own) == (0, 8, False)


def test_its_own_breaches_are_shown_as_its_own() -> None:
    known = shares(0.05, once=True)
    errors = replace(ERRORS, service="b", slo_threshold=0.05)
    pair = known.by_pair[replace(DISK, service="b").series_id, errors.series_id]
    assert (pair.followed, pair.cause_breaches, pair.own) == (0, 1, True)


def test_breaches_that_could_not_be_predicted_do_not_count() -> None:
    """Every breach of the latency was followed, but those that crept were not."""
    slow = replace(
        ERRORS, metric="latency_seconds", kind=SeriesKind.GAUGE, role=Role.LATENCY, slo_threshold=0.5
    )
    crept, jumped = TIMES[:4] + 43_200.0, TIMES
    breaches = {
        slow.series_id: BreachTimes(
            as_effect_s=np.sort(np.concatenate([crept, jumped])), as_cause_s=(crept,)
        ),
        ERRORS.series_id: breached(jumped),
    }
    known = learn_cascades(breaches, (slow, ERRORS), (), span_s=SPAN_S)
    assert set(known.by_kind) == {(ERRORS.metric, slow.metric, False)}


def test_latencies_are_compared_by_what_is_usual_and_ratios_as_they_are() -> None:
    slow = replace(
        ERRORS, metric="latency_seconds", kind=SeriesKind.GAUGE, role=Role.LATENCY, slo_threshold=0.5
    )
    assert peaks_of(slow, 0.4, usual=0.1).threshold == pytest.approx(5.0)
    assert peaks_of(slow, 0.4, usual=0.1).around(TIMES).tolist() == pytest.approx([4.0] * 8)
    assert peaks_of(ERRORS, 0.06).threshold == pytest.approx(0.02)
    assert peaks_of(ERRORS, 0.06).around(TIMES).tolist() == pytest.approx([0.06] * 8)


def test_the_peaks_of_a_success_ratio_are_its_lows() -> None:
    success = replace(ERRORS, metric="success_ratio", slo_threshold=0.98)
    found = peaks_of(success, 0.9, usual=1.0)
    assert found.around(TIMES).tolist() == pytest.approx([-0.9] * 8)
    assert (found.around(TIMES) >= found.threshold).all()
    assert not (found.around(TIMES + 43_200.0) >= found.threshold).any()


def test_nothing_is_known_before_the_first_hour_and_after_the_last() -> None:
    around = peaks_of(ERRORS, 0.06).around(np.array([START_S - 86_400.0, START_S + SPAN_S + 86_400.0]))
    assert around.tolist() == [-np.inf, -np.inf]
    assert HourlyPeaks.of(replace(ERRORS, slo_threshold=None), TIMES, TIMES, start_s=START_S, hours=1) is None
