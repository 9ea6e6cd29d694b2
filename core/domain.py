"""The domain: series, events, incidents, bands, forecasts, risks, signals.

Every class is frozen and checks its values when it is built. Times are zone-aware UTC. Durations and steps are in
seconds, which their names show (`step_s`).
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum

from core.checks import (
    SEPARATOR,
    require_name,
    require_plain_text,
    require_rising,
    require_text,
    require_unit_interval,
    require_utc,
)
from core.errors import InputError

DEFAULT_STEP_S = 300
#: The database has 32 bits for it.
MAX_STEP_S = 2**31 - 1
#: Default horizon of a capacity plan.
CAPACITY_DAYS = 90

#: The service graph: pairs of (caller, callee).
ServiceEdges = Sequence[tuple[str, str]]


class SeriesKind(StrEnum):
    """How to read the values of a series."""

    GAUGE = "gauge"
    COUNTER = "counter"
    RATIO = "ratio"


class Role(StrEnum):
    """What a series tells about its service: the four golden signals, and capacity."""

    LATENCY = "latency"
    ERRORS = "errors"
    TRAFFIC = "traffic"
    SATURATION = "saturation"
    CAPACITY = "capacity"


class Direction(StrEnum):
    """Which side of what is usual is bad."""

    UP_IS_BAD = "up_is_bad"
    DOWN_IS_BAD = "down_is_bad"
    BOTH = "both"


class EventKind(StrEnum):
    """Planned things that change what is normal."""

    DEPLOY = "deploy"
    CONFIG_CHANGE = "config_change"
    MAINTENANCE = "maintenance"
    HOLIDAY = "holiday"  # a date that does not look like its weekday


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for the mildest; a higher rank is more severe."""
        return list(Severity).index(self)


class SignalKind(StrEnum):
    """What a signal is about; all kinds except `ANOMALY` and `MISSING` are about the future."""

    ANOMALY = "anomaly"
    MISSING = "missing"
    BREACH = "breach"
    FAILURE_RISK = "failure_risk"


class Shape(StrEnum):
    """The course of an anomaly, from its start to its end."""

    POINT_SPIKE = "point_spike"
    LEVEL_SHIFT = "level_shift"
    SLOW_DRIFT = "slow_drift"
    VARIANCE_CHANGE = "variance_change"
    STUCK = "stuck"
    MISSING = "missing"


