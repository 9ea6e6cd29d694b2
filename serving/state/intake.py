"""What the intake counts, by priority lane and source: for `/metrics` at once, and for the database by tenant.

Labels have few values: lanes, sources and reasons are fixed lists, and no label contains a tenant or a text.
"""

import logging
import threading
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.errors import ForewarnError
from core.intake import LATENCY_BOUNDS_S, IntakeCount, IntakeKind, PriorityLane, bucket_of

#: Reasons of errors that have no status of their own.
BUSY, TIMEOUT, STOPPING, BAD_ITEMS = "busy", "timeout", "stopping", "bad_items"
_REASONS: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "no_valid_key",
    HTTPStatus.REQUEST_TIMEOUT: "slow_body",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "wrong_type",
    HTTPStatus.TOO_MANY_REQUESTS: "rate",
    HTTPStatus.SERVICE_UNAVAILABLE: "database",
}
_MS_IN_S = 1_000

_logger = logging.getLogger("forewarn.serving")


@dataclass(slots=True)
class Receipt:
    """How many items of one request were stored; its handler fills it in.

    Attributes:
        duplicates: stored before.
        rejected: kept as dead letters.
    """

    new: int = 0
    duplicates: int = 0
    rejected: int = 0

    def items(self) -> dict[str, int]:
        return {"new": self.new, "duplicate": self.duplicates, "rejected": self.rejected}


class Arrival:
    """One request of a source, from its first byte to its response.

    Attributes:
        lane: may change once the body is parsed.
        tenant: null until the key is known.
        since: when its body was complete; null: it is not.
    """

    def __init__(self, intake: "Intake", lane: PriorityLane, source: str) -> None:
        self._intake = intake
        self.lane = lane
        self.source = source
        self.tenant: str | None = None
        self.since: float | None = None

    def complete(self) -> None:
        """The body is here: the latency counts from now on."""
        self.since = time.monotonic()

    def admit(self, lane: PriorityLane | None) -> None:
        """The request is valid and waits for its work.

        Args:
            lane: null: that of the route.
        """
        self.lane = lane or self.lane
        self._intake.begin(self)

    def finish(self, status: int, problem: str | None, receipt: Receipt) -> None:
        """The response is sent.

        Args:
            problem: the reason, where the status does not tell it; null: the status does.
        """
        reason = problem or reason_of(status, receipt)
        self._intake.end(self, reason, receipt)


def reason_of(status: int, receipt: Receipt) -> str | None:
    """The class of the error; null: all was stored."""
    if receipt.rejected:
        return BAD_ITEMS
    if status < HTTPStatus.BAD_REQUEST:
        return None
    usual = "invalid" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "fault"
    return _REASONS.get(status, usual)


