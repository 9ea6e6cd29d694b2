"""Draws the incidents of the company: cause, target, times, and the series that show each of them."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.durations import DAY_S
from pipelines.sources.simulation.exporters.clock import Chunk, FloatArray, seeded
from pipelines.sources.simulation.exporters.company import NAMESPACE, Company
from pipelines.sources.simulation.plan import SLOW_CAUSES, PlannedIncident
from pipelines.sources.simulation.render import progress

#: Hours from the start of a cause until users notice it (shortest, longest); the slow ones as in the first simulator.
PRECURSOR_H = {
    "disk_full": SLOW_CAUSES["disk_full"],
    "memory_leak": SLOW_CAUSES["memory_leak"],
    "pool_exhaustion": SLOW_CAUSES["pool_exhaustion"],
    "error_burst": (0.0, 0.0),
    "slow_release": (0.0, 0.0),
    "dead_exporter": (0.0, 0.0),
    "consumer_lag": SLOW_CAUSES["queue_backlog"],
    "certificate_expiry": (20.0 * 24, 20.0 * 24),
}
#: Minutes that users notice it (shortest, longest).
IMPACT_MIN = {
    "disk_full": (20, 90),
    "memory_leak": (8, 12),
    "pool_exhaustion": (10, 40),
    "error_burst": (15, 60),
    "slow_release": (30, 120),
    "dead_exporter": (45, 180),
    "consumer_lag": (20, 60),
    "certificate_expiry": (20, 120),
}
#: A new incident every so many days, and at least one of each type.
INCIDENT_GAP_DAYS = 1.6
#: A history of so many days has precursors of full length; those of a shorter one are shorter.
FULL_LENGTH_DAYS = 12.0
#: Hours after the end of the history in which live pages show one more incident of each type.
LIVE_H = 24.0
#: Length of their precursors, as a share of the full length.
LIVE_LENGTH = 0.3


@dataclass(frozen=True, slots=True)
class ExporterIncident:
    """One incident; times are seconds since the epoch.

    Attributes:
        host, service: what it affects; one of them can be empty.
        entity: what it affects within them: a mountpoint, a database, a topic, a certificate, a target.
        start: when its cause begins to act; equal to `impact` where there is no precursor.
        impact: when users notice it.
        series: selectors of the series that show it.
    """

    type: str
    service: str
    host: str
    entity: str
    start: int
    impact: int
    end: int
    seed: int
    series: tuple[str, ...]

    def rise(self, chunk: Chunk) -> FloatArray:
        """How far its cause has come at each scrape: 0 before the start, 1 from impact to end, 0 afterwards."""
        course = self._course(chunk.step_s)
        index = (chunk.times - self.start) // chunk.step_s
        inside = (index >= 0) & (chunk.times < self.end)
        return np.asarray(np.where(inside, course[np.clip(index, 0, len(course) - 1)], 0.0))

    def rise_at(self, moment: int) -> float:
        """How far its cause has come at one moment."""
        inside = self.start <= moment < self.end
        return float(self._course(60)[(moment - self.start) // 60]) if inside else 0.0

    def _course(self, step_s: int) -> FloatArray:
        return _course(self.start, self.impact, self.end, self.seed, step_s)

    def is_over(self, chunk: Chunk) -> bool:
        """Whether it does not touch this chunk."""
        return bool(chunk.times[-1] < self.start or chunk.times[0] >= self.end)


@lru_cache(maxsize=256)
def _course(start: int, impact: int, end: int, seed: int, step_s: int) -> FloatArray:
    steps = max(1, -(-(end - start) // step_s))
    fails_at = (impact - start) // step_s
    planned = PlannedIncident("", "", start=0, fails_at=fails_at, until=steps, power=1.3, seed=seed)
    if fails_at == 0:
        return np.ones(steps)
    return progress(planned, steps, 3600 // step_s)


def draw_incidents(company: Company, start: int, end: int) -> list[ExporterIncident]:
    """The incidents from start to end, in the order of their impact, and one of each type in the day after the end."""
    rng = seeded(company.seed, "incidents")
    days = (end - start) / DAY_S
    count = max(len(PRECURSOR_H), round(days / INCIDENT_GAP_DAYS))
    slot = (end - start) * 0.85 / count
    moments = [
        start + (end - start) * 0.13 + slot * (index + rng.uniform(0.0, 0.5)) for index in range(count)
    ]
    live_slot = LIVE_H * 3600 / len(PRECURSOR_H)
    live = [end + live_slot * (index + rng.uniform(0.3, 0.6)) for index in range(len(PRECURSOR_H))]
    rounds = [moments[first : first + len(PRECURSOR_H)] for first in range(0, count, len(PRECURSOR_H))]
    incidents = []
    for turn, one in enumerate([*rounds, live]):
        length = min(1.0, days / FULL_LENGTH_DAYS) if one is not live else LIVE_LENGTH
        for cause, moment in zip(rng.permutation(list(PRECURSOR_H)), one, strict=False):
            incidents.append(_incident(company, str(cause), turn, (int(moment), start, length), rng))
    return incidents


def _incident(
    company: Company, cause: str, turn: int, when: tuple[int, int, float], rng: np.random.Generator
) -> ExporterIncident:
    moment, first, length = when
    impact = moment // 60 * 60
    before = int(rng.uniform(*PRECURSOR_H[cause]) * 3600 * (length if cause != "certificate_expiry" else 1.0))
    start = max(impact - before // 60 * 60, first + 1800) if before else impact
    minutes = rng.uniform(*IMPACT_MIN[cause]) * max(length, 0.3)
    service, host, entity, series = _target(company, cause, turn)
    return ExporterIncident(
        type=cause,
        service=service,
        host=host,
        entity=entity,
        start=min(start, impact),
        impact=impact,
        end=impact + max(5, int(minutes)) * 60,
        seed=int(rng.integers(2**31)),
        series=tuple(series),
    )


def _target(company: Company, cause: str, turn: int) -> tuple[str, str, str, list[str]]:
    """Service, host, entity and series of the `turn`-th incident of a cause."""
    app = company.apps[turn % len(company.apps)].name
    job = f'namespace="{NAMESPACE}",job="{app}"'
    if cause == "disk_full":
        hosts = company.hosts[: max(1, len(company.hosts) - 1)]  # the last one is decommissioned
        host = hosts[turn % len(hosts)]
        mount = [disk for disk in host.disks if disk.is_real and disk.fstype != "vfat"][-1].mountpoint
        labels = f'instance="{host.instance}",mountpoint="{mount}"'
        names = ("node_filesystem_avail_bytes", "node_filesystem_free_bytes")
        return "node", host.name, mount, [f"{name}{{{labels}}}" for name in names]
    if cause == "memory_leak":
        container = f'namespace="{NAMESPACE}",container="{app}"'
        found = [
            f"process_resident_memory_bytes{{{job}}}",
            f"go_memstats_heap_inuse_bytes{{{job}}}",
            f"container_memory_working_set_bytes{{{container}}}",
            f"kube_pod_container_status_restarts_total{{{container}}}",
        ]
        return app, "", app, found
    if cause == "pool_exhaustion":
        names = ("pg_stat_database_numbackends", "pg_stat_activity_count")
        return "postgres", company.host("db").name, "shop", [f'{name}{{datname="shop"}}' for name in names]
    if cause in ("error_burst", "slow_release"):
        suffixes = ("_bucket", "_count") if cause == "error_burst" else ("_bucket", "_sum")
        code = ',code="500"' if cause == "error_burst" else ""
        return app, "", app, [f"http_request_duration_seconds{suffix}{{{job}{code}}}" for suffix in suffixes]
    if cause == "dead_exporter":
        target = (("node", company.hosts[0].instance), ("redis", f"{company.host('cache').name}:9121"))[
            turn % 2
        ]
        return (
            target[0],
            target[1].split(":")[0],
            target[1],
            [f'up{{job="{target[0]}",instance="{target[1]}"}}'],
        )
    if cause == "consumer_lag":
        labels = 'consumergroup="billing",topic="orders"'
        names = ("kafka_consumergroup_lag", "kafka_consumergroup_current_offset")
        return (
            "kafka",
            company.host("kafka").name,
            "billing/orders",
            [f"{name}{{{labels}}}" for name in names],
        )
    site = SITES[turn % len(SITES)]
    names = ("probe_ssl_earliest_cert_expiry", "probe_success")
    return "blackbox", "", site, [f'{name}{{instance="{site}"}}' for name in names]


#: What the blackbox exporter probes.
SITES = tuple(f"https://{name}.example.com" for name in ("shop", "api", "pay", "docs"))
