"""How high effects rose elsewhere tells of pairs that were hardly ever seen."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from core.domain import Role, Series, SeriesKind
from models.breach.cascade import CascadeModel
from models.breach.learn_cascades import Breached, Heights, learn_cascades
from models.forecast.protocols import FloatArray

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


def breached(at_s: FloatArray) -> Breached:
    return Breached(came=at_s, foreseen=(at_s,))


def heights(series: Series, peak: float, usual: float = 0.001) -> Heights:
    """Eight days on which it peaked 20 minutes after noon by so much."""
    values = np.full(HOURS * 12, usual)
    for day in DAYS:
        values[day * 288 + 4 : day * 288 + 10] = peak
    seconds = START_S + 300.0 * np.arange(len(values), dtype=np.float64)
    found = Heights.of(series, seconds, values, start_s=START_S, hours=HOURS)
    assert found is not None
    return found


@pytest.mark.parametrize("height", [0.02, 0.06, 0.07, 1 / 3])
def test_what_rose_to_the_threshold_exactly_came_to_it(height: float) -> None:
    found = heights(replace(ERRORS, slo_threshold=height), height)
    assert found.around(TIMES).min() >= found.bar


def shares(bar: float, *, once: bool) -> CascadeModel:
    """What is known of a second service whose SLO lies at `bar`, where another's errors rise to 0.06."""
    disk, errors = replace(DISK, service="b"), replace(ERRORS, service="b", slo_threshold=bar)
    breaches = {DISK.series_id: breached(TIMES), ERRORS.series_id: breached(TIMES + 1_200.0)}
    if once:
        breaches[disk.series_id] = breached(TIMES[:1] + 43_200.0)
    known = {ERRORS.series_id: heights(ERRORS, 0.06), errors.series_id: heights(errors, 0.001)}
    return learn_cascades(breaches, (DISK, ERRORS, disk, errors), (), span_s=SPAN_S, heights=known)


def share_of(known: CascadeModel, bar: float) -> float:
    errors = replace(ERRORS, service="b", slo_threshold=bar)
    return known.by_pair[replace(DISK, service="b").series_id, errors.series_id].share


def test_an_effect_is_expected_where_others_rose_above_its_threshold_and_not_where_they_stayed_below() -> (
    None
):
    assert share_of(shares(0.05, once=False), 0.05) > 0.8
    assert share_of(shares(0.5, once=False), 0.5) < 0.1


def test_what_it_did_itself_counts_too() -> None:
    """Its disk was full once and nothing followed."""
    assert 0.4 < share_of(shares(0.05, once=True), 0.05) < share_of(shares(0.05, once=False), 0.05)


def test_a_pair_that_never_breached_is_told_of_by_the_evidence_of_the_others() -> None:
    known = shares(0.05, once=False)
    pair = known.by_pair[replace(DISK, service="b").series_id, replace(ERRORS, service="b").series_id]
    assert (pair.followed, pair.causes, pair.own) == (8, 8, False)
    high = shares(0.5, once=False)
    pair = high.by_pair[
        replace(DISK, service="b").series_id,
        replace(ERRORS, service="b", slo_threshold=0.5).series_id,
    ]
    assert (pair.followed, pair.causes, pair.own) == (0, 8, False)


def test_what_it_did_itself_is_told_as_its_own() -> None:
    known = shares(0.05, once=True)
    errors = replace(ERRORS, service="b", slo_threshold=0.05)
    pair = known.by_pair[replace(DISK, service="b").series_id, errors.series_id]
    assert (pair.followed, pair.causes, pair.own) == (0, 1, True)


def test_what_could_not_be_foreseen_teaches_nothing_of_what_is() -> None:
    """Every breach of the latency was followed, but those that crept were not."""
    slow = replace(
        ERRORS, metric="latency_seconds", kind=SeriesKind.GAUGE, role=Role.LATENCY, slo_threshold=0.5
    )
    crept, jumped = TIMES[:4] + 43_200.0, TIMES
    breaches = {
        slow.series_id: Breached(came=np.sort(np.concatenate([crept, jumped])), foreseen=(crept,)),
        ERRORS.series_id: breached(jumped),
    }
    known = learn_cascades(breaches, (slow, ERRORS), (), span_s=SPAN_S)
    assert set(known.by_kind) == {(ERRORS.metric, slow.metric, False)}


def test_latencies_are_compared_by_what_is_usual_and_ratios_as_they_are() -> None:
    slow = replace(
        ERRORS, metric="latency_seconds", kind=SeriesKind.GAUGE, role=Role.LATENCY, slo_threshold=0.5
    )
    assert heights(slow, 0.4, usual=0.1).bar == pytest.approx(5.0)
    assert heights(slow, 0.4, usual=0.1).around(TIMES).tolist() == pytest.approx([4.0] * 8)
    assert heights(ERRORS, 0.06).bar == pytest.approx(0.02)
    assert heights(ERRORS, 0.06).around(TIMES).tolist() == pytest.approx([0.06] * 8)


def test_what_is_better_high_rises_downwards() -> None:
    success = replace(ERRORS, metric="success_ratio", slo_threshold=0.98)
    found = heights(success, 0.9, usual=1.0)
    assert found.around(TIMES).tolist() == pytest.approx([-0.9] * 8)
    assert (found.around(TIMES) >= found.bar).all()
    assert not (found.around(TIMES + 43_200.0) >= found.bar).any()


def test_nothing_is_known_before_the_first_hour_and_after_the_last() -> None:
    around = heights(ERRORS, 0.06).around(np.array([START_S - 86_400.0, START_S + SPAN_S + 86_400.0]))
    assert around.tolist() == [-np.inf, -np.inf]
    assert Heights.of(replace(ERRORS, slo_threshold=None), TIMES, TIMES, start_s=START_S, hours=1) is None