class Intake(Collector):
    """The counts of one service process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open: dict[int, Arrival] = {}
        self._pending: dict[str, Counts[tuple[str, str, IntakeKind, str]]] = {}
        self._most: dict[str, dict[tuple[str, str, IntakeKind, str], int]] = {}
        self._lock = threading.Lock()
        labels = ["lane", "source"]
        self._items = Counter(
            "forewarn_intake_items",
            "Samples, spans, log lines, events and incidents of finished requests.",
            [*labels, "outcome"],
            registry=registry,
        )
        self._errors = Counter(
            "forewarn_intake_errors",
            "Requests that were not stored whole, by the class of the reason.",
            [*labels, "reason"],
            registry=registry,
        )
        self._seconds = Histogram(
            "forewarn_intake_duration_seconds",
            "Time from the last byte of the request until it is stored and answered.",
            labels,
            buckets=LATENCY_BOUNDS_S,
            registry=registry,
        )
        #: Lanes and sources that had a request; those without one now have depth 0.
        self._seen: set[tuple[str, str]] = set()
        registry.register(self)

    def arrival(self, lane: PriorityLane, source: str) -> Arrival:
        """A request that arrives now."""
        return Arrival(self, lane, source)

    def begin(self, arrival: Arrival) -> None:
        """Count a request as waiting."""
        with self._lock:
            self._open[id(arrival)] = arrival
            self._seen.add((str(arrival.lane), arrival.source))
            if arrival.tenant is not None:
                same = [
                    one
                    for one in self._open.values()
                    if (one.lane, one.source, one.tenant) == (arrival.lane, arrival.source, arrival.tenant)
                ]
                self._at_most(arrival, "depth", len(same))

    def end(self, arrival: Arrival, reason: str | None, receipt: Receipt) -> None:
        """Count a request as finished."""
        lane, source = str(arrival.lane), arrival.source
        seconds = None if arrival.since is None else time.monotonic() - arrival.since
        items = {name: count for name, count in receipt.items().items() if count}
        for name, count in items.items():
            self._items.labels(lane, source, name).inc(count)
        if reason is not None:
            self._errors.labels(lane, source, reason).inc()
        if seconds is not None:
            self._seconds.labels(lane, source).observe(seconds)
        with self._lock:
            self._open.pop(id(arrival), None)
            if arrival.tenant is None:
                return
            pending = self._pending.setdefault(arrival.tenant, Counts())
            for name, count in items.items():
                pending[lane, source, IntakeKind.ITEMS, name] += count
            if reason is not None:
                pending[lane, source, IntakeKind.ERRORS, reason] += 1
            if seconds is not None:
                pending[lane, source, IntakeKind.LATENCY, f"{bucket_of(seconds):g}"] += 1
                self._at_most(arrival, "age_ms", round(_MS_IN_S * seconds))

    def take(self) -> dict[str, list[IntakeCount]]:
        """Tenant -> what was counted since the last call, and how long what is open has waited."""
        with self._lock:
            now = time.monotonic()
            for one in self._open.values():
                if one.tenant is not None and one.since is not None:
                    self._at_most(one, "age_ms", round(_MS_IN_S * (now - one.since)))
            pending, self._pending = self._pending, {}
            most, self._most = self._most, {}
        tenants = dict.fromkeys([*pending, *most])
        return {
            tenant: [
                IntakeCount(*key, count)
                for key, count in (*pending.get(tenant, {}).items(), *most.get(tenant, {}).items())
            ]
            for tenant in tenants
        }

    def give_back(self, tenant: str, counts: Sequence[IntakeCount]) -> None:
        """Keep counts that could not be stored, for the next `take`."""
        with self._lock:
            for one in counts:
                key = (one.lane, one.source, one.kind, one.name)
                if one.kind is IntakeKind.MOST:
                    most = self._most.setdefault(tenant, {})
                    most[key] = max(one.count, most.get(key, 0))
                else:
                    self._pending.setdefault(tenant, Counts())[key] += one.count

    def collect(self) -> Iterator[Metric]:
        """Depth and age of what is open now, for Prometheus."""
        depth = GaugeMetricFamily(
            "forewarn_intake_depth",
            "Requests that have arrived and are not answered yet.",
            labels=["lane", "source"],
        )
        age = GaugeMetricFamily(
            "forewarn_intake_oldest_age_seconds",
            "How long the oldest of these requests has waited.",
            labels=["lane", "source"],
        )
        now = time.monotonic()
        with self._lock:
            found: dict[tuple[str, str], list[float]] = {key: [] for key in sorted(self._seen)}
            for one in self._open.values():
                if one.since is not None:
                    found.setdefault((str(one.lane), one.source), []).append(now - one.since)
        for key, ages in found.items():
            depth.add_metric(key, len(ages))
            age.add_metric(key, max(ages, default=0.0))
        yield depth
        yield age

    def _at_most(self, arrival: Arrival, name: str, count: int) -> None:
        most = self._most.setdefault(arrival.tenant or "", {})
        key = (str(arrival.lane), arrival.source, IntakeKind.MOST, name)
        most[key] = max(count, most.get(key, 0))


def write_counts(intake: Intake, store: Callable[[str, Sequence[IntakeCount]], None]) -> None:
    """Store what was counted, so that `forewarn status` and Grafana show it, also after a restart.

    Args:
        store: stores the counts of a tenant. What it cannot store is kept for the next time.
    """
    for tenant, counts in intake.take().items():
        try:
            store(tenant, counts)
        except ForewarnError as error:
            intake.give_back(tenant, counts)
            _logger.warning("the counts of the intake of %s cannot be stored yet: %s", tenant, error)
