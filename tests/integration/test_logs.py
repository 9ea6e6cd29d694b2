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
from core.domain import Direction, Role, Severity
from core.service_names import ServiceRule
from models.words.one_line import describe
from pipelines.collect.log_templates import MAX_TEMPLATES
from pipelines.collect.log_templates import OTHER as OTHER_LINES
from pipelines.collect.steps import LATENESS
from pipelines.collect.store_logs import StoredLogs, store_logs, summarise_logs
from pipelines.common.tenant_platform import Platform
from pipelines.operate.status_of_budgets import budgets
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


def summarised(
    platform: Platform, after_s: float = 600.0, metric: str = "log_lines_per_second", label: str = "level"
) -> dict[str, dict[float, float]]:
    """Service and level or template -> seconds after `T0` -> lines per minute."""
    summarise_logs(replace(platform, clock=FixedClock(T0 + timedelta(seconds=after_s))))
    names = {
        one.series_id: f"{one.service} {one.labels[label]}"
        for one in platform.store.series.find(metric=metric)
    }
    found: dict[str, dict[float, float]] = {name: {} for name in names.values()}
    samples = platform.store.samples.read(T0, T0 + timedelta(days=9), list(names))
    for series_id, ts, value in samples.iter_rows():
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
    found = store.series.find(service="shop", metric="log_lines_per_second")
    series = {one.labels["level"]: one for one in found}
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


def by_template(platform: Platform) -> dict[str, dict[float, float]]:
    return summarised(platform, metric="log_template_lines_per_second", label="template")


def test_each_kind_of_line_has_lines_per_second(platform: Platform) -> None:
    lines = [f"user {name} has no connection to db{n}.local after {n} s" for n, name in enumerate("abcde")]
    for n, text in enumerate(lines):  # each in a request of its own
        write(platform, record(text, n, severity=ERROR))
    write(platform, record("token=abc123def started", 6), record("token=xyz789 started", 70))
    found = by_template(platform)
    assert found == {
        "shop user a has no connection to db0.local after <*> s": {60.0: 5.0, 120.0: 0.0},
        "shop token=<*> started": {60.0: 1.0, 120.0: 1.0},
    }


def test_all_processes_find_the_same_templates(platform: Platform, store: Store) -> None:
    words = ["red", "blue", "green", "black", "white", "pink", "grey", "brown"]
    requests = [[record(f"order of {word} shoes was paid", n)] for n, word in enumerate(words)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda request: write(platform, *request), requests))
    (template,) = store.logs.templates()
    assert template.pattern == "order of <*> shoes was paid"
    assert [sum(one.values()) for one in by_template(platform).values()] == [8.0]


def test_templates_beyond_the_budget_of_a_service_are_counted_together(
    platform: Platform, store: Store
) -> None:
    kinds = [f"{chr(97 + n // 26)}{chr(97 + n % 26)} x" for n in range(MAX_TEMPLATES + 7)]
    write(platform, *[record(kind, 1) for kind in kinds])
    found = by_template(platform)
    assert (len(found), found[f"shop {OTHER_LINES}"]) == (MAX_TEMPLATES + 1, {60.0: 7.0})
    [note] = budgets(at(platform, 1))
    assert note.name == "note on logs"
    assert "templates beyond 100" in note.state
    assert note.state.endswith("those of shop (6.5% of its lines)")


def at(platform: Platform, hours: float) -> Platform:
    return replace(platform, clock=FixedClock(T0 + timedelta(hours=hours)))


def test_a_line_of_a_new_kind_is_a_signal_until_it_is_quiet_or_usual(
    platform: Platform, store: Store
) -> None:
    hour = 3_600
    write(at(platform, 0), record("started", 0))
    write(at(platform, 1), record("stopped", hour))
    summarise_logs(at(platform, 1.1))
    # in its first day, everything that a service logs is new
    assert store.signals.find() == []
    write(at(platform, 30), record("payment of ada@example.com failed", 30 * hour, severity=ERROR))
    write(at(platform, 30), record("cache is warm", 30 * hour, severity=INFO))
    summarise_logs(at(platform, 30.1))
    (signal,) = store.signals.find(suppressed=False)
    assert (signal.service, signal.severity, signal.ended_at) == ("shop", Severity.WARNING, None)
    assert "of a kind that it has not logged before: payment of *** failed" in describe(signal, T0)
    (info,) = store.signals.find(suppressed=True)
    assert info.suppressed_by == "log_level"
    summarise_logs(at(platform, 30.9))
    assert store.signals.find(suppressed=False) == [signal]
    summarise_logs(at(platform, 31.2))
    (ended,) = store.signals.find(suppressed=False)
    assert ended.ended_at == T0 + timedelta(hours=30)
    # it is not new any more
    write(at(platform, 32), record("payment of bob@example.com failed", 32 * hour, severity=ERROR))
    summarise_logs(at(platform, 32.1))
    assert store.signals.find(suppressed=False) == [ended]


def test_a_line_that_goes_on_for_a_day_is_usual(platform: Platform, store: Store) -> None:
    write(at(platform, 0), record("started", 0))
    for hours in (30.0, 40.0, 53.9):
        write(at(platform, hours), record("no answer", hours * 3_600, severity=ERROR))
        summarise_logs(at(platform, hours + 0.05))
        (signal,) = store.signals.find()
        assert signal.ended_at is None
    summarise_logs(at(platform, 54.1))
    (signal,) = store.signals.find()
    assert signal.ended_at == T0 + timedelta(hours=54)
