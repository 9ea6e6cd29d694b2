"""kube-state-metrics 2 and the cAdvisor of each node: deployments, pods and containers."""

import numpy as np

from pipelines.sources.simulation.exporters.clock import FloatArray, seeded
from pipelines.sources.simulation.exporters.company import NAMESPACE, App, Host
from pipelines.sources.simulation.exporters.page import Page, labelled
from pipelines.sources.simulation.exporters.timeline import Pod
from pipelines.sources.simulation.exporters.world import World

PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
CONDITIONS = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
#: Seconds until a new pod is ready.
READY_S = 60
#: Length of one period of the scheduler in which a container can be throttled, in seconds.
CFS_PERIOD_S = 0.1


def show_kube_state(page: Page, world: World) -> None:
    """Add what kube-state-metrics shows of nodes, deployments and pods."""
    for host in world.company.workers:
        _show_node(page, host)
    for app in world.company.apps:
        _show_deployment(page, world, app)
    apps = {app.name: app for app in world.company.apps}
    for pod in world.pods:
        page.shown = world.chunk.between(pod.born, pod.died)
        _show_pod_state(page, world, apps[pod.service], pod)
    page.shown = None
    labels = labelled(namespace=NAMESPACE, job_name="weekly-report", reason="BackoffLimitExceeded")
    page.gauge("kube_job_status_failed", 0, labels)
    page.gauge(
        "kube_job_status_active",
        world.batch().astype(np.float64),
        labelled(namespace=NAMESPACE, job_name="weekly-report"),
    )


def _show_node(page: Page, host: Host) -> None:
    page.gauge(
        "kube_node_info",
        1,
        labelled(node=host.name, kubelet_version="v1.29.4", os_image="Debian GNU/Linux 12"),
    )
    for condition in CONDITIONS:
        for status in ("true", "false", "unknown"):
            is_true = status == ("true" if condition == "Ready" else "false")
            labels = labelled(node=host.name, condition=condition, status=status)
            page.gauge("kube_node_status_condition", int(is_true), labels)
    for resource, unit, amount in (
        ("cpu", "core", float(host.cpus)),
        ("memory", "byte", host.memory),
        ("pods", "integer", 110.0),
    ):
        labels = labelled(node=host.name, resource=resource, unit=unit)
        page.gauge("kube_node_status_allocatable", amount, labels)
        page.gauge("kube_node_status_capacity", amount, labels)
    page.gauge("kube_node_spec_unschedulable", 0, labelled(node=host.name))


