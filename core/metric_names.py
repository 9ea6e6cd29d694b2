"""What the name of a metric, or the type of an incident, tells about it. One table of words; pure.

Forewarn reads names only where nobody declared the fact: the unit, the role, the resource, which direction is bad. The
words follow the naming conventions of Prometheus, OpenTelemetry, node_exporter, cAdvisor and CloudWatch. Names are
compared word by word, so that `rss` is not found in `errssl`, nor `node` in `inodes`.

References:
    https://prometheus.io/docs/practices/naming/
    https://opentelemetry.io/docs/specs/semconv/general/metrics/
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from core.diagnosis import CauseKind
from core.domain import Role, SeriesKind


class Resource(StrEnum):
    """What a service can run out of, or use too much of."""

    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"
    INODES = "inodes"
    POOL = "pool"
    CONNECTIONS = "connections"
    QUEUE = "queue"
    FILES = "files"
    NETWORK = "network"


class MeasuredAt(StrEnum):
    """Where a metric is measured, if not at the service itself."""

    HOST = "host"
    CALLEE = "callee"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """One row of the table: words of the same meaning.

    Attributes:
        words: between spaces; an underscore joins words that must follow one another, such as `packet_loss`.
        slot: the column of the failure features, see `features.slots.SLOTS`.
        unit: as `core.formatting.format_value` knows it.
        exhausted: the name of the moment when the resource has reached its limit.
        growing: the statement of a hypothesis that the resource runs out; `{}` stands for the service.
        cause: the kind of cause, where the word stands in the type of an incident.
        lower_is_worse: too little is bad: of what is free, left over or successful.
        is_flow: the values are an amount that moves, and do not fill anything.
        is_percentile: a statistic of a latency, unless another word names a resource.
    """

    words: str
    resource: Resource | None = None
    role: Role | None = None
    slot: str | None = None
    unit: str = ""
    exhausted: str = ""
    growing: str = ""
    cause: CauseKind | None = None
    measured_at: MeasuredAt | None = None
    lower_is_worse: bool = False
    is_flow: bool = False
    is_percentile: bool = False


_DISK_GROWS, _MEMORY_GROWS = "disk of {} filling", "memory of {} growing"
_CONNECTIONS_GROW, _QUEUE_GROWS = "connections of {} running out", "queue of {} growing"
_MEMORY_EXHAUSTED, _CONNECTIONS_EXHAUSTED = "memory used up", "connections used up"

_BUDGETS = "error_budget latency_budget budget budgets"
#: What of a budget, or of another rest, is gone: high is bad.
_BURNT = {"burn", "burned", "burnt", "burning"}
_GONE = frozenset({"used", "busy", "usage", "utilization", "utilisation", "consumed", "spent", *_BURNT})

#: Each word stands in one row. Where a name has words of several rows, the first row with the wanted fact counts.
TABLE: tuple[Meaning, ...] = (
    # resources
    Meaning(words="cpu cpus processor", resource=Resource.CPU, role=Role.SATURATION, slot="cpu"),
    Meaning(words="throttled", resource=Resource.CPU, role=Role.SATURATION),
    Meaning(words="throttle throttles throttling load1 load5 load15", resource=Resource.CPU),
    Meaning(
        words="memory mem heap rss", resource=Resource.MEMORY, role=Role.CAPACITY, slot="memory",
        exhausted=_MEMORY_EXHAUSTED, growing=_MEMORY_GROWS,
    ),
    Meaning(
        words="swap", resource=Resource.MEMORY, role=Role.CAPACITY,
        exhausted=_MEMORY_EXHAUSTED, growing=_MEMORY_GROWS,
    ),
    Meaning(
        words="oom out_of_memory", resource=Resource.MEMORY, exhausted=_MEMORY_EXHAUSTED, growing=_MEMORY_GROWS
    ),
    Meaning(
        words="inode inodes", resource=Resource.INODES, role=Role.CAPACITY, slot="disk",
        exhausted="inodes used up", growing=_DISK_GROWS,
    ),
    Meaning(
        words="disk_queue", resource=Resource.DISK, role=Role.SATURATION, slot="queue",
        exhausted="queue full", growing=_QUEUE_GROWS,
    ),
    Meaning(
        words="disk disks filesystem filesystems fs storage", resource=Resource.DISK,
        role=Role.CAPACITY, slot="disk", exhausted="disk full", growing=_DISK_GROWS,
    ),
    # A volume is not always one of disks: `Twitter_volume`.
    Meaning(
        words="volume volumes", resource=Resource.DISK, role=Role.CAPACITY, slot="disk", growing=_DISK_GROWS
    ),
    Meaning(
        words="pool pools", resource=Resource.POOL, role=Role.CAPACITY, slot="connections",
        exhausted="pool used up", growing=_CONNECTIONS_GROW,
    ),
    Meaning(
        words="connections", resource=Resource.CONNECTIONS, role=Role.CAPACITY, slot="connections",
        unit="connections", exhausted=_CONNECTIONS_EXHAUSTED, growing=_CONNECTIONS_GROW,
    ),
    Meaning(
        words="connection conns conn", resource=Resource.CONNECTIONS, role=Role.CAPACITY, slot="connections",
        exhausted=_CONNECTIONS_EXHAUSTED, growing=_CONNECTIONS_GROW,
    ),
    Meaning(
        words="queue queues queued backlog", resource=Resource.QUEUE, role=Role.SATURATION, slot="queue",
        exhausted="queue full", growing=_QUEUE_GROWS,
    ),
    Meaning(words="pending", resource=Resource.QUEUE, role=Role.SATURATION, slot="queue", growing=_QUEUE_GROWS),
    Meaning(words="lag", resource=Resource.QUEUE, role=Role.LATENCY, slot="queue", growing=_QUEUE_GROWS),
    Meaning(
        words="descriptor descriptors fd fds", resource=Resource.FILES, role=Role.CAPACITY,
        exhausted="file descriptors used up", growing="file descriptors of {} running out",
    ),
    Meaning(
        words="retrans retransmit retransmits retransmission retransmissions packet_loss tcp_err",
        resource=Resource.NETWORK,
    ),
    Meaning(words="packets_dropped tcp_errors", resource=Resource.NETWORK, role=Role.ERRORS),
    # A leak is of memory, where no other word names what leaks.
    Meaning(
        words="leak leaks", resource=Resource.MEMORY, exhausted=_MEMORY_EXHAUSTED, growing=_MEMORY_GROWS
    ),
    # what users feel
    Meaning(words="latency duration response_time", role=Role.LATENCY, slot="latency"),
    Meaning(words="delay rtt response elapsed", role=Role.LATENCY),
    Meaning(words="p50 p90 p95 p99 p999", role=Role.LATENCY, is_percentile=True),
    Meaning(words="errors", role=Role.ERRORS, slot="errors", unit="errors"),
    Meaning(words="error failed 5xx", role=Role.ERRORS, slot="errors"),
    Meaning(
        words="err failure failures fail exception exceptions 4xx drop drops dropped timeout timeouts",
        role=Role.ERRORS,
    ),
    Meaning(words="requests", role=Role.TRAFFIC, slot="traffic", unit="requests"),
    Meaning(words="throughput", role=Role.TRAFFIC, slot="traffic", is_flow=True),
    Meaning(words="traffic", role=Role.TRAFFIC, slot="traffic", cause=CauseKind.TRAFFIC),
    Meaning(words="request rps", role=Role.TRAFFIC, slot="traffic"),
    Meaning(words="messages", role=Role.TRAFFIC, unit="messages"),
    Meaning(words="packets", role=Role.TRAFFIC, unit="packets"),
    Meaning(
        words="req qps hits network net bandwidth orders visits invocation invocations calls transactions tps",
        role=Role.TRAFFIC,
    ),
    Meaning(
        words="load utilization utilisation usage depth threads busy gc temperature", role=Role.SATURATION
    ),
    # A budget can be used up; an error budget does not count errors.
    Meaning(words=_BUDGETS, role=Role.CAPACITY, lower_is_worse=True),
    # which direction is bad
    Meaning(
        words="free freeable available availability avail remaining unused headroom idle success successful "
        "apdex healthy uptime left days_until hours_until seconds_until expiry expires expiration credit_balance "
        "burst_balance hit_ratio hit_rate",
        lower_is_worse=True,
    ),
    # amounts that move; `in_use` is no movement
    Meaning(words="iops", resource=Resource.DISK, is_flow=True),
    Meaning(
        words="read reads write writes written io ops in out rx tx receive transmit sent received",
        is_flow=True,
    ),
    Meaning(words="in_use"),
    # where it is measured
    Meaning(words="node nodes host hosts machine machines instance instances", measured_at=MeasuredAt.HOST),
    Meaning(words="client clients outbound egress", measured_at=MeasuredAt.CALLEE),
    Meaning(words="upstream", measured_at=MeasuredAt.CALLEE, cause=CauseKind.DEPENDENCY),
    # units
    Meaning(words="bytes", unit="bytes"),
    Meaning(words="seconds", unit="seconds"),
    Meaning(words="ms milliseconds", unit="ms"),
    Meaning(words="ratio", unit="ratio"),
    Meaning(words="percent pct", unit="%"),
    Meaning(words="celsius", unit="celsius"),
    # types of incidents
    Meaning(words="deploy deploys deployment release rollout regression", cause=CauseKind.DEPLOY),
    Meaning(
        words="config configuration misconfiguration misconfigured", cause=CauseKind.CONFIG_CHANGE
    ),
    Meaning(words="depend dependency dependencies", cause=CauseKind.DEPENDENCY),
    Meaning(words="surge overload overloaded", cause=CauseKind.TRAFFIC),
    Meaning(words="outage unavailable unavailability silent silence", cause=CauseKind.SILENCE),
)  # fmt: skip

#: Where words of several roles meet, the most telling role first: `http_request_errors` counts errors.
_ROLE_ORDER = (Role.ERRORS, Role.LATENCY, Role.TRAFFIC, Role.CAPACITY, Role.SATURATION)
_SLOT_BY_ROLE: Mapping[Role, str] = {
    Role.LATENCY: "latency",
    Role.ERRORS: "errors",
    Role.TRAFFIC: "traffic",
}
_BY_WORD = {word: row for row in TABLE for word in row.words.split()}
_PHRASES = tuple(word for word in _BY_WORD if "_" in word)
_RANK = {row.words: rank for rank, row in enumerate(TABLE)}
#: The single words that tell a role: where the first one stands in a file's name, the name of the metric begins.
ROLE_WORDS = frozenset(word for word, row in _BY_WORD.items() if row.role is not None and "_" not in word)

#: What so many names tell is remembered: a fleet has few names, which are asked for again in each cycle.
KNOWN_NAMES = 4096


@dataclass(frozen=True, slots=True)
class Guess:
    """What a metric seems to be."""

    unit: str
    kind: SeriesKind
    role: Role


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case.

    Examples:
        >>> words_of("iio_us-east-1.NetworkIn")
        ['iio', 'us', 'east', '1', 'network', 'in']
        >>> words_of("CPUUtilization")
        ['cpu', 'utilization']
    """
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])(?!XX)|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return [word.lower() for word in re.split(r"[^A-Za-z0-9]+", parted) if word]


