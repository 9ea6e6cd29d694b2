"""What the name of a metric says of it: its unit, how its values are to be read, and what it tells of a service.

Used where the source itself does not say. The words are those of the Prometheus, OpenTelemetry, node_exporter
and CloudWatch naming conventions.
"""

import re
from dataclasses import dataclass

from core.domain import Role, SeriesKind

_ERRORS = (
    "error errors err failure failures failed fail exception exceptions 5xx 4xx drop drops dropped timeout "
    "timeouts"
)
_LATENCY = "latency duration delay rtt response p50 p90 p95 p99 p999 lag elapsed"
_TRAFFIC = (
    "request requests req rps qps throughput hits traffic network net bandwidth packets messages orders visits "
    "invocation invocations calls transactions tps"
)
_MOVING = "read reads write writes written io iops ops in out rx tx receive transmit sent received throughput"
_CAPACITY = (
    "disk filesystem fs storage volume inode inodes memory mem heap swap rss connection connections conns pool "
    "descriptors fds"
)
_SATURATION = (
    "cpu load utilization utilisation usage queue backlog depth threads busy throttled pending gc temperature"
)

#: Role -> the words that tell it, the most telling role first.
ROLE_WORDS: dict[Role, frozenset[str]] = {
    Role.ERRORS: frozenset(_ERRORS.split()),
    Role.LATENCY: frozenset(_LATENCY.split()),
    Role.TRAFFIC: frozenset(_TRAFFIC.split()),
    Role.CAPACITY: frozenset(_CAPACITY.split()),
    Role.SATURATION: frozenset(_SATURATION.split()),
}
MOVING_WORDS = frozenset(_MOVING.split())
#: Word -> unit as `core.formatting.format_value` knows it.
UNIT_WORDS = {
    "bytes": "bytes",
    "seconds": "seconds",
    "ms": "ms",
    "milliseconds": "ms",
    "ratio": "ratio",
    "percent": "%",
    "pct": "%",
    "celsius": "celsius",
    "requests": "requests",
    "errors": "errors",
    "connections": "connections",
    "messages": "messages",
    "packets": "packets",
}
METRIC_WORDS = frozenset().union(*ROLE_WORDS.values()) - {"in", "out"}


@dataclass(frozen=True, slots=True)
class Guess:
    """What a metric seems to be."""

    unit: str
    kind: SeriesKind
    role: Role


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case.

    >>> words_of("iio_us-east-1.NetworkIn")
    ['iio', 'us', 'east', '1', 'network', 'in']
    """
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return [word.lower() for word in re.split(r"[^A-Za-z0-9]+", parted) if word]


def guess_metric(name: str) -> Guess:
    """Unit, kind and role by the words of a metric's name; without a telling word, a gauge of saturation.

    >>> guess_metric("http_requests_total")
    Guess(unit='requests', kind=<SeriesKind.COUNTER: 'counter'>, role=<Role.TRAFFIC: 'traffic'>)
    >>> guess_metric("node_filesystem_avail_bytes").role
    <Role.CAPACITY: 'capacity'>
    >>> guess_metric("disk_write_bytes").role
    <Role.SATURATION: 'saturation'>
    """
    words = words_of(name)
    found = set(words)
    role = next((role for role, known in ROLE_WORDS.items() if found & known), Role.SATURATION)
    if role is Role.CAPACITY and found & MOVING_WORDS:
        role = Role.SATURATION  # bytes that pass through a disk do not fill it
    unit = next((UNIT_WORDS[word] for word in reversed(words) if word in UNIT_WORDS), "")
    if words and words[-1] == "total":
        return Guess(unit, SeriesKind.COUNTER, role)
    return Guess(unit, SeriesKind.RATIO if unit == "ratio" else SeriesKind.GAUGE, role)
