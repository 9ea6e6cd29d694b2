"""What the metrics of one service show, given its profile and all that happens to it. Pure NumPy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from core.domain import EventKind
from pipelines.sources.simulation.plan import Planned, PlannedIncident
from pipelines.sources.simulation.profiles import Profile

Floats = NDArray[np.float64]

#: How hard an incident of each cause hits: (error ratio added, latency factor, share of traffic lost).
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
#: What a caller feels of an incident of a service it depends on, as a share of that service's own impact.
FELT = 0.25
#: A cache that warms up after a deploy takes up to this share of the memory that is free.
WARM_UP_SHARE = 0.5


def render(
    profile: Profile,
    incidents: Sequence[PlannedIncident],
    planned: Sequence[Planned],
    felt: Sequence[PlannedIncident],
    hour: Floats,
    weekday: NDArray[np.int64],
    per_hour: int,
    seed: int,
) -> dict[str, Floats]:
    """The eight metrics on the grid; NaN = no sample.

    Args:
        felt: failures of the services that this one depends on.
        hour, weekday: of each step, UTC; length n.
    Returns:
        metric -> float64 of length n, in the unit of the series.
    """
    rng = np.random.default_rng([seed, 3, profile.index])
    n = len(hour)
    noise = profile.noise

    def wander(scale: float, memory_h: float) -> Floats:
        """First-order autoregressive noise that forgets over `memory_h`; standard deviation `scale`."""
        keep = float(np.exp(-1.0 / max(memory_h * per_hour, 1e-9)))
        shocks = rng.normal(0.0, scale * noise * np.sqrt(1 - keep**2), n)
        out: Floats = lfilter([1.0], [1.0, -keep], shocks)
        return out

    swing = profile.day_swing * np.cos((hour - profile.peak_hour) * (2 * np.pi / 24))
    season = (1 + swing + 0.3 * swing * np.cos((hour - profile.peak_hour) * (4 * np.pi / 24))) * np.where(
        weekday >= 5, profile.weekend_factor, 1.0
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

    for event in planned:
        at = event.at
        if at >= n:
            continue
        if event.effect == "shift":
            cpu[at:] *= 1 + event.size
            latency[at:] *= 1 + 0.7 * event.size
            memory[at:] += 0.3 * event.size
        elif event.effect == "blip":
            end = at + max(2, int(event.size * 0.5 * per_hour))
            errors[at:end] += event.size * profile.error_slo * 1.2
            latency[at:end] *= 1 + event.size
            cpu[at:end] += 0.1 * event.size
        elif event.effect == "warmup":
            # A cache fills: for hours this is a leak to the eye, then it levels off until the next deploy.
            age = np.arange(n - at) / per_hour
            full = WARM_UP_SHARE * event.size * (1 - profile.memory)
            fill = full * (1 - np.exp(-age / (1 + 3 * event.size))) * (age < 60)
            fill[_next_deploy(planned, at) - at :] = 0.0
            memory[at:] += fill
            cpu[at : at + per_hour] += 0.08 * event.size
        elif event.kind is EventKind.MAINTENANCE and event.until is not None:
            traffic[at : event.until] *= 1 - event.size
            errors[at : event.until] += 0.05 * event.size
            latency[at : event.until] *= 1 + event.size
            cpu[at : event.until] *= 1 - 0.5 * event.size
            queue[at : event.until] *= 1 + 4 * event.size

    for trouble in incidents:
        rise = _rise(trouble, n, per_hour)
        aim = min(trouble.fails_at if trouble.fails_at is not None else trouble.until, n - 1)
        late = np.clip((rise - 0.75) / 0.25, 0, 1)
        if trouble.cause == "memory_leak":
            memory += rise * (0.985 - _around(memory, aim, per_hour))
            cpu += 0.12 * late
            latency *= 1 + 0.25 * late
        elif trouble.cause == "disk_full":
            disk += rise * (0.995 - _around(disk, aim, per_hour))
            latency *= 1 + 0.05 * late
        elif trouble.cause == "pool_exhaustion":
            pool += rise * (0.985 - _around(pool, aim, per_hour))
            latency *= 1 + 0.4 * late
        elif trouble.cause == "queue_backlog":
            queue += rise * (profile.queue_slo - _around(queue, aim, per_hour))
            cpu += 0.1 * rise
            latency *= 1 + 0.1 * late
        elif trouble.cause == "latency_creep":
            latency *= 1 + rise * (profile.latency_slo_s / _around(latency, aim, per_hour) - 1)
            cpu += 0.05 * rise
        elif trouble.cause == "bad_deploy" and trouble.fails_at is not None and trouble.start < n:
            onset = np.linspace(0, 0.9, trouble.fails_at - trouble.start)[: n - trouble.start]
            errors[trouble.start : trouble.fails_at] += profile.error_slo * onset
    for trouble in [*incidents, *felt]:
        if trouble.fails_at is None or trouble.fails_at >= n:
            continue
        share = 1.0 if trouble.service == profile.name else FELT
        added, factor, lost = IMPACT[trouble.cause]
        strength = share * np.random.default_rng(trouble.seed).uniform(0.6, 1.3)
        during = slice(trouble.fails_at, trouble.until)
        errors[during] += added * strength
        latency[during] *= 1 + (factor - 1) * strength
        traffic[during] *= max(0.0, 1 - lost * strength)
        queue[during] *= 1 + strength

    out = {
        "cpu_utilization": np.clip(cpu, 0.01, 1.0),
        "memory_used_bytes": np.round(np.clip(memory, 0.02, 1.0) * profile.memory_limit),
        "disk_used_bytes": np.round(np.clip(disk, 0.02, 1.0) * profile.disk_limit),
        "latency_p99_seconds": np.clip(latency, 1e-4, None),
        "error_ratio": np.clip(errors, 0.0, 1.0),
        "requests_per_second": np.clip(traffic, 0.0, None) * profile.rps,
        "db_connections": np.round(np.clip(pool, 0.0, 1.0) * profile.connection_limit),
        "queue_depth": np.round(np.clip(queue, 0.0, 2 * profile.queue_slo)),
    }
    return _with_gaps(out, n, per_hour, rng)


def _rise(trouble: PlannedIncident, n: int, per_hour: int) -> Floats:
    """How far the cause has come at each step: 0 before, up to `reach`, and how it goes back."""
    rise = np.zeros(n)
    if trouble.fails_at == trouble.start:
        return rise
    rng = np.random.default_rng([trouble.seed, 1])
    climb_end = trouble.until if trouble.fails_at is None else trouble.fails_at
    length = climb_end - trouble.start
    # Uneven progress: hours in which it hardly moves, hours in which it runs.
    pace: Floats = np.exp(lfilter([1.0], [1.0, -0.95], rng.normal(0, 0.05, length)))
    x = np.arange(1, length + 1) / length
    climb = np.cumsum(pace * np.diff(x**trouble.power, prepend=0.0))
    climb *= trouble.reach / climb[-1]
    _add(rise, trouble.start, climb)
    if trouble.fails_at is not None:
        _add(rise, climb_end, np.ones(trouble.until - climb_end))
    elif trouble.ending == "plateau":
        _add(rise, climb_end, np.full(int(rng.uniform(3, 12) * per_hour), trouble.reach))
    elif trouble.ending == "decay":
        _add(rise, climb_end, trouble.reach * np.exp(-np.arange(8 * per_hour) / (1.5 * per_hour)))
    return rise


def _add(target: Floats, start: int, values: Floats) -> None:
    end = min(start + len(values), len(target))
    if start < end:
        target[start:end] += values[: end - start]


def _around(values: Floats, at: int, per_hour: int) -> float:
    """The usual level near a step: what is there without its noise."""
    return float(np.median(values[max(0, at - per_hour) : at + 1]))


def _sawtooth(n: int, period: float, rng: np.random.Generator) -> Floats:
    """Teeth from 0 to 1 whose lengths vary by a tenth."""
    lengths = period * rng.uniform(0.9, 1.1, int(n / period) + 3)
    before = rng.uniform(0, period)
    # Many short teeth in a row may end before the data does.
    while lengths.sum() - before <= n - 1:
        lengths = np.append(lengths, period * rng.uniform(0.9, 1.1))
    ends = lengths.cumsum() - before
    steps = np.arange(n)
    tooth = np.searchsorted(ends, steps, side="right")
    return np.asarray(1 - (ends[tooth] - steps) / lengths[tooth])


def _campaigns(n: int, per_hour: int, rng: np.random.Generator) -> Floats:
    """Busy hours that are no trouble: every ten days or so traffic rises by up to a half for some hours."""
    factor = np.ones(n)
    at = 0
    while (at := at + int(rng.exponential(10 * 24 * per_hour))) < n:
        length = int(rng.uniform(1, 5) * per_hour)
        _add(factor, at, rng.uniform(0.15, 0.5) * np.hanning(length).astype(np.float64))
    return factor


def _next_deploy(planned: Sequence[Planned], after: int) -> int:
    """The step of the next deploy, which empties what the last one filled."""
    later = [event.at for event in planned if event.kind is EventKind.DEPLOY and event.at > after]
    return min(later, default=2**31)


def _batches(n: int, per_hour: int, rng: np.random.Generator) -> Floats:
    """Batch jobs, no trouble: once a week or so the queue climbs for hours, up to 0.7 of its SLO, and drains."""
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
    metrics: dict[str, Floats], n: int, per_hour: int, rng: np.random.Generator
) -> dict[str, Floats]:
    """Loses single samples (0.3 %), stretches of one metric, and now and then a whole scrape target."""
    every = np.zeros(n, dtype=bool)
    for at in rng.integers(0, n, rng.poisson(n / (20 * 24 * per_hour))):
        every[at : at + int(rng.uniform(0.2, 1.5) * per_hour)] = True
    for values in metrics.values():
        lost = every | (rng.random(n) < 0.003)
        for at in rng.integers(0, n, rng.poisson(n / (15 * 24 * per_hour))):
            lost[at : at + int(rng.uniform(0.2, 2.0) * per_hour)] = True
        values[lost] = np.nan
    return metrics
