"""Where a trouble comes from: services and kinds of cause, the likeliest first. Pure.

Everything that deviates is evidence, but most of it is felt and not done: a caller is slow because what it calls is.
So latency, errors and missing traffic count only as far as nothing the service calls explains them; a resource that
is used beyond its own past speaks for its own service; and time that a caller waits but its callee does not spend is
lost on the network between them, which is the callee's if all who call it lose it. Strengths are logarithms of
sigmas, so that a constant series that moves for once does not drown the rest.

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

from core.domain import Role, Series

#: What is compared with the time before the trouble: so long before it.
BEFORE = timedelta(minutes=30)
#: Deviations up to here are everyday noise.
NOISE_SIGMA = 2.0
#: What never moved before is strange when it moves, but no stranger than this.
MOST_SIGMA = 1000.0
#: A callee explains its caller if it rose by at least this share of the caller's rise: one request may make many calls.
MATERIAL = 0.05
#: Every origin at a service gains this share of the strongest evidence against that service.
OWN_BLAME = 0.5
#: Labels of what is measured for each pair of services, and by which of the two, as Istio names them.
CALLER, CALLEE = ("source", "source_workload"), ("destination", "destination_workload")
SEEN_BY, AT_CALLER, AT_CALLEE = "reporter", "source", "destination"


class Origin(StrEnum):
    """What kind of thing a trouble comes from."""

    CPU = "cpu"
    MEMORY = "memory"
    DISK = "disk"
    NETWORK = "network"
    SERVICE = "service"  # its own code or configuration: slow, failing or silent without a resource at fault


#: How the name of a metric tells the resource; the first that fits.
RESOURCE_WORDS = {
    Origin.MEMORY: ("memory", "mem_", "heap", "rss", "swap", "oom"),
    Origin.CPU: ("cpu", "throttl", "load1", "load5"),
    Origin.DISK: ("disk", "filesystem", "inode", "volume", "iops"),
    Origin.NETWORK: ("retrans", "packet_loss", "packets_dropped", "tcp_err"),
}
_GOOD_WORDS = ("success", "availab", "apdex", "healthy", "uptime")
_CLIENT_WORDS = ("client", "upstream", "outbound", "egress")
_HOST_WORDS = ("node", "host", "machine", "instance")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How one series differs from what it was just before.

    Attributes:
        sigma: change of its deviation from the baseline, signed; change: of the value itself, in its unit.
    """

    series: Series
    sigma: float
    change: float

    @property
    def strength(self) -> float:
        """Logarithm of how far beyond noise, >= 0, whatever the direction."""
        return float(np.log1p(min(max(abs(self.sigma) - NOISE_SIGMA, 0.0), MOST_SIGMA)))

    @property
    def rise(self) -> float:
        return self.strength if self.sigma > 0 else 0.0

    @property
    def fall(self) -> float:
        return self.strength if self.sigma < 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """One possible origin; `weight` >= 0 orders them and means nothing else; `reason` names the strongest evidence."""

    service: str
    origin: Origin
    weight: float
    reason: str


