"""Rank where an incident comes from: services and kinds of origin, the likeliest first. Pure.

Every deviation is evidence, but most deviations are effects: a caller is slow because its callee is slow. Three rules
tell causes from effects:

- Latency, errors and failing success rates count only as far as the callees of the service do not explain them.
- A resource that is used more than in the past counts for its own service.
- If a caller waits longer than its callee takes, the difference is lost on the network between the two. If all callers
  of a service lose time, the network of that service is the suspect.

The strength of a deviation is the logarithm of its sigma, so that one series that was constant before and moves now
does not outweigh all others.

References:
    Nguyen et al. (2013), FChain, ICDCS (abnormal change and its way along the dependencies).
    Liu et al. (2021), MicroHECL, ICSE-SEIP (following the calls to where the anomaly stops).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np
import polars as pl

from core.directions import low_is_bad
from core.domain import Role, Series, ServiceEdges
from core.formatting import format_deviation
from core.metric_names import MeasuredAt, Resource, measured_at, resource_of

#: Each series is compared with its own values during this time before the onset.
BEFORE = timedelta(minutes=30)
#: Smaller deviations are noise.
NOISE_SIGMA = 2.0
#: The sigma of a series that was constant before has no upper bound; larger values count as this one.
MOST_SIGMA = 1000.0
#: A callee explains its caller if it changed by at least this share of the caller's change. The share is small because
#: one request may make many calls.
MATERIAL = 0.05
#: Every origin at a service also gets this share of the strongest evidence against that service.
OWN_BLAME = 0.5
#: Labels of series that are measured for a pair of services, and which of the two measured it. The names are Istio's.
CALLER, CALLEE = ("source", "source_workload"), ("destination", "destination_workload")
SEEN_BY, AT_CALLER, AT_CALLEE = "reporter", "source", "destination"


class Origin(StrEnum):
    """The kind of thing that an incident comes from."""

    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"
    NETWORK = "network"
    SERVICE = "service"  # its own code or configuration: slow, failing or silent, and no resource is at fault


#: The origin that a deviation of a resource points to. Pools, queues and files belong to the service itself.
_ORIGIN_OF: Mapping[Resource, Origin] = {
    Resource.CPU: Origin.CPU,
    Resource.MEMORY: Origin.MEMORY,
    Resource.DISK: Origin.DISK,
    Resource.INODES: Origin.DISK,
    Resource.NETWORK: Origin.NETWORK,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How one series differs from what it was just before the onset.

    Attributes:
        sigma: change of the deviation from the baseline, in sigma, signed.
        change: change of the value, in the unit of the series, signed.
    """

    series: Series
    sigma: float
    change: float

    @property
    def strength(self) -> float:
        """Logarithm of the size beyond noise, in either direction; >= 0."""
        return float(np.log1p(min(max(abs(self.sigma) - NOISE_SIGMA, 0.0), MOST_SIGMA)))

    @property
    def rise(self) -> float:
        return self.strength if self.sigma > 0 else 0.0

    @property
    def fall(self) -> float:
        return self.strength if self.sigma < 0 else 0.0

    @property
    def worsening(self) -> float:
        """The strength if the series moved to its bad side, else 0."""
        return self.fall if low_is_bad(self.series) else self.rise


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """One possible origin of an incident.

    Attributes:
        weight: only the order of weights has a meaning; >= 0.
        reason: the strongest evidence, in words.
    """

    service: str
    origin: Origin
    weight: float
    reason: str


def deviations(
    scored: pl.DataFrame, series: Mapping[int, Series], *, onset: datetime, until: datetime
) -> list[Deviation]:
    """How each series changed at the onset of an incident: the median since then, less the median before.

    Args:
        scored: what `DetectorBundle.score` returned, from at least half an hour before `onset` on.
        series: by `series_id`.
        until: the present; later values are ignored.
    Returns:
        One deviation for each series that has values before and after the onset.
    """
    known = scored.filter(pl.col("deviation_sigma").is_not_null())
    sides = {}
    for name, start, end in (("before", onset - BEFORE, onset), ("after", onset, until)):
        sides[name] = (
            known.filter((pl.col("ts") >= start) & (pl.col("ts") < end))
            .group_by("series_id")
            .agg(pl.col("deviation_sigma", "value").median())
        )
    both = sides["before"].join(sides["after"], on="series_id", suffix="_after").sort("series_id")
    return [
        Deviation(series=series[key], sigma=sigma_after - sigma, change=value_after - value)
        for key, sigma, value, sigma_after, value_after in both.iter_rows()
        if key in series
    ]


def rank_suspects(found: Iterable[Deviation], edges: ServiceEdges = ()) -> list[Suspect]:
    """Every service and kind of origin that has evidence against it, the likeliest first.

    Args:
        edges: the service graph. Pairs of services whose latency is measured are added to it.
    """
    return _Ranking(list(found), edges).ranked()


