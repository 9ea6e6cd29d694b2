"""Computes the metrics of one service from its profile and from all that happens to it. Pure NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from core.arrays import FloatArray, IntArray
from core.domain import EventKind
from pipelines.sources.simulation.plan import PlannedEvent, PlannedIncident
from pipelines.sources.simulation.profiles import Profile

#: Impact of an incident by its cause: (error ratio added, latency factor, share of traffic lost).
IMPACT = {
    "memory_leak": (0.15, 2.5, 0.15),
    "disk_full": (0.30, 1.6, 0.20),
    "pool_exhaustion": (0.12, 5.0, 0.25),
    "queue_backlog": (0.03, 3.0, 0.05),
    "latency_creep": (0.02, 1.6, 0.05),
    "bad_deploy": (0.25, 1.8, 0.10),
    "sudden_outage": (0.50, 4.0, 0.60),
    "dependency_failure": (0.10, 3.0, 0.10),
}
#: Impact of an incident on a service that calls the failing one, as a share of the impact on the failing service.
CALLER_IMPACT_SHARE = 0.25
#: A cache that fills after a deploy takes up to this share of the memory that is free.
WARM_UP_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Grid:
    """The times of the samples.

    Attributes:
        hour: of each step, UTC, in [0, 24); length n.
        weekday: of each step, 0 = Monday; length n.
        per_hour: steps in an hour.
    """

    hour: FloatArray
    weekday: IntArray
    per_hour: int

    def __len__(self) -> int:
        return len(self.hour)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceHistory:
    """All that happens to one service.

    Attributes:
        dependency_failures: incidents of the services that this one depends on.
    """

    incidents: Sequence[PlannedIncident]
    planned: Sequence[PlannedEvent]
    dependency_failures: Sequence[PlannedIncident]


@dataclass(slots=True)
class _Levels:
    """The metrics on the grid before units, limits and gaps; each has length n and is changed in place.

    `traffic` is relative to the usual traffic; `memory`, `disk` and `pool` are shares of their limits.
    """

    traffic: FloatArray
    cpu: FloatArray
    latency: FloatArray
    errors: FloatArray
    pool: FloatArray
    queue: FloatArray
    memory: FloatArray
    disk: FloatArray


def render(profile: Profile, history: ServiceHistory, grid: Grid, seed: int) -> dict[str, FloatArray]:
    """The eight metrics on the grid; NaN = no sample.

    Returns:
        metric -> float64 of length n, in the unit of the series.
    """
    rng = np.random.default_rng([seed, 3, profile.index])
    levels = _normal_levels(profile, grid, rng)
    for event in history.planned:
        if event.at < len(grid):
            _add_event(levels, event, history.planned, profile, grid.per_hour)
    for incident in history.incidents:
        _add_precursor(levels, incident, profile, grid.per_hour)
    for incident in [*history.incidents, *history.dependency_failures]:
        _add_impact(levels, incident, profile)
    return _with_gaps(_metrics(levels, profile), len(grid), grid.per_hour, rng)


def _normal_levels(profile: Profile, grid: Grid, rng: np.random.Generator) -> _Levels:
    """The metrics of a service without planned events and incidents: season, noise and harmless patterns."""
    n, hour, per_hour = len(grid), grid.hour, grid.per_hour
    noise = profile.noise

    def wander(scale: float, memory_h: float) -> FloatArray:
        """First-order autoregressive noise that decays over `memory_h`; standard deviation `scale`."""
        keep = float(np.exp(-1.0 / max(memory_h * per_hour, 1e-9)))
        shocks = rng.normal(0.0, scale * noise * np.sqrt(1 - keep**2), n)
        out: FloatArray = lfilter([1.0], [1.0, -keep], shocks)
        return out

    swing = profile.day_swing * np.cos((hour - profile.peak_hour) * (2 * np.pi / 24))
    season = (1 + swing + 0.3 * swing * np.cos((hour - profile.peak_hour) * (4 * np.pi / 24))) * np.where(
        grid.weekday >= 5, profile.weekend_factor, 1.0
    )
    traffic = (
        season * np.exp(wander(0.05, 1.5) + rng.normal(0, 0.02 * noise, n)) * _campaigns(n, per_hour, rng)
    )
    load = traffic.copy()
    cpu = profile.cpu * (0.35 + 0.65 * load) * np.exp(wander(0.05, 0.7)) + rng.normal(0, 0.01 * noise, n)
    latency = (
        profile.latency_s
        * (1 + 0.25 * np.clip(load - 1, 0, None) ** 2)
        * np.exp(wander(0.07, 0.8) + rng.normal(0, 0.04 * noise, n))
    )
    errors = profile.error_ratio * np.exp(wander(0.25, 1.0) + rng.normal(0, 0.25 * noise, n))
    pool = profile.connections * (0.6 + 0.4 * load) * np.exp(wander(0.05, 0.8)) + rng.normal(
        0, 0.012 * noise, n
    )
    queue = profile.queue * load**1.5 * np.exp(wander(0.3, 0.7) + rng.normal(0, 0.15 * noise, n))
    memory = profile.memory + 0.04 * (load - 1) + wander(0.006, 3.0) + rng.normal(0, 0.003 * noise, n)
    memory += profile.memory_saw_share * _sawtooth(n, 60.0 * per_hour, rng)
    disk = profile.disk + wander(0.002, 12.0) + 0.03 * np.linspace(-0.5, 0.5, n)
    disk += profile.rotation_share * _sawtooth(n, profile.rotation_h * per_hour, rng)

    queue += profile.queue_slo * _batches(n, per_hour, rng)
    return _Levels(
        traffic=traffic,
        cpu=cpu,
        latency=latency,
        errors=errors,
        pool=pool,
        queue=queue,
        memory=memory,
        disk=disk,
    )


def _add_event(
    levels: _Levels, event: PlannedEvent, planned: Sequence[PlannedEvent], profile: Profile, per_hour: int
) -> None:
    """Add the effect of one planned event, which starts on the grid."""
    at = event.at
    if event.effect == "shift":
        levels.cpu[at:] *= 1 + event.size
        levels.latency[at:] *= 1 + 0.7 * event.size
        levels.memory[at:] += 0.3 * event.size
    elif event.effect == "blip":
        end = at + max(2, int(event.size * 0.5 * per_hour))
        levels.errors[at:end] += event.size * profile.error_slo * 1.2
        levels.latency[at:end] *= 1 + event.size
        levels.cpu[at:end] += 0.1 * event.size
    elif event.effect == "warmup":
        # A cache fills. For hours this is like a leak; then it is constant until the next deploy.
        age = np.arange(len(levels.memory) - at) / per_hour
        full = WARM_UP_SHARE * event.size * (1 - profile.memory)
        fill = full * (1 - np.exp(-age / (1 + 3 * event.size))) * (age < 60)
        fill[_next_deploy(planned, at) - at :] = 0.0
        levels.memory[at:] += fill
        levels.cpu[at : at + per_hour] += 0.08 * event.size
    elif event.kind is EventKind.MAINTENANCE and event.until is not None:
        levels.traffic[at : event.until] *= 1 - event.size
        levels.errors[at : event.until] += 0.05 * event.size
        levels.latency[at : event.until] *= 1 + event.size
        levels.cpu[at : event.until] *= 1 - 0.5 * event.size
        levels.queue[at : event.until] *= 1 + 4 * event.size


def _add_precursor(levels: _Levels, incident: PlannedIncident, profile: Profile, per_hour: int) -> None:
    """Add what the metrics show of a cause before it leads to a failure."""
    n = len(levels.cpu)
    rise = progress(incident, n, per_hour)
    aim = min(incident.fails_at if incident.fails_at is not None else incident.until, n - 1)
    late = np.clip((rise - 0.75) / 0.25, 0, 1)
    if incident.cause == "memory_leak":
        levels.memory += rise * (0.985 - _usual_level(levels.memory, aim, per_hour))
        levels.cpu += 0.12 * late
        levels.latency *= 1 + 0.25 * late
    elif incident.cause == "disk_full":
        levels.disk += rise * (0.995 - _usual_level(levels.disk, aim, per_hour))
        levels.latency *= 1 + 0.05 * late
    elif incident.cause == "pool_exhaustion":
        levels.pool += rise * (0.985 - _usual_level(levels.pool, aim, per_hour))
        levels.latency *= 1 + 0.4 * late
    elif incident.cause == "queue_backlog":
        levels.queue += rise * (profile.queue_slo - _usual_level(levels.queue, aim, per_hour))
        levels.cpu += 0.1 * rise
        levels.latency *= 1 + 0.1 * late
    elif incident.cause == "latency_creep":
        usual = _usual_level(levels.latency, aim, per_hour)
        levels.latency *= 1 + rise * (profile.latency_slo_s / usual - 1)
        levels.cpu += 0.05 * rise
    elif incident.cause == "bad_deploy" and incident.fails_at is not None and incident.start < n:
        onset = np.linspace(0, 0.9, incident.fails_at - incident.start)[: n - incident.start]
        levels.errors[incident.start : incident.fails_at] += profile.error_slo * onset


def _add_impact(levels: _Levels, incident: PlannedIncident, profile: Profile) -> None:
    """Add what users notice from the failure to its end; less of it when another service fails."""
    if incident.fails_at is None or incident.fails_at >= len(levels.cpu):
        return
    share = 1.0 if incident.service == profile.name else CALLER_IMPACT_SHARE
    added, factor, lost = IMPACT[incident.cause]
    strength = share * np.random.default_rng(incident.seed).uniform(0.6, 1.3)
    during = slice(incident.fails_at, incident.until)
    levels.errors[during] += added * strength
    levels.latency[during] *= 1 + (factor - 1) * strength
    levels.traffic[during] *= max(0.0, 1 - lost * strength)
    levels.queue[during] *= 1 + strength


def _metrics(levels: _Levels, profile: Profile) -> dict[str, FloatArray]:
    """The levels in the units of the series, within their limits."""
    queue: FloatArray = np.clip(levels.queue, 0.0, 2 * profile.queue_slo)
    return {
        "cpu_utilization": np.clip(levels.cpu, 0.01, 1.0),
        "memory_used_bytes": np.round(np.clip(levels.memory, 0.02, 1.0) * profile.memory_limit),
        "disk_used_bytes": np.round(np.clip(levels.disk, 0.02, 1.0) * profile.disk_limit),
        "latency_p99_seconds": np.clip(levels.latency, 1e-4, None),
        "error_ratio": np.clip(levels.errors, 0.0, 1.0),
        "requests_per_second": np.clip(levels.traffic, 0.0, None) * profile.rps,
        "db_connections": np.round(np.clip(levels.pool, 0.0, 1.0) * profile.connection_limit),
        "queue_depth": np.round(queue),
    }


def progress(incident: PlannedIncident, n: int, per_hour: int) -> FloatArray:
    """The progress of a cause at each step: 0 before its start, then up to `reach`, and back when it stops."""
    rise = np.zeros(n)
    if incident.fails_at == incident.start:
        return rise
    rng = np.random.default_rng([incident.seed, 1])
    climb_end = incident.until if incident.fails_at is None else incident.fails_at
    length = climb_end - incident.start
    # The progress is uneven: slow in some hours, fast in others.
    pace: FloatArray = np.exp(lfilter([1.0], [1.0, -0.95], rng.normal(0, 0.05, length)))
    x = np.arange(1, length + 1) / length
    climb = np.cumsum(pace * np.diff(x**incident.power, prepend=0.0))
    climb *= incident.reach / climb[-1]
    _add(rise, incident.start, climb)
    if incident.fails_at is not None:
        _add(rise, climb_end, np.ones(incident.until - climb_end))
    elif incident.ending == "plateau":
        _add(rise, climb_end, np.full(int(rng.uniform(3, 12) * per_hour), incident.reach))
    elif incident.ending == "decay":
        _add(rise, climb_end, incident.reach * np.exp(-np.arange(8 * per_hour) / (1.5 * per_hour)))
    return rise


def _add(target: FloatArray, start: int, values: FloatArray) -> None:
    end = min(start + len(values), len(target))
    if start < end:
        target[start:end] += values[: end - start]


def _usual_level(values: FloatArray, at: int, per_hour: int) -> float:
    """The median of the hour before a step: the level without its noise."""
    return float(np.median(values[max(0, at - per_hour) : at + 1]))


def _sawtooth(n: int, period: float, rng: np.random.Generator) -> FloatArray:
    """A sawtooth from 0 to 1; the lengths of its teeth vary by 10 %."""
    lengths = period * rng.uniform(0.9, 1.1, int(n / period) + 3)
    before = rng.uniform(0, period)
    # many short teeth in a row can end before the data
    while lengths.sum() - before <= n - 1:
        lengths = np.append(lengths, period * rng.uniform(0.9, 1.1))
    ends = lengths.cumsum() - before
    steps = np.arange(n)
    tooth = np.searchsorted(ends, steps, side="right")
    return np.asarray(1 - (ends[tooth] - steps) / lengths[tooth])


def _campaigns(n: int, per_hour: int, rng: np.random.Generator) -> FloatArray:
    """Busy hours that are no incident: every ten days or so, traffic rises by up to a half for some hours."""
    factor = np.ones(n)
    at = 0
    while (at := at + int(rng.exponential(10 * 24 * per_hour))) < n:
        length = int(rng.uniform(1, 5) * per_hour)
        _add(factor, at, rng.uniform(0.15, 0.5) * np.hanning(length).astype(np.float64))
    return factor


def _next_deploy(planned: Sequence[PlannedEvent], after: int) -> int:
    """The step of the next deploy, which empties the cache that the last one filled."""
    later = [event.at for event in planned if event.kind is EventKind.DEPLOY and event.at > after]
    return min(later, default=2**31)


def _batches(n: int, per_hour: int, rng: np.random.Generator) -> FloatArray:
    """Batch jobs that are no incident: about weekly, the queue grows for hours, up to 0.7 of its SLO, and drains."""
    share = np.zeros(n)
    at = 0
    while (at := at + int(rng.exponential(7 * 24 * per_hour))) < n:
        up, down = int(rng.uniform(1, 4) * per_hour), int(rng.uniform(0.3, 1.0) * per_hour)
        height = rng.uniform(0.2, 0.7)
        climb = np.concatenate([np.linspace(0, height, up), np.linspace(height, 0, down)])
        _add(share, at, climb)
        at += up + down
    return share


def _with_gaps(
    metrics: dict[str, FloatArray], n: int, per_hour: int, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Remove single samples (0.3 %), some hours of one metric, and sometimes of all metrics of the service."""
    every = np.zeros(n, dtype=bool)
    for at in rng.integers(0, n, rng.poisson(n / (20 * 24 * per_hour))):
        every[at : at + int(rng.uniform(0.2, 1.5) * per_hour)] = True
    for values in metrics.values():
        lost = every | (rng.random(n) < 0.003)
        for at in rng.integers(0, n, rng.poisson(n / (15 * 24 * per_hour))):
            lost[at : at + int(rng.uniform(0.2, 2.0) * per_hour)] = True
        values[lost] = np.nan
    return metrics
