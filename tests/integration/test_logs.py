"""Logs in a real database: lines per second of each service, by level."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.otlp_logs import logs, record, resource_logs
from fakes.platform import platform_of
from fakes.remote_write import T0
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs

from core.clock import FixedClock
from core.domain import Direction, Role
from core.service_names import ServiceRule
from pipelines.collect.steps import LATENESS
from pipelines.collect.store_logs import StoredLogs, store_logs, summarise_logs
from pipelines.common.tenant_platform import Platform
from pipelines.sources.otlp_logs import read_logs
from pipelines.sources.otlp_messages import Protobuf
from pipelines.stores.store import Store

ERROR, INFO = 17, 9
OTHER = resource_logs(record("x", 70, severity=INFO), resource={"service.name": "other"})


@pytest.fixture
def platform(store: Store) -> Platform:
    return platform_of(store, FixedClock(T0 + timedelta(seconds=90)))


def write(platform: Platform, *parts: LogRecord | ResourceLogs) -> StoredLogs:
    return store_logs(platform, read_logs(logs(*parts).SerializeToString(), Protobuf(), ServiceRule()))


def summarised(platform: Platform, after_s: float = 600.0) -> dict[str, dict[float, float]]:
    """Service and level -> seconds after `T0` -> lines per minute."""
    summarise_logs(replace(platform, clock=FixedClock(T0 + timedelta(seconds=after_s))))
    names = {one.series_id: f"{one.service} {one.labels['level']}" for one in platform.store.series.find()}
    found: dict[str, dict[float, float]] = {name: {} for name in names.values()}
    for series_id, ts, value in platform.store.samples.read(T0, T0 + timedelta(days=1)).iter_rows():
        found[names[series_id]][(ts - T0).total_seconds()] = round(60 * value, 6)
    return found


def test_each_level_of_a_service_has_lines_per_second(platform: Platform, store: Store) -> None:
    write(
        platform, *[record("x", n, severity=INFO) for n in range(30)], record("y", 5, severity=ERROR), OTHER
    )
    # a level has 0 where others log something
    assert summarised(platform) == {
        "shop info": {60.0: 30.0, 120.0: 0.0},
        "shop error": {60.0: 1.0, 120.0: 0.0},
        "other info": {60.0: 0.0, 120.0: 1.0},
    }
    series = {one.labels["level"]: one for one in store.series.find(service="shop")}
    errors, info = series["error"], series["info"]
    assert (errors.metric, errors.role, errors.direction) == (
        "log_lines_per_second",
        Role.ERRORS,
        Direction.UP_IS_BAD,
    )
    assert (info.role, info.unit, info.step_s) == (Role.SATURATION, "lines/s", 60)


def test_order_repeated_requests_and_several_processes_change_nothing(platform: Platform) -> None:
    requests = [[record(f"{n} {i}", n, severity=INFO) for i in range(5)] for n in range(20)]
    with ThreadPoolExecutor(4) as pool:
        stored = list(pool.map(lambda request: write(platform, *request), [*requests[::-1], *requests]))
    assert sum(one.is_repeated for one in stored) == 20
    assert summarised(platform) == {"shop info": {60.0: 100.0}}


def test_a_step_waits_for_late_lines_and_later_ones_are_rejected(platform: Platform, store: Store) -> None:
    write(platform, record("x", 10, severity=INFO))
    waits = 60 + LATENESS.total_seconds()
    assert summarised(platform, waits - 1) == {}
    assert summarised(platform, waits) == {"shop info": {60.0: 1.0}}
    late = write(platform, record("password=hunter2", 20), record("y", 70, severity=INFO))
    assert (late.rejected, "too late to be counted" in (late.first_rejected or "")) == (1, True)
    (letter,) = store.dead_letters.list()
    assert (letter.source, "hunter2" in letter.row) == ("logs", False)
    assert summarised(platform) == {"shop info": {60.0: 1.0, 120.0: 1.0}}
