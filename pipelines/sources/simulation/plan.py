"""What happens to the fleet: incidents with and without precursors, and the planned events around them.

Times are steps of the grid (step 0 is the first sample); those after the last sample are the future,
known to the truth alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from core.domain import EventKind, Severity
from pipelines.sources.simulation.profiles import Profile

#: Causes that announce themselves, and how many hours their precursors last (shortest, longest).
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
#: Of the incidents of a service, how many come without a slow precursor.
SUDDEN_SHARE, BAD_DEPLOY_SHARE = 0.015, 0.02
#: Of the slow precursors, how many stop by themselves, and after which share of the way.
FIZZLE_SHARE, FIZZLE_REACH = 0.2, (0.15, 0.7)
#: How often a second, different precursor begins while the first runs.
OVERLAP_SHARE = 0.15
#: How often a failure of a dependency takes the caller down with it.
CASCADE_SHARE = 0.015
#: What ends a precursor that stops: at once, slowly, or it stays high for hours and then ends.
ENDINGS = ("reset", "decay", "plateau")


@dataclass(frozen=True, slots=True)
class PlannedIncident:
    """A precursor and what it leads to.

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
class Planned:
    """A deploy, a config change or a maintenance window, and what it does to the metrics.

    Attributes:
        effect: "none", "shift" (a new normal), "blip" (errors and latency for minutes), "warmup" (memory
            and CPU rise for hours, then level off), or "window" (maintenance).
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
    planned: dict[str, list[Planned]] = field(default_factory=dict)

    def failures(self, service: str) -> list[PlannedIncident]:
        return [trouble for trouble in self.incidents[service] if trouble.fails_at is not None]


def draw_plan(profiles: Sequence[Profile], steps: int, future: int, per_hour: int, seed: int) -> Plan:
    """What happens from step 0 to `steps` + `future`; dependencies come before their callers."""
    plan = Plan()
    last = steps + future
    for profile in profiles:
        rng = np.random.default_rng([seed, 2, profile.index])
        incidents = _draw_troubles(profile, last, per_hour, rng)
        incidents = _place_at_end(profile, incidents, steps, per_hour)
        for name in profile.depends_on:
            incidents += _cascades(profile.name, plan.failures(name), incidents, per_hour, rng)
        plan.incidents[profile.name] = sorted(incidents, key=lambda trouble: trouble.start)
        plan.planned[profile.name] = _draw_planned(profile, plan.incidents[profile.name], last, per_hour, rng)
    return plan


def _draw_troubles(
    profile: Profile, last: int, per_hour: int, rng: np.random.Generator
) -> list[PlannedIncident]:
    incidents: list[PlannedIncident] = []
    now = int(rng.uniform(0.2, 1.0) * profile.incident_gap_days * 24 * per_hour)
    while now < last:
        kind = rng.random()
        if kind < SUDDEN_SHARE:
            first = _failure(profile.name, "sudden_outage", now, now, per_hour, rng)
        elif kind < SUDDEN_SHARE + BAD_DEPLOY_SHARE:
            onset = max(2, int(rng.uniform(0.15, 1.0) * per_hour))
            first = _failure(profile.name, "bad_deploy", now, now + onset, per_hour, rng)
        else:
            first = _slow(profile, now, per_hour, rng)
        incidents.append(first)
        end = first.until
        if first.cause in SLOW_CAUSES and rng.random() < OVERLAP_SHARE:
            second = _slow(
                profile, now + int(rng.uniform(0.1, 0.8) * (first.until - now)), per_hour, rng, first.cause
            )
            incidents.append(second)
            end = max(end, second.until)
        calm_h = 16 + rng.exponential((profile.incident_gap_days - 0.6) * 24)
        now = end + int(calm_h * per_hour)
    return incidents


def _slow(
    profile: Profile, start: int, per_hour: int, rng: np.random.Generator, not_cause: str = ""
) -> PlannedIncident:
    causes = [cause for cause in SLOW_CAUSES if cause != not_cause]
    weights = np.array([w for w, c in zip(profile.cause_weights, SLOW_CAUSES, strict=True) if c != not_cause])
    cause = str(rng.choice(causes, p=weights / weights.sum()))
    low, high = SLOW_CAUSES[cause]
    duration = int(np.exp(rng.uniform(np.log(low), np.log(high))) * per_hour)
    power = float(rng.uniform(1.1, 2.0) if cause == "queue_backlog" else rng.uniform(0.8, 1.4))
    if rng.random() >= FIZZLE_SHARE:
        return _failure(profile.name, cause, start, start + duration, per_hour, rng, power)
    reach = float(rng.uniform(*FIZZLE_REACH))
    return PlannedIncident(
        service=profile.name,
        cause=cause,
        start=start,
        fails_at=None,
        until=start + max(2, int(duration * reach)),
        reach=reach,
        ending=str(rng.choice(ENDINGS)),
        power=power,
        seed=int(rng.integers(2**31)),
    )


def _failure(
    service: str,
    cause: str,
    start: int,
    fails_at: int,
    per_hour: int,
    rng: np.random.Generator,
    power: float = 1.0,
) -> PlannedIncident:
    lasts = max(3, int(np.exp(rng.uniform(np.log(0.4), np.log(2.5))) * per_hour))
    return PlannedIncident(
        service, cause, start, fails_at, fails_at + lasts, power=power, seed=int(rng.integers(2**31))
    )


#: A fleet ends with known trouble ahead: service index -> cause, began h before, fails h after (or not).
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
    """Puts the incidents of `AT_END` around the last sample, in place of what was drawn there."""
    if profile.index not in AT_END:
        return incidents
    cause, before_h, after_h = AT_END[profile.index]
    start = steps - int(before_h * per_hour)
    if start <= 12 * per_hour:
        return incidents
    kept = [trouble for trouble in incidents if trouble.until + 16 * per_hour < start]
    seed = 7919 + profile.index
    if after_h is None:
        until = steps + per_hour
        return [*kept, PlannedIncident(profile.name, cause, start, None, until, reach=0.4, seed=seed)]
    fails_at = steps + int(after_h * per_hour)
    return [*kept, PlannedIncident(profile.name, cause, start, fails_at, fails_at + per_hour, seed=seed)]


def _cascades(
    service: str,
    failures: Sequence[PlannedIncident],
    own: Sequence[PlannedIncident],
    per_hour: int,
    rng: np.random.Generator,
) -> list[PlannedIncident]:
    """Failures of a dependency that pull this service down some minutes later."""
    found = []
    for failure in failures:
        begin = failure.fails_at or 0
        at = begin + max(1, int(rng.uniform(0.1, 0.8) * per_hour))
        busy = any(trouble.start - 6 * per_hour < at < trouble.until + 6 * per_hour for trouble in own)
        if rng.random() < CASCADE_SHARE and at < failure.until and not busy:
            found.append(
                PlannedIncident(
                    service,
                    "dependency_failure",
                    begin,
                    at,
                    failure.until + 2,
                    seed=int(rng.integers(2**31)),
                )
            )
    return found


def _draw_planned(
    profile: Profile,
    incidents: Sequence[PlannedIncident],
    last: int,
    per_hour: int,
    rng: np.random.Generator,
) -> list[Planned]:
    day = 24 * per_hour
    name = profile.name
    planned: list[Planned] = []

    def deploy(at: int, effect: str = "none", size: float = 0.0) -> None:
        planned.append(Planned(name, EventKind.DEPLOY, at, effect=effect, size=size))

    for at in _sometimes(2.5 * day, last, rng):
        effect = str(rng.choice(["none", "shift", "blip", "warmup"], p=[0.45, 0.2, 0.2, 0.15]))
        deploy(at, effect, float(rng.normal(0.0, 0.08) if effect == "shift" else rng.uniform(0.3, 1.0)))
    for trouble in incidents:
        if trouble.cause == "bad_deploy":
            deploy(trouble.start)
            if rng.random() < 0.7:
                deploy(trouble.until)  # the rollback
        elif trouble.cause == "memory_leak" and rng.random() < 0.6:
            deploy(trouble.start)
        elif trouble.cause in ("pool_exhaustion", "latency_creep") and rng.random() < 0.35:
            planned.append(Planned(name, EventKind.CONFIG_CHANGE, trouble.start))
    for at in _sometimes(8 * day, last, rng):
        effect = str(rng.choice(["none", "shift"], p=[0.7, 0.3]))
        planned.append(
            Planned(name, EventKind.CONFIG_CHANGE, at, effect=effect, size=float(rng.normal(0.0, 0.06)))
        )
    for at in _sometimes(14 * day, last, rng):
        until = at + int(rng.uniform(0.7, 2.0) * per_hour)
        planned.append(
            Planned(name, EventKind.MAINTENANCE, at, until, "window", float(rng.uniform(0.3, 0.9)))
        )
    return sorted(planned, key=lambda event: event.at)


def _sometimes(mean_gap: float, last: int, rng: np.random.Generator) -> list[int]:
    gaps = rng.exponential(mean_gap, int(3 * last / mean_gap) + 8).cumsum()
    return [int(at) for at in gaps if at < last]
