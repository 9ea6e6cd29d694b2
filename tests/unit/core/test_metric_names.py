"""What names tell: a table of names and their meanings, and the rules of the table of words itself."""

import doctest

import pytest

import core.metric_names
from core.diagnosis import CauseKind
from core.domain import Role
from core.metric_names import (
    TABLE,
    MeasuredAt,
    Resource,
    exhaustion_of,
    feature_slot,
    guess_metric,
    is_about,
    is_named,
    lower_is_worse,
    measured_at,
    resource_of,
    words_of,
)
from features.slots import SLOTS

CPU, MEMORY, DISK, INODES = Resource.CPU, Resource.MEMORY, Resource.DISK, Resource.INODES
POOL, CONNECTIONS, QUEUE, FILES = Resource.POOL, Resource.CONNECTIONS, Resource.QUEUE, Resource.FILES

#: name, unit, role, resource, slot of the features, name of its exhaustion, whether too little is bad.
NAMES = [
    # the simulator
    ("cpu_utilization", "", Role.SATURATION, CPU, "cpu", "", False),
    ("memory_used_bytes", "bytes", Role.CAPACITY, MEMORY, "memory", "memory used up", False),
    ("disk_used_bytes", "bytes", Role.CAPACITY, DISK, "disk", "disk full", False),
    ("latency_p99_seconds", "seconds", Role.LATENCY, None, "latency", "", False),
    ("error_ratio", "ratio", Role.ERRORS, None, "errors", "", False),
    ("requests_per_second", "requests", Role.TRAFFIC, None, "traffic", "", False),
    (
        "db_connections",
        "connections",
        Role.CAPACITY,
        CONNECTIONS,
        "connections",
        "connections used up",
        False,
    ),
    ("queue_depth", "", Role.SATURATION, QUEUE, "queue", "queue full", False),
    # data sets with faults
    ("CpuUsageRate(%)", "", Role.SATURATION, CPU, "cpu", "", False),
    ("NodeMemoryUsageRate(%)", "", Role.CAPACITY, MEMORY, "memory", "memory used up", False),
    ("NetworkReceiveBytes", "bytes", Role.TRAFFIC, None, "traffic", "", False),
    ("PodServerLatencyP99(s)", "", Role.LATENCY, None, "latency", "", False),
    ("PodSuccessRate(%)", "", Role.SATURATION, None, None, "", True),
    ("availability_Average", "", Role.SATURATION, None, None, "", True),
    ("requests_Sum", "requests", Role.TRAFFIC, None, "traffic", "", False),
    # CloudWatch
    ("CPUUtilization", "", Role.SATURATION, CPU, "cpu", "", False),
    ("NetworkIn", "", Role.TRAFFIC, None, "traffic", "", False),
    ("FreeableMemory", "", Role.CAPACITY, MEMORY, "memory", "memory used up", True),
    ("FreeStorageSpace", "", Role.CAPACITY, DISK, "disk", "disk full", True),
    ("DiskQueueDepth", "", Role.SATURATION, DISK, "queue", "queue full", False),
    ("HTTPCode_Target_5XX_Count", "", Role.ERRORS, None, "errors", "", False),
    ("HealthyHostCount", "", Role.SATURATION, None, None, "", True),
    # Prometheus exporters
    ("node_filesystem_avail_bytes", "bytes", Role.CAPACITY, DISK, "disk", "disk full", True),
    ("node_memory_MemAvailable_bytes", "bytes", Role.CAPACITY, MEMORY, "memory", "memory used up", True),
    ("node_disk_read_bytes_total", "bytes", Role.SATURATION, DISK, None, "", False),
    ("node_netstat_Tcp_RetransSegs", "", Role.SATURATION, Resource.NETWORK, None, "", False),
    ("container_fs_usage_bytes", "bytes", Role.CAPACITY, DISK, "disk", "disk full", False),
    ("container_memory_rss", "", Role.CAPACITY, MEMORY, "memory", "memory used up", False),
    ("process_open_fds", "", Role.CAPACITY, FILES, None, "file descriptors used up", False),
    ("kafka_consumer_lag", "", Role.LATENCY, QUEUE, "queue", "", False),
    ("http_request_duration_seconds", "seconds", Role.LATENCY, None, "latency", "", False),
    # too little is bad
    ("certificate_days_left", "", Role.SATURATION, None, None, "", True),
    ("error_budget_remaining_ratio", "ratio", Role.CAPACITY, None, None, "", True),
    ("error_budget", "", Role.CAPACITY, None, None, "", True),
    ("error_budget_burn_rate", "", Role.CAPACITY, None, None, "", False),
    ("error_budget_consumed_ratio", "ratio", Role.CAPACITY, None, None, "", False),
    ("latency_budget_remaining", "", Role.CAPACITY, None, None, "", True),
    ("cert_days_until_expiry", "", Role.SATURATION, None, None, "", True),
    ("certificate_days_left", "", Role.SATURATION, None, None, "", True),
    ("probe_ssl_earliest_cert_expiry", "", Role.SATURATION, None, None, "", True),
    ("certificates_expired_count", "", Role.SATURATION, None, None, "", False),
    ("CPUCreditBalance", "", Role.SATURATION, CPU, "cpu", "", True),
    ("CPUCreditUsage", "", Role.SATURATION, CPU, "cpu", "", False),
    ("cache_hit_ratio", "ratio", Role.SATURATION, None, None, "", True),
    ("node_cpu_idle_ratio", "ratio", Role.SATURATION, CPU, "cpu", "", True),
    ("memory_headroom_bytes", "bytes", Role.CAPACITY, MEMORY, "memory", "memory used up", True),
    ("available_memory_used_percent", "%", Role.CAPACITY, MEMORY, "memory", "memory used up", False),
    ("cpu_idle", "", Role.SATURATION, CPU, "cpu", "", True),
    ("success_ratio", "ratio", Role.SATURATION, None, None, "", True),
    ("apdex", "", Role.SATURATION, None, None, "", True),
    # ... but not of what only looks like it
    ("unavailable_replicas", "", Role.SATURATION, None, None, "", False),
    ("unhealthy_hosts", "", Role.SATURATION, None, None, "", False),
    ("successful_request_latency", "", Role.LATENCY, None, "latency", "", False),
    # a word decides, and no part of one
    ("mail_spool_files", "", Role.SATURATION, None, None, "", False),
    ("error_ssl_total", "", Role.ERRORS, None, "errors", "", False),
    ("inodes_used", "", Role.CAPACITY, INODES, "disk", "inodes used up", False),
    ("leftover_items", "", Role.SATURATION, None, None, "", False),
    # the more telling word decides
    ("pool_in_use", "", Role.CAPACITY, POOL, "connections", "pool used up", False),
    ("db_connection_errors_total", "errors", Role.ERRORS, CONNECTIONS, "errors", "", False),
    ("disk_response_time", "", Role.LATENCY, DISK, "latency", "", False),
    ("disk_write_bytes", "bytes", Role.SATURATION, DISK, None, "", False),
    ("memory_used_p95", "", Role.CAPACITY, MEMORY, "memory", "memory used up", False),
    ("request_p95", "", Role.LATENCY, None, "latency", "", False),
]