def guess_metric(name: str) -> Guess:
    """Unit, kind and role from the words of a metric's name; without a known word, a gauge of saturation.

    Examples:
        >>> guess_metric("http_requests_total")
        Guess(unit='requests', kind=<SeriesKind.COUNTER: 'counter'>, role=<Role.TRAFFIC: 'traffic'>)
        >>> guess_metric("node_filesystem_avail_bytes").role
        <Role.CAPACITY: 'capacity'>
        >>> guess_metric("disk_write_bytes").role
        <Role.SATURATION: 'saturation'>
    """
    words = words_of(name)
    unit = next(
        (_BY_WORD[word].unit for word in reversed(words) if word in _BY_WORD and _BY_WORD[word].unit), ""
    )
    role = _role(name)
    if words and words[-1] == "total":
        return Guess(unit, SeriesKind.COUNTER, role)
    return Guess(unit, SeriesKind.RATIO if unit == "ratio" else SeriesKind.GAUGE, role)


def resource_of(name: str) -> Resource | None:
    """The resource that a metric measures; null where no word names one.

    Examples:
        >>> resource_of("node_memory_MemAvailable_bytes")
        <Resource.MEMORY: 'memory'>
    """
    return next((row.resource for row in _rows(name) if row.resource is not None), None)


@lru_cache(maxsize=KNOWN_NAMES)
def lower_is_worse(name: str) -> bool:
    """Whether too little of it is bad, as of free space or a success rate. Latencies and errors never are.

    Examples:
        >>> lower_is_worse("node_filesystem_avail_bytes"), lower_is_worse("unavailable_replicas")
        (True, False)
        >>> lower_is_worse("error_budget"), lower_is_worse("error_budget_burn_rate")
        (True, False)
    """
    if is_used(name) or not any(row.lower_is_worse for row in _rows(name)):
        return False
    return _role(name) not in (Role.LATENCY, Role.ERRORS)


