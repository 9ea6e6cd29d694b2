"""A signal as a page: what a person asks of it, in words and units, and nothing that it does not have."""

from datetime import timedelta

from fakes.signals import NOON, make_signal

from core.domain import (
    Band,
    Breach,
    DetectorResult,
    Factor,
    FailureRisk,
    FilterResult,
    ModelRef,
    SignalKind,
    TimeRange,
)
from models.words.page import signal_page

GIB = 2.0**30
WHEN = TimeRange(p10=NOON + timedelta(hours=3), p50=NOON + timedelta(hours=4), p90=NOON + timedelta(hours=6))


def test_the_page_of_a_breach_says_what_when_and_why() -> None:
    breach = Breach(
        threshold=98 * GIB,
        probability=0.8,
        horizon_s=86_400,
        when=WHEN,
        probability_by_horizon_s={10_800: 0.1, 21_600: 0.75},
    )
    signal = make_signal(
        kind=SignalKind.BREACH,
        metric="disk_used_bytes",
        unit="bytes",
        labels={"mount": "/data"},
        value=80 * GIB,
        band=Band(expected=GIB, lower=0.5 * GIB, upper=2 * GIB),
        score=0.8,
        breach=breach,
        filters=(FilterResult(name="slo_impact", passed=True, reason="past the threshold"),),
        detectors=(
            DetectorResult(detector="mad", score=0.9, p_value=1e-9),
            DetectorResult(detector="stream", score=None, p_value=None),
        ),
        model=ModelRef(name="acme.forecaster", version=3, run_id="4f2a"),
        links={"runbook": "https://runbooks.example/disk"},
    )
    assert signal_page(signal) == {
        "what": ("warning breach",),
        "where": ("checkout/disk_used_bytes{mount=/data}",),
        "since": ("2026-03-02 12:00 UTC, open",),
        "value": ("80 GiB",),
        "expected": ("1 GiB, 95% between 512 MiB and 2 GiB",),
        "score": ("0.80",),
        "passes": ("98 GiB: 10% within 3 h, 75% within 6 h, 80% within 1 d",),
        "when": ("2026-03-02 16:00 UTC, 80% between 2026-03-02 15:00 UTC and 2026-03-02 18:00 UTC",),
        "why": ("by acme.forecaster version 3, run 4f2a",),
        "filters": ("slo impact passed: past the threshold",),
        "detectors": ("mad 0.90, p = 1e-09", "stream could not score"),
        "runbook": ("https://runbooks.example/disk",),
        "id": ("s1",),
    }


def test_what_a_signal_does_not_have_is_left_out() -> None:
    risk = FailureRisk(
        probability_by_horizon_s={3_600: 0.01, 21_600: 0.6}, when=WHEN, likely_type="disk_full"
    )
    signal = make_signal(
        kind=SignalKind.FAILURE_RISK, metric=None, ended_at=NOON + timedelta(hours=1), risk=risk
    )
    assert signal_page(signal) == {
        "what": ("warning failure risk",),
        "where": ("checkout",),
        "since": ("2026-03-02 12:00 UTC, until 2026-03-02 13:00 UTC",),
        "fails": ("1% within 1 h, 60% within 6 h, likely disk full",),
        "when": ("2026-03-02 16:00 UTC, 80% between 2026-03-02 15:00 UTC and 2026-03-02 18:00 UTC",),
        "id": ("s1",),
    }


def test_the_page_of_a_series_over_its_threshold_shows_when_it_crossed() -> None:
    crossed = TimeRange(p10=NOON, p50=NOON, p90=NOON)
    breach = Breach(threshold=0.5, probability=1.0, horizon_s=86_400, when=crossed)
    signal = make_signal(
        kind=SignalKind.BREACH, metric="p99_latency", unit="seconds", value=0.871, breach=breach
    )
    page = signal_page(signal)
    assert page["threshold"] == ("500 ms, crossed at 2026-03-02 12:00 UTC",)
    assert "when" not in page
    assert "passes" not in page


def test_the_reasons_are_observations() -> None:
    factors = (
        Factor(name="memory_slope_6h", value=0.02, contribution=0.6, text="memory grows"),
        Factor(name="other", value=None, contribution=0.9, text="the rest"),
        Factor(name="base rate", value=None, contribution=-4.0, text="the start"),
    )
    risk = FailureRisk(probability_by_horizon_s={21_600: 0.6}, when=None, likely_type=None, factors=factors)
    signal = make_signal(kind=SignalKind.FAILURE_RISK, metric=None, risk=risk)
    assert signal_page(signal)["why"] == ("memory grows",)