def deviations(
    scored: pl.DataFrame, series: Mapping[int, Series], *, onset: datetime, until: datetime
) -> list[Deviation]:
    """How each series changed at the onset of a trouble.

    Args:
        scored: what `DetectorBundle.score` returned, from at least half an hour before `onset` on.
        series: by id.
        until: the present; nothing after it is looked at.
    Returns:
        Those with values on both sides, the medians of which are compared.
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


def rank_suspects(found: Iterable[Deviation], edges: Iterable[tuple[str, str]] = ()) -> list[Suspect]:
    """Every service and kind of origin that something speaks for, the likeliest first.

    Args:
        edges: who calls whom, (caller, callee); pairs with latency of their own are known without.
    """
    return _Ranking(list(found), edges).ranked()


class _Ranking:
    def __init__(self, found: Sequence[Deviation], edges: Iterable[tuple[str, str]]) -> None:
        self._own: dict[str, list[Deviation]] = defaultdict(list)
        #: (caller, callee) -> what each side measured of the same calls.
        self._seen: dict[tuple[str, str], dict[str, Deviation]] = defaultdict(dict)
        for one in found:
            pair = pair_of(one.series)
            if pair is None:
                self._own[one.series.service].append(one)
            else:
                self._seen[pair][one.series.labels.get(SEEN_BY, AT_CALLER)] = one
        self._callees: dict[str, set[str]] = defaultdict(set)
        self._callers: dict[str, set[str]] = defaultdict(set)
        for caller, callee in {*edges, *self._seen}:
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
            # Code and configuration have no metric of their own: they are suspect wherever anything is.
            evidence.setdefault(Origin.SERVICE, (0.0, f"nothing else accounts for {worst}"))
            suspects += [
                Suspect(service=service, origin=origin, weight=weight + OWN_BLAME * blame, reason=reason)
                for origin, (weight, reason) in evidence.items()
                if weight > 0 or origin is Origin.SERVICE
            ]
        return sorted(suspects, key=lambda one: (-one.weight, one.service, list(Origin).index(one.origin)))

    def _evidence(self, service: str) -> dict[Origin, tuple[float, str]]:
        evidence: dict[Origin, tuple[float, str]] = {}

        def say(origin: Origin, weight: float, reason: str) -> None:
            if weight > evidence.get(origin, (0.0, ""))[0]:
                evidence[origin] = (weight, reason)

        own = self._own.get(service, [])
        for one in _not_of_the_host(own):
            origin = resource_of(one.series)
            if origin is not None:
                say(origin, one.rise, _text(one))
        for one in own:
            if resource_of(one.series) is None:
                say(Origin.SERVICE, self._unexplained(service, one), _text(one))
        for pair, sides in self._seen.items():
            if pair[1] == service and AT_CALLEE in sides:
                say(Origin.SERVICE, self._unexplained(service, sides[AT_CALLEE]), _text(sides[AT_CALLEE]))
        say(Origin.NETWORK, *self._lost_on_the_way(service))
        return evidence

    def _unexplained(self, service: str, one: Deviation) -> float:
        """How strongly a symptom speaks for the service itself, after what those it calls explain of it."""
        series = one.series
        match series.role:
            case Role.LATENCY:
                if _has(series.metric, _CLIENT_WORDS):
                    return 0.0  # the time of those it calls
                felt = one.rise
            case Role.ERRORS:
                felt = one.rise
            case Role.TRAFFIC:
                return 0.0
            case _:
                felt = one.fall if is_good(series) else 0.0
        explained = 0.0
        for callee in self._callees[service]:
            for other in self._felt_of(service, callee, series):
                if abs(other.change) >= MATERIAL * abs(one.change) and other.sigma * one.sigma > 0:
                    explained = max(explained, other.strength)
        return max(felt - explained, 0.0)

    def _felt_of(self, caller: str, callee: str, series: Series) -> list[Deviation]:
        """What of a callee is of the same kind as a symptom of its caller: any percentile of a latency is."""
        own = [one for one in self._own.get(callee, []) if _same_kind(one.series, series)]
        sides = self._seen.get((caller, callee), {}).values()
        return own + [side for side in sides if _same_kind(side.series, series)]

    def _lost_on_the_way(self, service: str) -> tuple[float, str]:
        """Mean over its callers, or over those it calls, of the wait that the other side does not account for."""
        into = [pair for pair in self._seen if pair[1] == service]
        out = [pair for pair in self._seen if pair[0] == service]
        best = (0.0, "")
        for pairs in (into, out):
            lost = [self._lost(pair) for pair in pairs]
            if lost and float(np.mean(lost)) > best[0]:
                caller, callee = pairs[int(np.argmax(lost))]
                best = (float(np.mean(lost)), f"{caller} waits for {callee} longer than {callee} takes")
        return best

    def _lost(self, pair: tuple[str, str]) -> float:
        sides = self._seen[pair]
        waits, takes = sides.get(AT_CALLER), sides.get(AT_CALLEE)
        if waits is None or takes is None or waits.change <= 0:
            return 0.0
        share = 1.0 - max(takes.change, 0.0) / waits.change
        return waits.rise * max(share, 0.0)


def pair_of(series: Series) -> tuple[str, str] | None:
    """(caller, callee) of a series that is measured for a pair of services."""
    caller, callee = (
        next((series.labels[name] for name in names if name in series.labels), None)
        for names in (CALLER, CALLEE)
    )
    return None if caller is None or callee is None else (caller, callee)


def resource_of(series: Series) -> Origin | None:
    """Which resource a metric is of, by its name; null for what users feel."""
    if series.role in (Role.LATENCY, Role.ERRORS, Role.TRAFFIC):
        return None
    return next((origin for origin, words in RESOURCE_WORDS.items() if _has(series.metric, words)), None)


def _same_kind(one: Series, other: Series) -> bool:
    if Role.LATENCY in (one.role, other.role) or Role.ERRORS in (one.role, other.role):
        return one.role is other.role and one.unit == other.unit
    return is_good(one) and is_good(other) and one.unit == other.unit


def is_good(series: Series) -> bool:
    """Whether a high value is good, as of a success rate."""
    return _has(series.metric, _GOOD_WORDS)


def _not_of_the_host(own: Sequence[Deviation]) -> list[Deviation]:
    """Without what is measured of the host, which others share, where the service has a measure of its own."""
    mine = {resource_of(one.series) for one in own if not _has(one.series.metric, _HOST_WORDS)}
    return [
        one for one in own
        if not _has(one.series.metric, _HOST_WORDS) or resource_of(one.series) not in mine
    ]  # fmt: skip


def _text(one: Deviation) -> str:
    side = "above" if one.sigma > 0 else "below"
    return f"{one.series.name} {abs(one.sigma):.1f} sigma {side} what is usual"


def _has(text: str, words: Sequence[str]) -> bool:
    return any(word in text.lower() for word in words)
