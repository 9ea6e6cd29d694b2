"""The interval of watch cycles, from which alerts take how long they hold."""

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.watch.alert_history import cycle_interval

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "minutes"),
    [
        ([], 5),
        ([5, 10], 5),
        ([3, 60], 5),
        ([60, 120, 180], 60),
        ([480, 540], 60),
        ([10, 20, 30], 10),
    ],
    ids=["the first cycle", "every five minutes", "one by hand", "every hour", "after an outage", "late ones"],
)  # fmt: skip
def test_the_interval_of_cycles(before: list[float], minutes: float) -> None:
    begun = sorted(NOW - timedelta(minutes=one) for one in before)
    assert cycle_interval(begun, NOW) == timedelta(minutes=minutes)