class _Identified:
    """Holds what is computed from the fields of a series when it is built, because it is needed very often."""

    __slots__ = ("series_id",)
    series_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Series(_Identified):
    """One metric of one service of one tenant.

    Attributes:
        labels: further dimensions, such as an instance or a mount point.
        limit: the physical end (bytes of a disk, connections of a pool), in the unit of the values.
        slo_threshold: the value at which users notice, in the unit of the values.
        step_s: expected seconds between samples.
        direction: which side is bad; null: nobody declared it, so the name of the metric tells.
        proposed_threshold: derived from the history of a series without SLO and limit; nobody has accepted it.
        series_id: a stable 63-bit id of tenant, service, metric and labels: the same on every machine and run.
    """

    tenant: str
    service: str
    metric: str
    labels: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""
    kind: SeriesKind = SeriesKind.GAUGE
    role: Role = Role.SATURATION
    limit: float | None = None
    slo_threshold: float | None = None
    step_s: int = DEFAULT_STEP_S
    direction: Direction | None = None
    proposed_threshold: float | None = None

    def __post_init__(self) -> None:
        for name in ("tenant", "service", "metric"):
            require_name(getattr(self, name), name)
        for key, value in self.labels.items():
            require_name(key, "a label's name")
            require_plain_text(value, f"label {key}")
        if not 0 < self.step_s <= MAX_STEP_S:
            raise InputError(f"step_s must be between 1 and {MAX_STEP_S}, got {self.step_s}")
        for name in ("limit", "slo_threshold", "proposed_threshold"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise InputError(f"{name} must be finite, got {value}")
        object.__setattr__(self, "series_id", self._id())

    def __setstate__(self, state: Sequence[object]) -> None:
        """Set the fields, as dataclasses do it, and what follows from them."""
        for one, value in zip(fields(self), state, strict=True):
            object.__setattr__(self, one.name, value)
        object.__setattr__(self, "series_id", self._id())

    def _id(self) -> int:
        parts = [self.tenant, self.service, self.metric]
        parts += [f"{key}={value}" for key, value in sorted(self.labels.items())]
        digest = hashlib.blake2b(SEPARATOR.join(parts).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1

    @property
    def name(self) -> str:
        """The series as people write it: `checkout/disk_used_bytes{mount=/data}`."""
        labels = ",".join(f"{key}={value}" for key, value in sorted(self.labels.items()))
        return f"{self.service}/{self.metric}" + (f"{{{labels}}}" if labels else "")

    @property
    def threshold(self) -> float | None:
        """The SLO threshold, else the limit."""
        return self.limit if self.slo_threshold is None else self.slo_threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A deploy, a config change, a maintenance window or a holiday. `service` "*" means all services.

    Attributes:
        metric, labels: the series that the event changed, such as the used share of a disk that was resized; null: the
            event is about the whole service.
    """

    tenant: str
    service: str
    kind: EventKind
    at: datetime
    until: datetime | None = None
    title: str = ""
    version: str = ""
    metric: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        require_name(self.service, "service")
        if self.metric is not None:
            require_name(self.metric, "metric")
        require_text(self.title, "title")
        require_text(self.version, "version")
        require_utc(self.at, "at")
        if self.until is not None:
            require_utc(self.until, "until")
            if self.until < self.at:
                raise InputError(f"an event cannot end ({self.until}) before it starts ({self.at})")

    @property
    def event_id(self) -> str:
        """A stable id, so that a webhook that is sent twice creates one event."""
        return stable_id(self.tenant, self.service, self.kind, self.at.isoformat(), self.title, self.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that broke. `start` is when users noticed it; `end` is null while it lasts."""

    tenant: str
    service: str
    type: str
    severity: Severity
    start: datetime
    end: datetime | None = None

    def __post_init__(self) -> None:
        require_name(self.service, "service")
        require_text(self.type, "type")
        require_utc(self.start, "start")
        if self.end is not None:
            require_utc(self.end, "end")
            if self.end < self.start:
                raise InputError(f"an incident cannot end ({self.end}) before it starts ({self.start})")

    @property
    def incident_id(self) -> str:
        """A stable id, so that an incident that is reported twice is stored once."""
        return stable_id(self.tenant, self.service, self.type, self.start.isoformat())


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """The model version that made a result; it leads to the run, its code, its data window and its features."""

    name: str
    version: int
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The expected value, and the interval in which a value lies with probability `level`."""

    expected: float
    lower: float
    upper: float
    level: float = 0.95

    def __post_init__(self) -> None:
        if not self.lower <= self.upper:
            raise InputError(f"a band's lower edge ({self.lower}) is above its upper edge ({self.upper})")
        require_unit_interval(self.level, "level")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """When something is expected: P10, P50 and P90 of the time, given that it happens within the horizon."""

    p10: datetime
    p50: datetime
    p90: datetime

    def __post_init__(self) -> None:
        for name in ("p10", "p50", "p90"):
            require_utc(getattr(self, name), name)
        if not self.p10 <= self.p50 <= self.p90:
            raise InputError(f"a time range must be ordered, got {self.p10}, {self.p50}, {self.p90}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """The prediction that a series crosses its threshold: how likely, and when.

    Attributes:
        probability: within `horizon_s`.
        when: expected time of the crossing; of a series that has crossed its threshold, the time of the crossing.
        upward: whether the bad side is above the threshold; null in signals of older versions.
        proposed: whether the threshold comes from the history of the series; nobody has accepted it.
        probability_by_horizon_s: the same within shorter times; never falls with the horizon.
    """

    threshold: float
    probability: float
    horizon_s: int
    when: TimeRange | None
    probability_by_horizon_s: Mapping[int, float] = field(default_factory=dict)
    upward: bool | None = None
    proposed: bool = False

    def __post_init__(self) -> None:
        require_unit_interval(self.probability, "probability")
        require_rising(self.probability_by_horizon_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One reason for a risk or a finding; the shares of all factors add up to the model's output."""

    name: str
    value: float | None
    contribution: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRisk:
    """The prediction that a service fails: for each horizon in seconds a probability, which never falls with it."""

    probability_by_horizon_s: Mapping[int, float]
    when: TimeRange | None
    likely_type: str | None
    factors: tuple[Factor, ...] = ()

    def __post_init__(self) -> None:
        require_rising(self.probability_by_horizon_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterResult:
    """Whether a filter lets a finding become an alert, and why.

    Attributes:
        name: of the filter.
    """

    name: str
    passed: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorResult:
    """The score of one detector at the peak; null if it could not score."""

    detector: str
    score: float | None
    p_value: float | None

    def __post_init__(self) -> None:
        require_unit_interval(self.score, "score")
        require_unit_interval(self.p_value, "p_value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One finding as evidence: what, where, when, how likely, why, and by which model.

    A signal that did not pass all filters is stored and never sent; `suppressed_by` names the first filter that it did
    not pass. `signal_id` is stable: the same finding has the same id in every watch cycle.
    """

    signal_id: str
    tenant: str
    kind: SignalKind
    service: str
    started_at: datetime
    summary: str
    severity: Severity
    metric: str | None = None
    series_id: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""
    ended_at: datetime | None = None
    peak_at: datetime | None = None
    shape: Shape | None = None
    value: float | None = None
    band: Band | None = None
    deviation_sigma: float | None = None
    score: float | None = None
    p_value: float | None = None
    filters: tuple[FilterResult, ...] = ()
    detectors: tuple[DetectorResult, ...] = ()
    breach: Breach | None = None
    risk: FailureRisk | None = None
    factors: tuple[Factor, ...] = ()
    nearby_events: tuple[Event, ...] = ()
    model: ModelRef | None = None
    links: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_utc(self.started_at, "started_at")
        require_unit_interval(self.score, "score")
        require_unit_interval(self.p_value, "p_value")

    @property
    def suppressed_by(self) -> str | None:
        return next((one.name for one in self.filters if not one.passed), None)


def stable_id(*parts: str) -> str:
    """32 hexadecimal digits that depend only on the parts (blake2b, 128 bits)."""
    return hashlib.blake2b(SEPARATOR.join(parts).encode(), digest_size=16).hexdigest()
