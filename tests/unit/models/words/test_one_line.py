from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.domain import Band, Breach, FailureRisk, Severity, Signal, SignalKind, TimeRange
from models.words.one_line import describe

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
WHEN = TimeRange(p10=NOW + timedelta(hours=3), p50=NOW + timedelta(minutes=250), p90=NOW + timedelta(hours=6))


def signal(kind: SignalKind, **rest: Any) -> Signal:
    fields: dict[str, Any] = {
        "signal_id": "s",
        "tenant": "t",
        "kind": kind,
        "service": "checkout",
        "started_at": NOW - timedelta(minutes=25),
        "summary": "as it was",
        "severity": Severity.WARNING,
    }
    return Signal(**fields | rest)


def breach(threshold: float = 1.0, when: TimeRange | None = WHEN) -> Breach:
    return Breach(threshold=threshold, probability=0.83, horizon_s=86_400, when=when)


@pytest.mark.parametrize(
    ("spoken", "text"),
    [
        (
            signal(SignalKind.BREACH, metric="disk_used_ratio", breach=breach()),
            "checkout: disk full in 4 h 10 min, between 3 h and 6 h",
        ),
        (
            signal(SignalKind.BREACH, metric="p99_latency", unit="seconds", breach=breach(0.5)),
            "checkout: p99_latency reaches 500 ms in 4 h 10 min, between 3 h and 6 h",
        ),
        (
            signal(SignalKind.BREACH, metric="p99_latency", unit="seconds", value=0.871, breach=breach(0.5)),
            f"checkout: p99_latency is over its threshold of 500 ms since {WHEN.p50:%Y-%m-%d %H:%M} UTC",
        ),
        (
            signal(SignalKind.BREACH, metric="disk_free_bytes", breach=breach(0.0)),
            "checkout: disk full in 4 h 10 min, between 3 h and 6 h",
        ),
        (
            signal(SignalKind.BREACH, metric="availability", unit="ratio", breach=breach(0.5)),
            "checkout: availability falls to 50 % in 4 h 10 min, between 3 h and 6 h",
        ),
        (
            signal(SignalKind.BREACH, metric="availability", unit="ratio", value=0.4, breach=breach(0.5)),
            f"checkout: availability is below its threshold of 50 % since {WHEN.p50:%Y-%m-%d %H:%M} UTC",
        ),
        (
            signal(
                SignalKind.BREACH, metric="coolant", value=9.0, breach=replace(breach(10.0), upward=False)
            ),
            f"checkout: coolant is below its threshold of 10 since {WHEN.p50:%Y-%m-%d %H:%M} UTC",
        ),
        (
            signal(
                SignalKind.BREACH, metric="coolant", value=11.0, breach=replace(breach(10.0), upward=False)
            ),
            "checkout: coolant falls to 10 in 4 h 10 min, between 3 h and 6 h",
        ),
        (
            signal(SignalKind.BREACH, metric="cert_days_left", breach=breach(14.0, when=None)),
            "checkout: cert_days_left falls to 14 within 1 d (probability 83%)",
        ),
        (
            signal(SignalKind.BREACH, metric="memory_used_bytes", breach=breach(when=None)),
            "checkout: memory used up within 1 d (probability 83%)",
        ),
        (
            signal(SignalKind.BREACH, metric="disk_used", breach=breach(), ended_at=NOW),
            "checkout: disk full no longer expected",
        ),
        (signal(SignalKind.BREACH, metric="disk_used"), "as it was"),
        (
            signal(
                SignalKind.FAILURE_RISK,
                risk=FailureRisk(
                    probability_by_horizon_s={3600: 0.2, 21_600: 0.82}, when=WHEN, likely_type="memory_leak"
                ),
            ),
            "checkout: memory leak in 4 h 10 min, between 3 h and 6 h (82% within 6 h)",
        ),
        (
            signal(
                SignalKind.FAILURE_RISK,
                risk=FailureRisk(probability_by_horizon_s={21_600: 0.82}, when=None, likely_type=None),
            ),
            "checkout: failure likely, 82% within 6 h",
        ),
        (
            signal(
                SignalKind.ANOMALY,
                metric="p99_latency",
                unit="seconds",
                value=0.812,
                band=Band(expected=0.2, lower=0.12, upper=0.34),
                deviation_sigma=-4.23,
            ),
            "checkout: p99_latency at 812 ms, expected 120 ms to 340 ms (4.2 times the usual variation), for 25 min",
        ),
        (signal(SignalKind.ANOMALY), "as it was"),
        (signal(SignalKind.MISSING, metric="cpu_usage"), "checkout: no values of cpu_usage for 25 min"),
        (
            signal(SignalKind.MISSING, ended_at=NOW - timedelta(minutes=5)),
            "checkout: no values of several metrics for 20 min, over",
        ),
    ],
)
def test_a_signal_is_said_in_one_line(spoken: Signal, text: str) -> None:
    assert describe(spoken, NOW) == text