class _Ranking:
    def __init__(self, found: Sequence[Deviation], edges: ServiceEdges) -> None:
        self._own: dict[str, list[Deviation]] = defaultdict(list)
        #: (caller, callee) -> side that measured -> what it measured of the same calls.
        self._calls: dict[tuple[str, str], dict[str, Deviation]] = defaultdict(dict)
        for one in found:
            pair = pair_of(one.series)
            if pair is None:
                self._own[one.series.service].append(one)
            else:
                self._calls[pair][one.series.labels.get(SEEN_BY, AT_CALLER)] = one
        self._callees: dict[str, set[str]] = defaultdict(set)
        self._callers: dict[str, set[str]] = defaultdict(set)
        for caller, callee in {*edges, *self._calls}:
            self._callees[caller].add(callee)
            self._callers[callee].add(caller)

    def ranked(self) -> list[Suspect]:
        services = sorted({*self._own, *self._callees, *self._callers})
        suspects = []
        for service in services:
            evidence = self._evidence(service)
            blame = max((weight for weight, _ in evidence.values()), default=0.0)
            if blame <= 0.0:
                continue
            worst = max(evidence.values())[1]
            # Code and configuration have no metric of their own. They are suspect wherever anything else is.
            evidence.setdefault(Origin.SERVICE, (0.0, f"nothing else accounts for {worst}"))
            suspects += [
                Suspect(service=service, origin=origin, weight=weight + OWN_BLAME * blame, reason=reason)
                for origin, (weight, reason) in evidence.items()
                if weight > 0 or origin is Origin.SERVICE
            ]
        return sorted(suspects, key=lambda one: (-one.weight, one.service, list(Origin).index(one.origin)))

    def _evidence(self, service: str) -> dict[Origin, tuple[float, str]]:
        evidence: dict[Origin, tuple[float, str]] = {}

        def add(origin: Origin, weight: float, reason: str) -> None:
            if weight > evidence.get(origin, (0.0, ""))[0]:
                evidence[origin] = (weight, reason)

        own = self._own.get(service, [])
        for one in _not_of_the_host(own):
            origin = origin_of(one.series)
            if origin is not None:
                add(origin, one.worsening, _text(one))
        for one in own:
            if origin_of(one.series) is None:
                add(Origin.SERVICE, self._unexplained(service, one), _text(one))
        for pair, sides in self._calls.items():
            if pair[1] == service and AT_CALLEE in sides:
                add(Origin.SERVICE, self._unexplained(service, sides[AT_CALLEE]), _text(sides[AT_CALLEE]))
        add(Origin.NETWORK, *self._lost_on_the_way(service))
        return evidence

    def _unexplained(self, service: str, one: Deviation) -> float:
        """The strength of a symptom of the service, less what its callees explain."""
        series = one.series
        match series.role:
            case Role.LATENCY:
                if measured_at(series.metric) is MeasuredAt.CALLEE:
                    return 0.0  # the callee takes this time
                strength = one.rise
            case Role.ERRORS:
                strength = one.rise
            case Role.TRAFFIC:
                return 0.0
            case _:
                strength = one.fall if low_is_bad(series) else 0.0
        explained = 0.0
        for callee in self._callees[service]:
            for other in self._like_it(service, callee, series):
                if abs(other.change) >= MATERIAL * abs(one.change) and other.sigma * one.sigma > 0:
                    explained = max(explained, other.strength)
        return max(strength - explained, 0.0)

    def _like_it(self, caller: str, callee: str, series: Series) -> list[Deviation]:
        """The deviations of a callee that are of the same kind as a symptom of its caller, whatever the percentile."""
        own = [one for one in self._own.get(callee, []) if _same_kind(one.series, series)]
        sides = self._calls.get((caller, callee), {}).values()
        return own + [side for side in sides if _same_kind(side.series, series)]

    def _lost_on_the_way(self, service: str) -> tuple[float, str]:
        """The network delay of a service: the wait that the other side does not explain, and a reason.

        It is the mean over all callers of the service, or the mean over all its callees, whichever is larger.
        """
        into = [pair for pair in self._calls if pair[1] == service]
        out = [pair for pair in self._calls if pair[0] == service]
        best = (0.0, "")
        for pairs in (into, out):
            lost = [self._lost(pair) for pair in pairs]
            if lost and float(np.mean(lost)) > best[0]:
                caller, callee = pairs[int(np.argmax(lost))]
                best = (float(np.mean(lost)), f"{caller} waits for {callee} longer than {callee} takes")
        return best

    def _lost(self, pair: tuple[str, str]) -> float:
        sides = self._calls[pair]
        waits, takes = sides.get(AT_CALLER), sides.get(AT_CALLEE)
        if waits is None or takes is None or waits.change <= 0:
            return 0.0
        share = 1.0 - max(takes.change, 0.0) / waits.change
        return waits.rise * max(share, 0.0)


def pair_of(series: Series) -> tuple[str, str] | None:
    """(caller, callee) of a series that is measured for a pair of services; null for any other series."""
    caller, callee = (
        next((series.labels[name] for name in names if name in series.labels), None)
        for names in (CALLER, CALLEE)
    )
    return None if caller is None or callee is None else (caller, callee)


def origin_of(series: Series) -> Origin | None:
    """The resource that a metric measures, by its name; null for latency, errors, traffic and all else."""
    if series.role in (Role.LATENCY, Role.ERRORS, Role.TRAFFIC):
        return None
    resource = resource_of(series.metric)
    return None if resource is None else _ORIGIN_OF.get(resource)


def _same_kind(one: Series, other: Series) -> bool:
    if Role.LATENCY in (one.role, other.role) or Role.ERRORS in (one.role, other.role):
        return one.role is other.role and one.unit == other.unit
    both_fall = bool(low_is_bad(one) and low_is_bad(other))
    return both_fall and resource_of(one.metric) is resource_of(other.metric) and one.unit == other.unit


def _not_of_the_host(own: Sequence[Deviation]) -> list[Deviation]:
    """Leave out a resource of the host, which several services share, if the service has its own measure of it."""
    own_origins = {origin_of(one.series) for one in own if not _at_host(one.series)}
    return [one for one in own if not _at_host(one.series) or origin_of(one.series) not in own_origins]


def _at_host(series: Series) -> bool:
    return measured_at(series.metric) is MeasuredAt.HOST


def _text(one: Deviation) -> str:
    side = "above" if one.sigma > 0 else "below"
    return f"{one.series.name} {format_deviation(one.sigma)} {side} normal"
