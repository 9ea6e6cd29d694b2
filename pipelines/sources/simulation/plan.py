"""Draws what happens to the fleet: incidents with and without precursors, and planned events.

Times are steps of the grid; step 0 is the first sample. Steps after the last sample are the future: only `Truth`
contains them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from core.domain import EventKind, Severity
from pipelines.sources.simulation.profiles import Profile

#: Causes with a slow precursor, and how many hours it lasts (shortest, longest).
SLOW_CAUSES = {
    "memory_leak": (5.0, 24.0),
    "disk_full": (6.0, 36.0),
    "pool_exhaustion": (5.0, 14.0),
    "queue_backlog": (4.0, 10.0),
    "latency_creep": (5.0, 16.0),
}
SEVERITY = {
    "memory_leak": Severity.CRITICAL,
    "disk_full": Severity.CRITICAL,
    "pool_exhaustion": Severity.CRITICAL,
    "queue_backlog": Severity.WARNING,
    "latency_creep": Severity.WARNING,
    "bad_deploy": Severity.CRITICAL,
    "sudden_outage": Severity.CRITICAL,
    "dependency_failure": Severity.WARNING,
}
#: The shares of a service's incidents without a slow precursor.
SUDDEN_SHARE, BAD_DEPLOY_SHARE = 0.015, 0.02
#: The share of slow precursors that stop by themselves, and how far they go (share of the way to the failure).
FIZZLE_SHARE, FIZZLE_REACH = 0.2, (0.15, 0.7)
#: How often a second, different precursor starts during the first.
OVERLAP_SHARE = 0.15
#: How often a failure of a dependency causes an incident of the caller.
CASCADE_SHARE = 0.015
#: How a precursor that stops ends: at once, slowly, or after hours on a high level.
ENDINGS = ("reset", "decay", "plateau")


@dataclass(frozen=True, slots=True)
class PlannedIncident:
    """A precursor and the incident that it leads to.

    Attributes:
        start: step at which the precursor begins; equal to `fails_at` where there is none.
        fails_at: step at which users notice, or null for a precursor that stops by itself.
        until: end of the incident, or the step at which the precursor stops.
        reach: share of the way to the failure that the precursor goes, in (0, 1].
        ending: how a precursor that stops ends, one of `ENDINGS`.
    """

    service: str
    cause: str
    start: int
    fails_at: int | None
    until: int
    reach: float = 1.0
    ending: str = "reset"
    power: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class PlannedEvent:
    """A deploy, a config change or a maintenance window, and what it does to the metrics.

    Attributes:
        effect: "none", "shift" (a new normal level), "blip" (errors and latency for minutes), "warmup" (memory
            and CPU rise for hours and then stay constant), or "window" (maintenance).
    """

    service: str
    kind: EventKind
    at: int
    until: int | None = None
    effect: str = "none"
    size: float = 0.0


@dataclass(slots=True)
class Plan:
    """All that happens, by service."""

    incidents: dict[str, list[PlannedIncident]] = field(default_factory=dict)
    planned: dict[str, list[PlannedEvent]] = field(default_factory=dict)

    def failures(self, service: str) -> list[PlannedIncident]:
        """The incidents of a service, without precursors that stop by themselves."""
        return [incident for incident in self.incidents[service] if incident.fails_at is not None]


def draw_plan(profiles: Sequence[Profile], steps: int, future: int, per_hour: int, seed: int) -> Plan:
    """What happens from step 0 to `steps` + `future`; dependencies come before their callers."""
    plan = Plan()
    for profile in profiles:
        rng = np.random.default_rng([seed, 2, profile.index])
        planner = _ServicePlanner(profile, steps + future, per_hour, rng)
        incidents = _place_at_end(profile, planner.incidents(), steps, per_hour)
        for name in profile.depends_on:
            incidents += planner.cascades(plan.failures(name), incidents)
        plan.incidents[profile.name] = sorted(incidents, key=lambda incident: incident.start)
        plan.planned[profile.name] = planner.planned(plan.incidents[profile.name])
    return plan


@dataclass(frozen=True, slots=True)
class _ServicePlanner:
    """Draws what happens to one service, in a fixed order, so that the same seed gives the same plan.

    Attributes:
        last: the step at which the plan ends.
    """

    profile: Profile
    last: int
    per_hour: int
    rng: np.random.Generator

    def incidents(self) -> list[PlannedIncident]:
        """The service's own incidents, by start."""
        profile, per_hour, rng = self.profile, self.per_hour, self.rng
        incidents: list[PlannedIncident] = []
        now = int(rng.uniform(0.2, 1.0) * profile.incident_gap_days * 24 * per_hour)
        while now < self.last:
            kind = rng.random()
            if kind < SUDDEN_SHARE:
                first = self._failure("sudden_outage", now, now)
            elif kind < SUDDEN_SHARE + BAD_DEPLOY_SHARE:
                onset = max(2, int(rng.uniform(0.15, 1.0) * per_hour))
                first = self._failure("bad_deploy", now, now + onset)
            else:
                first = self._slow(now)
            incidents.append(first)
            end = first.until
            if first.cause in SLOW_CAUSES and rng.random() < OVERLAP_SHARE:
                second = self._slow(now + int(rng.uniform(0.1, 0.8) * (first.until - now)), first.cause)
                incidents.append(second)
                end = max(end, second.until)
            calm_h = 16 + rng.exponential((profile.incident_gap_days - 0.6) * 24)
            now = end + int(calm_h * per_hour)
        return incidents

    def cascades(
        self, failures: Sequence[PlannedIncident], own: Sequence[PlannedIncident]
    ) -> list[PlannedIncident]:
        """Incidents that follow some minutes after the failures of a dependency."""
        per_hour, rng = self.per_hour, self.rng
        found = []
        for failure in failures:
            begin = failure.fails_at or 0
            at = begin + max(1, int(rng.uniform(0.1, 0.8) * per_hour))
            busy = any(one.start - 6 * per_hour < at < one.until + 6 * per_hour for one in own)
            if rng.random() < CASCADE_SHARE and at < failure.until and not busy:
                found.append(
                    PlannedIncident(
                        service=self.profile.name,
                        cause="dependency_failure",
                        start=begin,
                        fails_at=at,
                        until=failure.until + 2,
                        seed=int(rng.integers(2**31)),
                    )
                )
        return found

    def planned(self, incidents: Sequence[PlannedIncident]) -> list[PlannedEvent]:
        """Deploys, config changes and maintenance, by time; some of them cause or end the incidents."""
        rng, name, day = self.rng, self.profile.name, 24 * self.per_hour
        planned: list[PlannedEvent] = []

        def deploy(at: int, effect: str = "none", size: float = 0.0) -> None:
            planned.append(PlannedEvent(name, EventKind.DEPLOY, at, effect=effect, size=size))

        for at in _sometimes(2.5 * day, self.last, rng):
            effect = str(rng.choice(["none", "shift", "blip", "warmup"], p=[0.45, 0.2, 0.2, 0.15]))
            deploy(at, effect, float(rng.normal(0.0, 0.08) if effect == "shift" else rng.uniform(0.3, 1.0)))
        for incident in incidents:
            if incident.cause == "bad_deploy":
                deploy(incident.start)
                if rng.random() < 0.7:
                    deploy(incident.until)  # the rollback
            elif incident.cause == "memory_leak" and rng.random() < 0.6:
                deploy(incident.start)
            elif incident.cause in ("pool_exhaustion", "latency_creep") and rng.random() < 0.35:
                planned.append(PlannedEvent(name, EventKind.CONFIG_CHANGE, incident.start))
        for at in _sometimes(8 * day, self.last, rng):
            effect = str(rng.choice(["none", "shift"], p=[0.7, 0.3]))
            size = float(rng.normal(0.0, 0.06))
            planned.append(PlannedEvent(name, EventKind.CONFIG_CHANGE, at, effect=effect, size=size))
        for at in _sometimes(14 * day, self.last, rng):
            until = at + int(rng.uniform(0.7, 2.0) * self.per_hour)
            size = float(rng.uniform(0.3, 0.9))
            planned.append(PlannedEvent(name, EventKind.MAINTENANCE, at, until, "window", size))
        return sorted(planned, key=lambda event: event.at)

    def _slow(self, start: int, not_cause: str = "") -> PlannedIncident:
        """An incident with a slow precursor, or a precursor that stops by itself."""
        rng = self.rng
        causes = [cause for cause in SLOW_CAUSES if cause != not_cause]
        pairs = zip(self.profile.cause_weights, SLOW_CAUSES, strict=True)
        weights = np.array([weight for weight, cause in pairs if cause != not_cause])
        cause = str(rng.choice(causes, p=weights / weights.sum()))
        low, high = SLOW_CAUSES[cause]
        duration = int(np.exp(rng.uniform(np.log(low), np.log(high))) * self.per_hour)
        power = float(rng.uniform(1.1, 2.0) if cause == "queue_backlog" else rng.uniform(0.8, 1.4))
        if rng.random() >= FIZZLE_SHARE:
            return self._failure(cause, start, start + duration, power)
        reach = float(rng.uniform(*FIZZLE_REACH))
        return PlannedIncident(
            service=self.profile.name,
            cause=cause,
            start=start,
            fails_at=None,
            until=start + max(2, int(duration * reach)),
            reach=reach,
            ending=str(rng.choice(ENDINGS)),
            power=power,
            seed=int(rng.integers(2**31)),
        )

    def _failure(self, cause: str, start: int, fails_at: int, power: float = 1.0) -> PlannedIncident:
        lasts = max(3, int(np.exp(self.rng.uniform(np.log(0.4), np.log(2.5))) * self.per_hour))
        return PlannedIncident(
            service=self.profile.name,
            cause=cause,
            start=start,
            fails_at=fails_at,
            until=fails_at + lasts,
            power=power,
            seed=int(self.rng.integers(2**31)),
        )


