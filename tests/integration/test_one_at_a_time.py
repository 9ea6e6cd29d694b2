"""Two runs at once deliver each message once, and a killed owner frees its lock."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from fakes.platform import FakePager, FakeSink, platform_of
from fakes.signals import NOON, make_signal
from servers.commands import ROOT

from core.clock import FixedClock
from core.domain import Signal
from core.errors import BusyError, UnavailableError
from core.locks import delivery_lock
from pipelines.stores.session import Pool
from pipelines.stores.store import Store
from pipelines.watch.deliver import deliver

START = NOON + timedelta(hours=1)

OWNER = """
import sys, time
from pipelines.stores.session import open_pool
from pipelines.stores.store import Store
with open_pool(sys.argv[1]) as pool, Store(pool, sys.argv[2]).locks.hold(sys.argv[3]):
    print("held", flush=True)
    time.sleep(60)
"""


class SlowSink(FakeSink):
    """A machine that takes its time, so that two runs overlap."""

    def send(self, signals: list[Signal]) -> None:  # type: ignore[override]
        time.sleep(0.2)
        super().send(signals)


class SlowPager(FakePager):
    """A pager that takes its time."""

    def send(self, signals: list[Signal]) -> None:  # type: ignore[override]
        time.sleep(0.05)
        super().send(signals)


@contextmanager
def owner_process(dsn: str, tenant: str, lock: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, dsn, tenant, lock], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_two_concurrent_runs_send_each_message_once(store: Store, pool: Pool) -> None:
    sinks = (SlowSink(), SlowPager())
    platforms = [platform_of(Store(pool, store.tenant), FixedClock(START), sinks=sinks) for _ in range(2)]
    store.signals.upsert([make_signal(f"s{n}", service=f"svc{n}", tenant=store.tenant) for n in range(20)])
    with ThreadPoolExecutor(2) as threads:
        reports = list(threads.map(deliver, platforms))
    for sink in sinks:
        assert sorted(sink.ids) == sorted(f"s{n}" for n in range(20))
        assert sorted(report.delivered[sink.name] for report in reports) == [0, 20]
    assert all(report.errors == {} for report in reports), "the second run waited"


def test_a_run_that_does_not_want_to_wait_names_the_owner_and_sends_nothing(store: Store, dsn: str) -> None:
    sink = FakeSink("slack")
    platform = platform_of(store, FixedClock(START), sinks=(sink,))
    store.signals.upsert([make_signal(tenant=store.tenant)])
    with owner_process(dsn, store.tenant, delivery_lock("slack")) as process:
        report = deliver(platform, lock_wait_s=0)
        assert f"process {process.pid} holds the lock deliver/slack since 20" in report.errors["slack"]
        assert sink.ids == []
        (owner,) = store.locks.owners([delivery_lock("slack")])
        assert owner.owner.endswith(f"process {process.pid}")
        began = time.monotonic()
        with pytest.raises(BusyError), store.locks.hold(delivery_lock("slack"), wait_s=0.5):
            pass
        assert 0.4 < time.monotonic() - began < 5
        process.kill()
        with store.locks.hold(delivery_lock("slack"), wait_s=5):
            pass
    assert store.locks.owners([delivery_lock("slack")]) == []
    assert deliver(platform, lock_wait_s=0).delivered == {"slack": 1}


def test_an_owner_that_lost_its_connection_sends_no_more(store: Store, pool: Pool) -> None:
    with store.locks.hold("job") as lock:
        lock.check()
        with pool.connection() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            )
        with pytest.raises(UnavailableError, match="held the lock job"):
            lock.check()
    with store.locks.hold("job"):
        pass


def test_locks_of_other_jobs_and_tenants_are_independent(store: Store, pool: Pool) -> None:
    other = Store(pool, "another")
    with store.locks.hold("job"), store.locks.hold("other job"), other.locks.hold("job"):
        assert [one.name for one in store.locks.owners(["job", "other job", "third"])] == ["job", "other job"]
