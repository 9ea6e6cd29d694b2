"""Receivers that are busy, broken, silent or unreachable for ten minutes, while signals begin, escalate and end."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from fakes.outage import FAULTS, OUTAGE, PATHS, Outage
from fakes.receiver import Receiver
from fakes.signals import NOON

from core.clock import SystemClock
from pipelines.sinks import posting
from pipelines.stores.session import Pool, open_pool
from pipelines.stores.store import Store

START = NOON + timedelta(hours=1)
BEFORE = START - timedelta(minutes=5)
#: The last run, in which at the latest all has arrived.
LAST = START + OUTAGE + timedelta(minutes=20)
SECONDS, MINUTES = timedelta(seconds=10), timedelta(minutes=5)


@dataclass
class SteppedClock:
    """A clock that the test sets."""

    moment: datetime

    def now(self) -> datetime:
        return self.moment


@pytest.mark.parametrize(
    ("fault", "every"),
    [
        *((fault, MINUTES) for fault in FAULTS),
        ("429 with seconds", SECONDS),
        pytest.param("503 without a time", SECONDS, marks=pytest.mark.soak),
    ],
    ids=lambda value: value if isinstance(value, str) else f"every {value.seconds} s",
)
def test_each_message_arrives_once_in_order_and_never_before_the_receiver_wants_it(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, fault: str, every: timedelta
) -> None:
    if fault.startswith("hangs"):
        monkeypatch.setattr(posting, "TIMEOUT_S", 0.05)
    clock = SteppedClock(BEFORE)
    with Receiver() as receiver:
        store = Store(pool, f"{fault} {every.seconds}".replace(" ", "_"))
        outage = Outage(store, receiver, FAULTS[fault], clock, START)
        outage.run()
        clock.moment = START
        while clock.moment < START + OUTAGE:
            posts = len(receiver.attempts)
            outage.run()
            assert len(receiver.attempts) - posts <= len(PATHS), (
                "a receiver that fails gets one post in a run"
            )
            clock.moment += every
        _check_status_during(outage)
        while clock.moment <= LAST:
            outage.run()
            clock.moment += MINUTES if clock.moment > START + OUTAGE + MINUTES / 2 else every
        _check_afterwards(outage)


def _check_status_during(outage: Outage) -> None:
    for sink, part in outage.status().items():
        assert part.problem is not None, sink
        since = outage.store.deliveries.sink_states()[sink].failing_since
        assert outage.start <= since < outage.start + outage.outage
        assert f"{sink} has failed since {since:%Y-%m-%d %H:%M} UTC" in part.problem
        assert f"signals wait for delivery to {sink}" in part.problem
        last = max(post.at for post in outage.receiver.attempts if post.path == PATHS[sink])
        left = last + timedelta(seconds=outage.fault.pause_s) - outage.clock.now()
        if abs(left) > timedelta(seconds=2):
            assert ("it wants no request before" in part.problem) is (left > timedelta(0))


def _check_afterwards(outage: Outage) -> None:
    outage.check_requests()
    outage.check_arrivals()
    for part in outage.status().values():
        assert (part.problem, part.state.split(" (")[0]) == (None, "all delivered")


@pytest.mark.soak
def test_it_is_so_in_real_time(dsn: str) -> None:
    """It takes 14 minutes; a run every 10 s for each misbehaviour at once."""
    outage = timedelta(seconds=float(os.environ.get("FOREWARN_SOAK_OUTAGE_S", OUTAGE.total_seconds())))

    def one(pool: Pool, number: int, fault: str) -> None:
        clock, checked = SystemClock(), False
        with Receiver() as receiver:
            start = clock.now() + timedelta(seconds=30)
            at = Outage(Store(pool, f"outage_{number}"), receiver, FAULTS[fault], clock, start, outage)
            while clock.now() < start + outage + timedelta(minutes=3):
                at.run()
                if at.lasts and not checked and clock.now() > start + outage / 2:
                    _check_status_during(at)
                    checked = True
                time.sleep(10)
            assert checked
            _check_afterwards(at)

    with open_pool(dsn, max_size=3 * len(FAULTS)) as pool, ThreadPoolExecutor(len(FAULTS)) as threads:
        jobs = {fault: threads.submit(one, pool, number, fault) for number, fault in enumerate(FAULTS)}
    failures = {fault: error for fault, job in jobs.items() if (error := job.exception()) is not None}
    assert not failures