@pytest.mark.parametrize(("name", "unit", "role", "resource", "slot", "exhausted", "low_is_bad"), NAMES)
def test_a_name_has_this_meaning(
    name: str,
    unit: str,
    role: Role,
    resource: Resource | None,
    slot: str | None,
    exhausted: str,
    *,
    low_is_bad: bool,
) -> None:
    guess, found = guess_metric(name), exhaustion_of(name)
    assert (guess.unit, guess.role) == (unit, role)
    assert resource_of(name) is resource
    assert feature_slot(name, guess.role) == slot
    assert (found.exhausted if found else "") == exhausted
    assert lower_is_worse(name) is low_is_bad


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("node_cpu", MeasuredAt.HOST),
        ("NodeCpuUsageRate(%)", MeasuredAt.HOST),
        ("PodClientLatencyP90(s)", MeasuredAt.CALLEE),
        ("upstream_response_time", MeasuredAt.CALLEE),
        ("inodes_used", None),
        ("cpu_usage", None),
    ],
)
def test_a_name_tells_where_it_is_measured(name: str, place: MeasuredAt | None) -> None:
    assert measured_at(name) is place


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        ("disk_full", "disk of {} filling"),
        ("memory_leak", "memory of {} growing"),
        ("OOMKilled", "memory of {} growing"),
        ("connection_leak", "connections of {} running out"),
        ("pool_exhaustion", "connections of {} running out"),
        ("queue_backlog", "queue of {} growing"),
        ("too many open fds", "file descriptors of {} running out"),
        ("latency_creep", None),
    ],
)
def test_the_type_of_an_incident_names_a_resource(kind: str, statement: str | None) -> None:
    found = exhaustion_of(kind)
    assert (found.growing if found else None) == statement


def test_the_type_of_an_incident_names_a_cause() -> None:
    assert is_about("bad_deploy", CauseKind.DEPLOY)
    assert is_about("misconfiguration", CauseKind.CONFIG_CHANGE)
    assert is_about("upstream_outage", CauseKind.DEPENDENCY)
    assert is_about("upstream_outage", CauseKind.SILENCE)
    assert is_about("traffic surge", CauseKind.TRAFFIC)
    assert not is_about("disk_full", CauseKind.DEPLOY)
    assert is_named("disk_full")
    assert is_named("bad_deploy")
    assert not is_named("latency_creep")


def test_each_word_stands_in_one_row_and_each_slot_exists() -> None:
    words = [word for row in TABLE for word in row.words.split()]
    assert len(words) == len(set(words))
    assert all(words_of(word) == word.split("_") for word in words)
    assert {row.slot for row in TABLE} - {None} <= set(SLOTS)


def test_the_examples_hold() -> None:
    assert doctest.testmod(core.metric_names).failed == 0
