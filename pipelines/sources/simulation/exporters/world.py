"""What the company does in one chunk: the load of each service, and the effects of incidents. Exporters show it."""

from dataclasses import dataclass, field

import numpy as np

from pipelines.sources.simulation.exporters.clock import BoolArray, Chunk, FloatArray
from pipelines.sources.simulation.exporters.company import App, Company
from pipelines.sources.simulation.exporters.incidents import ExporterIncident
from pipelines.sources.simulation.exporters.timeline import Pod, Timeline

#: Share of failed requests, and factor of the latency, while users notice an incident.
ERROR_SHARE = {"error_burst": 0.25, "pool_exhaustion": 0.12, "memory_leak": 0.05, "slow_release": 0.01}
LATENCY_FACTOR = {"slow_release": 5.0, "pool_exhaustion": 3.0, "error_burst": 1.2, "memory_leak": 1.5}
#: A pod is killed at the impact of a leak unless it is so young that it has leaked less than the others by this share.
LITTLE_LEAKED = 0.2
#: These incidents affect all services.
OF_ALL = {"pool_exhaustion"}
#: Factor of the latency after the feature flag is set.
FLAG_LATENCY = 1.15


@dataclass(slots=True)
class World:
    """The state of the company at the scrapes of one chunk."""

    company: Company
    timeline: Timeline
    chunk: Chunk
    _traffic: dict[str, FloatArray] = field(default_factory=dict)
    _alive: dict[str, FloatArray] = field(default_factory=dict)
    pods: list[Pod] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pods = self.timeline.pods_between(int(self.chunk.times[0]), int(self.chunk.times[-1]))

    @property
    def steps(self) -> int:
        return len(self.chunk.times)

    def incidents(
        self, cause: str, *, service: str = "", host: str = "", entity: str = ""
    ) -> list[ExporterIncident]:
        """The incidents of a cause that touch this chunk; an empty argument matches all."""
        return [
            one
            for one in self.timeline.incidents
            if one.type == cause
            and service in ("", one.service)
            and host in ("", one.host)
            and entity in ("", one.entity)
            and not one.is_over(self.chunk)
        ]

    def rise(self, cause: str, *, service: str = "", host: str = "", entity: str = "") -> FloatArray:
        """How far a cause has come, in [0, 1]."""
        rise = np.zeros(self.steps)
        for one in self.incidents(cause, service=service, host=host, entity=entity):
            rise = np.maximum(rise, one.rise(self.chunk))
        return np.clip(rise, 0.0, 1.0)

    def impact(self, cause: str, *, service: str = "", host: str = "", entity: str = "") -> BoolArray:
        """Whether users notice an incident of a cause."""
        noticed = np.zeros(self.steps, dtype=bool)
        for one in self.incidents(cause, service=service, host=host, entity=entity):
            noticed |= self.chunk.between(one.impact, one.end)
        return noticed

    def traffic(self, app: App) -> FloatArray:
        """Requests per second of a service."""
        if app.name not in self._traffic:
            load = self.timeline.calendar.load(
                self.chunk.times, peak_hour=app.peak_hour, swing=app.swing, weekend=app.weekend
            )
            if app.is_sparse:
                load = load**3
            rate = app.rps * load * np.exp(0.1 * self.chunk.slow(app.name, "traffic"))
            self._traffic[app.name] = np.clip(rate, 0.0005, None)
        return self._traffic[app.name]

    @property
    def total_traffic(self) -> FloatArray:
        """Requests per second of all services."""
        return np.asarray(np.sum([self.traffic(app) for app in self.company.apps], axis=0))

    @property
    def relative_load(self) -> FloatArray:
        """Traffic of all services, relative to its mean on a working day."""
        return np.asarray(self.total_traffic / sum(app.rps for app in self.company.apps))

    def alive(self, service: str) -> FloatArray:
        """How many pods of a service live; at least 1, so that one can divide by it."""
        if service not in self._alive:
            lives = [self.chunk.between(pod.born, pod.died) for pod in self.pods if pod.service == service]
            self._alive[service] = np.clip(
                np.sum(lives, axis=0, dtype=float) + np.zeros(self.steps), 1.0, None
            )
        return self._alive[service]

    def pod_traffic(self, app: App, pod: Pod) -> FloatArray:
        """Requests per second of one pod: its share of the service's, and 0 where it does not live."""
        share = self.traffic(app) / self.alive(app.name)
        return np.asarray(np.where(self.chunk.between(pod.born, pod.died), share, 0.0))

    def pod_memory(self, app: App, pod: Pod) -> FloatArray:
        """Resident bytes of one pod, up to the limit of its container."""
        age = np.clip(self.chunk.times - pod.born, 0, None)
        warm = app.memory * (1 - 0.35 * np.exp(-age / 5400)) * self.chunk.wobble(pod.name, 0.015)
        rise = np.zeros(self.steps)
        for one in self.incidents("memory_leak", service=app.name):
            # at the impact the container is killed, and the new one leaks no more until the fix is deployed
            leaked = one.rise(self.chunk) - one.rise_at(pod.born)
            rise = np.maximum(rise, np.where(self.chunk.times < one.impact, leaked, 0.0))
        return np.asarray(np.minimum(warm + rise * (app.memory_limit - warm), app.memory_limit * 0.999))

    def kills(self, pod: Pod) -> list[int]:
        """When the container of a pod is killed because its memory is at its limit."""
        return [
            one.impact
            for one in self.timeline.incidents
            if one.type == "memory_leak"
            and one.service == pod.service
            and pod.born < one.impact < pod.died
            and one.rise_at(pod.born) < LITTLE_LEAKED
        ]

    def error_share(self, app: App) -> FloatArray:
        """Share of requests that fail with a status of 5xx."""
        share = app.error_ratio * np.exp(0.3 * self.chunk.slow(app.name, "errors"))
        for cause, added in ERROR_SHARE.items():
            share = share + added * self.impact(cause, service="" if cause in OF_ALL else app.name)
        for name in app.depends_on:
            share = share + 0.02 * self.impact("error_burst", service=name)
        return np.asarray(np.clip(share, 0.0, 0.95))

    def latency(self, app: App) -> FloatArray:
        """Median latency in seconds: it rises a little with the load."""
        load = self.traffic(app) / app.rps
        latency = (
            app.latency_s * (1 + 0.15 * (load - 1)) * np.exp(0.06 * self.chunk.slow(app.name, "latency"))
        )
        for cause, factor in LATENCY_FACTOR.items():
            noticed = self.impact(cause, service="" if cause in OF_ALL else app.name)
            latency = latency * np.where(noticed, factor, 1.0)
        flag = self.timeline.first("feature_flag")
        if flag is not None and flag.what == app.name:
            latency = latency * np.where(self.chunk.times >= flag.at, FLAG_LATENCY, 1.0)
        return np.asarray(np.clip(latency, 1e-4, None))

    def batch(self) -> BoolArray:
        """Whether the weekly batch job runs: Sunday from 2 to 4, local time."""
        return self.timeline.calendar.during(self.chunk.times, 2.0, 4.0, weekday=6)

    def backup(self) -> BoolArray:
        """Whether the nightly backup of the database runs: from 1:00 to 1:40, local time."""
        return self.timeline.calendar.during(self.chunk.times, 1.0, 1.0 + 40 / 60)