@lru_cache(maxsize=KNOWN_NAMES)
def is_used(name: str) -> bool:
    """Whether a metric tells what is used, of whatever is there.

    Examples:
        >>> is_used("error_budget_consumed"), is_used("error_budget")
        (True, False)
    """
    return bool(_GONE & set(words_of(name)))


def feature_slot(name: str, role: Role) -> str | None:
    """The slot of the failure features that a metric fills: by its name, else by its declared role; null for none.

    Examples:
        >>> feature_slot("db_connections", Role.CAPACITY)
        'connections'
    """
    guessed = _role(name)
    rows = [row for row in _rows(name) if row.slot is not None]
    if _is_flow(name):
        rows = [row for row in rows if row.role is not Role.CAPACITY]
    if guessed in (Role.LATENCY, Role.ERRORS):
        # `connection_errors` counts errors, `disk_response_time` and `request_p95` are latencies.
        rows = [row for row in rows if row.role is guessed] or [
            row for row in rows if row.role is not Role.TRAFFIC
        ]
    return rows[0].slot if rows else _SLOT_BY_ROLE.get(role)


def exhaustion_of(name: str) -> Meaning | None:
    """The resource that is running out when a metric moves to its bad side; also of the type of an incident.

    Null for what cannot run out, such as a latency, and for what only passes through, such as bytes written to a disk.

    Examples:
        >>> found = exhaustion_of("node_filesystem_avail_bytes")
        >>> found and found.exhausted
        'disk full'
        >>> exhaustion_of("disk_write_bytes") is None
        True
    """
    guessed = _role(name)
    for row in _rows(name):
        fits = row.role is guessed or guessed not in (Role.LATENCY, Role.ERRORS)
        if row.growing and fits and not (row.role is Role.CAPACITY and _is_flow(name)):
            return row
    return None