def _show_deployment(page: Page, world: World, app: App) -> None:
    own = [pod for pod in world.pods if pod.service == app.name]
    zero = np.zeros(world.steps)
    replicas = sum((world.chunk.between(pod.born, pod.died) * 1.0 for pod in own), zero)
    ready = sum((world.chunk.between(pod.born + READY_S, pod.died) * 1.0 for pod in own), zero)
    killed = world.impact("memory_leak", service=app.name)
    ready = np.where(killed, np.floor(ready / 2), ready)
    labels = labelled(namespace=NAMESPACE, deployment=app.name)
    page.gauges(
        {
            "kube_deployment_spec_replicas": replicas,
            "kube_deployment_status_replicas": replicas,
            "kube_deployment_status_replicas_ready": ready,
            "kube_deployment_status_replicas_available": ready,
            "kube_deployment_status_replicas_unavailable": replicas - ready,
            "kube_deployment_status_replicas_updated": replicas,
            "kube_deployment_spec_paused": 0,
        },
        labels,
    )
    versions = [one.at for one in world.timeline.deploys if one.service == app.name]
    generation = np.searchsorted(np.array(versions), world.chunk.times, side="right").astype(np.float64)
    page.gauge("kube_deployment_metadata_generation", generation, labels)
    page.gauge("kube_deployment_status_observed_generation", generation, labels)
    if app.is_autoscaled:
        size = world.company.size.pods
        scaled = labelled(namespace=NAMESPACE, horizontalpodautoscaler=app.name)
        page.gauge("kube_horizontalpodautoscaler_spec_min_replicas", size, scaled)
        page.gauge("kube_horizontalpodautoscaler_spec_max_replicas", size + max(1, size // 2), scaled)
        page.gauge("kube_horizontalpodautoscaler_status_current_replicas", replicas, scaled)
        page.gauge("kube_horizontalpodautoscaler_status_desired_replicas", replicas, scaled)


def _show_pod_state(page: Page, world: World, app: App, pod: Pod) -> None:
    uid = seeded(world.company.seed, pod.name).bytes(8).hex()
    labels = labelled(namespace=NAMESPACE, pod=pod.name, uid=uid)
    container = f'{labels},container="{app.name}"'
    is_ready = world.chunk.between(pod.born + READY_S, pod.died).astype(np.float64)
    owner = pod.name.rsplit("-", 1)[0]
    info = labelled(node=pod.node, pod_ip=pod.ip, created_by_kind="ReplicaSet", created_by_name=owner)
    page.gauge("kube_pod_info", 1, f"{labels},{info}")
    page.gauge(
        "kube_pod_owner",
        1,
        f'{labels},owner_kind="ReplicaSet",owner_name="{owner}",owner_is_controller="true"',
    )
    page.gauge("kube_pod_start_time", float(pod.born), labels)
    page.gauge("kube_pod_created", float(pod.born), labels)
    for phase in PHASES:
        page.gauge("kube_pod_status_phase", int(phase == "Running"), f'{labels},phase="{phase}"')
    for condition, level in (("true", is_ready), ("false", 1 - is_ready), ("unknown", 0 * is_ready)):
        page.gauge("kube_pod_status_ready", level, f'{labels},condition="{condition}"')
    page.gauge("kube_pod_container_status_ready", is_ready, container)
    page.gauge("kube_pod_container_status_running", 1, container)
    page.gauge(
        "kube_pod_container_info", 1, f'{container},image="registry.example.com/{app.name}:{pod.version}"'
    )
    restarts = np.zeros(world.steps)
    for moment in world.kills(pod):
        restarts = restarts + (world.chunk.times >= moment)
    page.gauge("kube_pod_container_status_restarts_total", restarts, container, "counter")
    killed = (restarts > 0).astype(np.float64)
    page.gauge("kube_pod_container_status_last_terminated_reason", killed, f'{container},reason="OOMKilled"')
    for resource, unit, amount in (("cpu", "core", app.cpu_limit), ("memory", "byte", app.memory_limit)):
        limited = f'{container},node="{pod.node}",resource="{resource}",unit="{unit}"'
        page.gauge("kube_pod_container_resource_limits", amount, limited)
        page.gauge("kube_pod_container_resource_requests", amount / 2, limited)


def show_cadvisor(page: Page, world: World, host: Host) -> None:
    """Add what the kubelet's cAdvisor shows of the containers of one node."""
    apps = {app.name: app for app in world.company.apps}
    for pod in world.pods:
        if pod.node == host.name:
            page.shown = world.chunk.between(pod.born, pod.died)
            _show_container(page, world, apps[pod.service], pod)
    page.shown = None
    page.gauge("machine_cpu_cores", host.cpus)
    page.gauge("machine_memory_bytes", host.memory)


def _show_container(page: Page, world: World, app: App, pod: Pod) -> None:
    step = world.chunk.step_s
    requests: FloatArray = world.pod_traffic(app, pod)
    cpu = 0.005 + requests * app.cpu_s * world.chunk.wobble(f"{pod.name}cpu", 0.05)
    memory = world.pod_memory(app, pod)
    group = seeded(world.company.seed, pod.name).bytes(8).hex()
    image = f"registry.example.com/{app.name}:{pod.version}"
    own = labelled(container=app.name, id=f"/kubepods/burstable/pod{group}/{group[:12]}", image=image)
    labels = f'{own},name="{group[:12]}",namespace="{NAMESPACE}",pod="{pod.name}"'
    throttled = np.clip(cpu / app.cpu_limit - 0.6, 0, None) * 0.5
    periods = np.round(step / CFS_PERIOD_S * np.clip(cpu * 5, 0.05, 1))
    page.counter("container_cpu_usage_seconds_total", cpu * step, f'{labels},cpu="total"')
    page.counters(
        {
            "container_cpu_user_seconds_total": cpu * 0.7 * step,
            "container_cpu_system_seconds_total": cpu * 0.3 * step,
            "container_cpu_cfs_periods_total": periods,
            "container_cpu_cfs_throttled_periods_total": np.round(periods * throttled),
            "container_cpu_cfs_throttled_seconds_total": periods * throttled * 0.03,
            "container_fs_reads_bytes_total": np.round(requests * 20 * step),
            "container_fs_writes_bytes_total": np.round(requests * 90 * step),
            "container_oom_events_total": 0,
        },
        labels,
    )
    page.gauges(
        {
            "container_memory_working_set_bytes": np.round(memory),
            "container_memory_rss": np.round(memory * 0.97),
            "container_memory_usage_bytes": np.round(memory * 1.08),
            "container_memory_cache": np.round(memory * 0.08),
            "container_spec_memory_limit_bytes": app.memory_limit,
            "container_spec_cpu_quota": app.cpu_limit * 100000,
            "container_spec_cpu_period": 100000,
            "container_start_time_seconds": float(pod.born),
            "container_last_seen": np.asarray(world.chunk.times, dtype=np.float64),
        },
        labels,
    )
    network = labelled(
        id=f"/kubepods/burstable/pod{group}", interface="eth0", namespace=NAMESPACE, pod=pod.name
    )
    for way, size in (("receive", 900.0), ("transmit", 3000.0)):
        page.counter(f"container_network_{way}_bytes_total", np.round(requests * size * step), network)
        page.counter(f"container_network_{way}_packets_total", np.round(requests * 8 * step), network)
        page.counter(f"container_network_{way}_errors_total", 0, network)
