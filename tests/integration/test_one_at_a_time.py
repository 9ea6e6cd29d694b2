"""Two runs at once deliver each message once, and a killed owner frees its lock."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from fakes.platform import FakePager, FakeSink, platform_of
from fakes.signals import NOON, make_signal
from servers.commands import ROOT

from core.alerts import Alert
from core.clock import FixedClock
from core.domain import Signal
from core.errors import BusyError, InsufficientDataError, NotFoundError, UnavailableError
from core.locks import delivery_lock
from flows.cli import _exit_code
from pipelines.common import one_at_a_time
from pipelines.common.tenant_platform import Platform
from pipelines.learn.baseline import build_baselines
from pipelines.learn.promote import promote
from pipelines.operate.status_of_work import locks as running_jobs
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

    def send(self, signals: Sequence[Signal]) -> None:
        time.sleep(0.2)
        super().send(signals)


class SlowPager(FakePager):
    """A pager that takes its time."""

    def send(self, alerts: Sequence[Alert]) -> None:
        time.sleep(0.05)
        super().send(alerts)


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


@pytest.mark.parametrize("job", [promote, build_baselines])
def test_a_job_that_another_process_does_is_refused_with_one_sentence_and_shown(
    store: Store, dsn: str, pool: Pool, monkeypatch: pytest.MonkeyPatch, job: Callable[[Platform], object]
) -> None:
    monkeypatch.setattr(one_at_a_time, "WAIT_S", 0.2)
    lock = {"promote": "promote", "build_baselines": "baselines"}[job.__name__]
    with owner_process(dsn, store.tenant, lock) as process:
        with pytest.raises(
            BusyError, match=rf"process {process.pid} holds the lock {lock} since .*run this again"
        ):
            job(platform_of(store))
        (shown,) = [part for part in running_jobs(platform_of(store)) if part.problem is None]
        assert (shown.name, shown.as_of is not None) == (f"running {lock}", True)
        assert f"process {process.pid}" in shown.state
        with pytest.raises(AssertionError, match=r"does not support resolve|there are no samples"):
            run_for_another_tenant(pool, job)


def run_for_another_tenant(pool: Pool, job: Callable[[Platform], object]) -> None:
    """The job begins; the platform has no models, and its store no samples."""
    try:
        job(platform_of(Store(pool, "another")))
    except InsufficientDataError as error:
        raise AssertionError(error) from error


def test_the_command_ends_with_its_own_exit_code() -> None:
    assert [_exit_code(error("x")) for error in (BusyError, NotFoundError, UnavailableError)] == [3, 2, 1]


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
