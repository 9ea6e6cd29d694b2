"""The interval of watch cycles, from which alerts take how long they hold."""

from datetime import UTC, datetime, timedelta

import pytest

from core.watch_cycles import WatchCycle
from pipelines.watch.sink_delivery import cycle_interval

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Cycles:
    """Cycles that began so many minutes before now (`core.watch_cycles.WatchCycleRepository`)."""

    def __init__(self, *minutes: float) -> None:
        self._at = sorted(NOW - timedelta(minutes=before) for before in minutes)

    def add(self, cycle: WatchCycle) -> None:
        raise NotImplementedError

    def since(self, at: datetime) -> list[WatchCycle]:
        return [WatchCycle(at=one, step_seconds={"deliveries": 1.0}) for one in self._at if one >= at]


@pytest.mark.parametrize(
    ("before", "minutes"),
    [
        ([], 5),
        ([5, 10], 5),
        ([3, 60], 5),
        ([60, 120, 180], 60),
        ([480, 540], 60),
        ([10, 20, 30], 10),
        ([0, 60, 120], 60),
        ([2_000], 5),
    ],
    ids=["the first cycle", "every five minutes", "one by hand", "every hour", "after an outage", "late ones",
         "the same one again", "days ago"],
)  # fmt: skip
def test_the_interval_of_cycles(before: list[float], minutes: float) -> None:
    assert cycle_interval(Cycles(*before), NOW) == timedelta(minutes=minutes)