#: Incidents around the last sample: service index -> cause, start (h before it), failure (h after it; null: none).
AT_END: dict[int, tuple[str, float, float | None]] = {
    0: ("disk_full", 12.0, 4.2),
    1: ("memory_leak", 9.0, 2.5),
    3: ("latency_creep", 5.0, 3.0),
    6: ("pool_exhaustion", 4.5, 1.5),
    8: ("disk_full", 3.0, None),
}


def _place_at_end(
    profile: Profile, incidents: list[PlannedIncident], steps: int, per_hour: int
) -> list[PlannedIncident]:
    """Replace what was drawn near the last sample by the incidents of `AT_END`."""
    if profile.index not in AT_END:
        return incidents
    cause, before_h, after_h = AT_END[profile.index]
    start = steps - int(before_h * per_hour)
    if start <= 12 * per_hour:
        return incidents
    kept = [incident for incident in incidents if incident.until + 16 * per_hour < start]
    seed = 7919 + profile.index
    if after_h is None:
        until = steps + per_hour
        return [*kept, PlannedIncident(profile.name, cause, start, None, until, reach=0.4, seed=seed)]
    fails_at = steps + int(after_h * per_hour)
    return [*kept, PlannedIncident(profile.name, cause, start, fails_at, fails_at + per_hour, seed=seed)]


def _sometimes(mean_gap: float, last: int, rng: np.random.Generator) -> list[int]:
    gaps = rng.exponential(mean_gap, int(3 * last / mean_gap) + 8).cumsum()
    return [int(at) for at in gaps if at < last]
