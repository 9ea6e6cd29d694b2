"""The targets that Prometheus scrapes: job and labels, when each lives and restarts, and what its page shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from pipelines.sources.simulation.exporters.blackbox import show_probe
from pipelines.sources.simulation.exporters.clock import BoolArray, FloatArray
from pipelines.sources.simulation.exporters.company import NAMESPACE, App, Host
from pipelines.sources.simulation.exporters.constants import GO, constants
from pipelines.sources.simulation.exporters.go_process import show_exporter, show_scrapes
from pipelines.sources.simulation.exporters.hosts import show_host
from pipelines.sources.simulation.exporters.http_service import show_pod
from pipelines.sources.simulation.exporters.incidents import SITES
from pipelines.sources.simulation.exporters.kubernetes import show_cadvisor, show_kube_state
from pipelines.sources.simulation.exporters.page import Page, labelled
from pipelines.sources.simulation.exporters.postgres import show_postgres
from pipelines.sources.simulation.exporters.services_around import (
    show_kafka,
    show_nginx,
    show_prometheus,
    show_redis,
)
from pipelines.sources.simulation.exporters.timeline import Pod, restarts_of, started_at
from pipelines.sources.simulation.exporters.world import World

#: Seconds that a restarted process, server or host does not respond.
DOWN_S = {"process": 60, "server": 120, "boot": 240}
#: How long processes, servers and hosts had run when the history begins.
AGE_S = {"process": 9 * 86400, "server": 40 * 86400, "boot": 60 * 86400}
#: Mean days between two restarts of a server, and between two of a host.
SERVER_GAP_DAYS, BOOT_GAP_DAYS = 60.0, 90.0

Show = Callable[[Page, World, Mapping[str, FloatArray]], None]


@dataclass(frozen=True, slots=True)
class Target:
    """One target.

    Attributes:
        path: of its page, without the first slash.
        labels: those that Prometheus adds, without `job`; `instance` among them.
        restarts: by kind ("process", "server", "boot"), seconds since the epoch.
        born, died: when it exists; of a pod, its life.
    """

    path: str
    job: str
    labels: str
    show: Show = field(repr=False)
    restarts: Mapping[str, list[int]] = field(default_factory=dict)
    born: int | None = None
    died: int | None = None

    @property
    def instance(self) -> str:
        return dict(pair.split("=", 1) for pair in self.labels.split(","))["instance"].strip('"')

    def exists(self, world: World) -> BoolArray:
        """Whether Prometheus knows the target."""
        times = world.chunk.times
        born = times >= self.born if self.born is not None else np.ones(len(times), dtype=bool)
        return np.asarray(born & (times < self.died)) if self.died is not None else np.asarray(born)

    def responds(self, world: World) -> BoolArray:
        """Whether a scrape succeeds: the exporter does not restart, and no incident has stopped it."""
        up = self.exists(world)
        for kind, moments in self.restarts.items():
            for moment in moments:
                up &= ~world.chunk.between(moment, moment + DOWN_S[kind])
        return np.asarray(up & ~world.impact("dead_exporter", service=self.job, entity=self.instance))

    def started(self, world: World, kind: str) -> FloatArray:
        """When the running process, server or host started, at each scrape."""
        restarts = self.restarts.get(kind, [])
        first = self.born if self.born is not None else world.timeline.start - AGE_S[kind]
        ends = (int(world.chunk.times[0]), int(world.chunk.times[-1]))
        if started_at(restarts, first, ends[0]) == started_at(restarts, first, ends[1]):
            return np.full(world.steps, float(started_at(restarts, first, ends[0])))
        return np.array([float(started_at(restarts, first, int(moment))) for moment in world.chunk.times])

    def resets(self, world: World) -> dict[str, list[int]]:
        """The steps of this chunk at which counters begin at 0 again, by kind."""
        return {kind: world.chunk.steps_of(moments) for kind, moments in self.restarts.items()}


def targets_of(world: World) -> list[Target]:
    """All targets that exist at some time in the chunk."""
    company = world.company
    targets = [_node(world, host) for host in company.hosts]
    targets += [_postgres(world), *_around(world)]
    apps = {app.name: app for app in company.apps}
    targets += [_pod(world, apps[pod.service], pod) for pod in world.pods]
    return [target for target in targets if target.exists(world).any()]


def _restarts(
    world: World, path: str, host: Host | None, *, has_server: bool = False
) -> dict[str, list[int]]:
    """The restarts of an exporter, of its server, and of its host, which restarts both."""
    timeline, seed = world.timeline, world.company.seed
    boots = restarts_of(timeline, seed, f"host/{host.name}", BOOT_GAP_DAYS) if host is not None else []
    found = {"process": sorted(restarts_of(timeline, seed, path) + boots), "boot": boots}
    if has_server:
        found["server"] = sorted(restarts_of(timeline, seed, f"{path}/server", SERVER_GAP_DAYS) + boots)
    return found


def exporter(world: World, job: str, host: Host, port: int, show: Show, *, has_server: bool = True) -> Target:
    """An exporter on a host; it shows its own process beside what it exports."""
    path = f"{job}/{host.name}"

    def show_all(page: Page, world: World, started: Mapping[str, FloatArray]) -> None:
        show(page, world, started)
        if job == "nginx":  # its exporter shows nothing of itself
            return
        show_exporter(page, world.chunk, path, started["process"])
        if job != "redis":
            show_scrapes(page)
        if world.company.size.is_complete:
            page.gauges(constants(GO, "go_memstats_"))

    restarts = _restarts(world, path, host, has_server=has_server)
    return Target(path, job, labelled(instance=f"{host.name}:{port}"), show_all, restarts)


def _node(world: World, host: Host) -> Target:
    def show(page: Page, world: World, started: Mapping[str, FloatArray]) -> None:
        show_host(page, world, host, started["boot"])

    target = exporter(world, "node", host, 9100, show, has_server=False)
    gone = world.timeline.first("decommissioned_host")
    died = gone.at if gone is not None and gone.what == host.name else None
    return Target(target.path, target.job, target.labels, target.show, target.restarts, died=died)


def _postgres(world: World) -> Target:
    host = world.company.host("db")

    return exporter(
        world, "postgres", host, 9187, _only(lambda page, now: show_postgres(page, now, f"{host.name}:5432"))
    )


def _around(world: World) -> list[Target]:
    """The other exporters, the probes, Kubernetes, and Prometheus itself."""
    company = world.company
    web, cache, kafka = (company.host(role) for role in ("web", "cache", "kafka"))
    targets = [
        exporter(
            world, "redis", cache, 9121, lambda page, now, started: show_redis(page, now, started["server"])
        ),
        exporter(world, "nginx", web, 9113, lambda page, now, _: show_nginx(page, now)),
        exporter(world, "kafka", kafka, 9308, lambda page, now, _: show_kafka(page, now)),
    ]
    plain: list[tuple[str, str, str, Show]] = [
        ("kube-state-metrics", "kube-state-metrics", "kube-state-metrics:8080", _only(show_kube_state)),
        (
            "prometheus",
            "prometheus",
            "localhost:9090",
            lambda page, now, started: show_prometheus(page, now, now.company, started["process"]),
        ),
    ]
    plain += [(f"blackbox/{site.split('//')[1]}", "blackbox", site, _probe(site)) for site in SITES]
    plain += [
        (f"cadvisor/{host.name}", "cadvisor", f"{host.name}:10250", _containers(host))
        for host in company.workers
    ]
    for path, job, instance, show in plain:
        targets.append(Target(path, job, labelled(instance=instance), show, _restarts(world, path, None)))
    return targets


def _only(show: Callable[[Page, World], None]) -> Show:
    return lambda page, world, _: show(page, world)


def _probe(site: str) -> Show:
    return lambda page, world, _: show_probe(page, world, site)


def _containers(host: Host) -> Show:
    return lambda page, world, _: show_cadvisor(page, world, host)


def _pod(world: World, app: App, pod: Pod) -> Target:
    def show(page: Page, world: World, started: Mapping[str, FloatArray]) -> None:
        show_pod(page, world, app, pod, started["process"])

    labels = labelled(instance=f"{pod.ip}:8080", namespace=NAMESPACE, pod=pod.name)
    restarts = {"process": world.kills(pod)}
    return Target(f"pod/{pod.name}", app.name, labels, show, restarts, pod.born, pod.died)