def is_about(incident_type: str, cause: CauseKind) -> bool:
    """Whether the type of an incident names a cause of that kind.

    Examples:
        >>> is_about("bad_deploy", CauseKind.DEPLOY)
        True
    """
    return any(row.cause is cause for row in _rows(incident_type))


def is_named(incident_type: str) -> bool:
    """Whether the type of an incident names any cause or resource."""
    return exhaustion_of(incident_type) is not None or any(
        row.cause is not None for row in _rows(incident_type)
    )


def measured_at(name: str) -> MeasuredAt | None:
    """Where a metric is measured, if not at the service itself.

    Examples:
        >>> measured_at("PodClientLatencyP90"), measured_at("inodes_used")
        (<MeasuredAt.CALLEE: 'callee'>, None)
    """
    return next((row.measured_at for row in _rows(name) if row.measured_at is not None), None)


@lru_cache(maxsize=KNOWN_NAMES)
def _rows(name: str) -> tuple[Meaning, ...]:
    """The rows of the table that a name has words of, in the order of the table.

    A phrase takes its words: `error_budget` is not about errors. Digits at the end of a word are ignored (`cpu0`).
    """
    text = f"_{'_'.join(words_of(name))}_"
    found = set()
    for phrase in _PHRASES:
        if f"_{phrase}_" in text:
            found.add(phrase)
            text = text.replace(f"_{phrase}_", "__")
    for word in text.split("_"):
        known = word if word in _BY_WORD else word.rstrip("0123456789")
        if known in _BY_WORD:
            found.add(known)
    rows = {_BY_WORD[word].words: _BY_WORD[word] for word in found}
    return tuple(sorted(rows.values(), key=lambda row: _RANK[row.words]))


def _role(name: str) -> Role:
    rows = _rows(name)
    if any(row.resource is not None for row in rows):
        rows = tuple(row for row in rows if not row.is_percentile)
    roles = {row.role for row in rows}
    role = next((role for role in _ROLE_ORDER if role in roles), Role.SATURATION)
    # Bytes that pass through a disk do not fill it.
    return Role.SATURATION if role is Role.CAPACITY and _is_flow(name) else role


def _is_flow(name: str) -> bool:
    return any(row.is_flow for row in _rows(name))
