"""node_exporter (names and labels of version 1.5): CPU, memory, file systems, disks, network, and the rest."""

import numpy as np

from core.durations import DAY_S
from pipelines.sources.simulation.exporters.clock import FloatArray, seeded
from pipelines.sources.simulation.exporters.company import Disk, Host
from pipelines.sources.simulation.exporters.constants import NODE, constants
from pipelines.sources.simulation.exporters.page import Page, labelled
from pipelines.sources.simulation.exporters.world import World

MODES = ("idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user")
#: How the busy time is split.
BUSY_SHARES = {
    "user": 0.62,
    "system": 0.27,
    "softirq": 0.05,
    "steal": 0.02,
    "nice": 0.02,
    "irq": 0.0,
    "iowait": 0.02,
}
#: ext4 keeps this share of a file system for root.
RESERVED = 0.05
#: Growth of a file system in a day, as a share of its size.
GROWTH_DAY = 0.001
COLLECTORS = (
    "arp", "conntrack", "cpu", "diskstats", "filefd", "filesystem", "loadavg", "meminfo", "netclass", "netdev",
    "netstat", "os", "pressure", "sockstat", "softnet", "stat", "textfile", "time", "timex", "uname", "vmstat",
)  # fmt: skip


def busy_share(world: World, host: Host) -> FloatArray:
    """The share of its CPU time that a host is busy, in [0.01, 0.97]."""
    load = world.relative_load
    usual = {"db": 0.28, "web": 0.15, "cache": 0.12, "kafka": 0.18, "worker": 0.05}[host.role] * load
    if host.role == "worker" or host in world.company.workers:
        apps = {app.name: app for app in world.company.apps}
        pods = [pod for pod in world.pods if pod.node == host.name]
        cores = sum(
            (world.pod_traffic(apps[pod.service], pod) * apps[pod.service].cpu_s for pod in pods), 0.0 * load
        )
        usual = usual + np.minimum(cores / host.cpus, 0.75)
    if host == world.company.host("db"):
        usual = usual + 0.45 * world.batch() + 0.15 * world.backup()
        usual = usual + 0.3 * world.rise("pool_exhaustion")
    return np.asarray(np.clip(usual * world.chunk.wobble(f"{host.name}cpu", 0.06) + 0.01, 0.01, 0.97))


def show_host(page: Page, world: World, host: Host, booted: FloatArray) -> None:
    """Add everything that node_exporter exposes of a host."""
    busy = busy_share(world, host)
    _show_cpu(page, world, host, busy)
    _show_memory(page, world, host)
    for disk in host.disks:
        _show_file_system(page, world, host, disk)
    for device in dict.fromkeys(disk.device.removeprefix("/dev/")[:3] for disk in host.disks if disk.is_real):
        _show_device(page, world, host, device, busy)
    _show_network(page, world, host)
    _show_system(page, world, host, busy, booted)


def _show_cpu(page: Page, world: World, host: Host, busy: FloatArray) -> None:
    rng = world.chunk.rng(host.name, "cpus")
    for cpu in range(host.cpus):
        own = np.clip(busy * rng.uniform(0.85, 1.15, world.steps), 0.005, 0.99)
        for mode in MODES:
            share = 1 - own if mode == "idle" else own * BUSY_SHARES[mode]
            seconds = np.round(share * world.chunk.step_s, 2)
            page.counter("node_cpu_seconds_total", seconds, labelled(cpu=str(cpu), mode=mode), since="boot")
        for mode in ("nice", "user"):
            page.counter("node_cpu_guest_seconds_total", 0, labelled(cpu=str(cpu), mode=mode), since="boot")
        page.counter(
            "node_softnet_processed_total", np.round(own * 9e4), labelled(cpu=str(cpu)), since="boot"
        )
        page.counter("node_softnet_dropped_total", 0, labelled(cpu=str(cpu)), since="boot")
        page.counter("node_softnet_times_squeezed_total", 0, labelled(cpu=str(cpu)), since="boot")
    load = busy * host.cpus
    page.gauge("node_load1", np.round(load * rng.uniform(0.7, 1.4, world.steps), 2))
    page.gauge("node_load5", np.round(load * rng.uniform(0.9, 1.15, world.steps), 2))
    page.gauge("node_load15", np.round(load * rng.uniform(0.95, 1.08, world.steps), 2))
    for resource, share in (("cpu", busy**3), ("io", busy * 0.03), ("memory", busy * 0.0)):
        page.counter(
            f"node_pressure_{resource}_waiting_seconds_total", share * world.chunk.step_s, since="boot"
        )


def _show_memory(page: Page, world: World, host: Host) -> None:
    base = float(seeded(world.company.seed, host.name, "memory").uniform(0.3, 0.5))
    used = (base + 0.06 * world.relative_load) * world.chunk.wobble(f"{host.name}memory", 0.01) * host.memory
    apps = {app.name: app for app in world.company.apps}
    for pod in world.pods:
        if pod.node == host.name:
            lives = world.chunk.between(pod.born, pod.died)
            used = used + lives * (world.pod_memory(apps[pod.service], pod) - apps[pod.service].memory)
    used = np.clip(used, 0.1 * host.memory, 0.96 * host.memory)
    cached = np.clip(0.9 * (host.memory - used), 0.0, 0.35 * host.memory)
    free = host.memory - used - cached
    shares = {"Active": 0.6, "Active_anon": 0.4, "Active_file": 0.2, "AnonPages": 0.8, "Committed_AS": 1.3}
    levels = {name: used * share for name, share in shares.items()}
    shares = {
        "Cached": 0.9,
        "Buffers": 0.1,
        "Inactive": 0.9,
        "Inactive_file": 0.8,
        "SReclaimable": 0.12,
        "Slab": 0.2,
    }
    levels |= {name: cached * share for name, share in shares.items()}
    levels |= {
        "MemFree": free,
        "MemAvailable": free + cached * 0.95,
        "Mapped": used * 0.2,
        "Shmem": used * 0.03,
    }
    levels |= {"Dirty": 2e7 * world.chunk.wobble(f"{host.name}dirty", 0.4), "PageTables": used * 0.01}
    fixed = {"MemTotal": host.memory, "SwapTotal": host.swap, "SwapFree": host.swap * 0.98, "SwapCached": 0.0}
    fixed |= {
        "CommitLimit": host.memory / 2 + host.swap,
        "Hugepagesize": 2097152.0,
        "VmallocTotal": 3.5184372087808e13,
    }
    for name, level in levels.items():
        page.gauge(f"node_memory_{name}_bytes", np.round(level / 4096) * 4096)
    page.gauges({f"node_memory_{name}_bytes": level for name, level in fixed.items()})


def used_share(world: World, host: Host, disk: Disk) -> tuple[FloatArray, FloatArray]:
    """Used bytes and size of a file system; a resize doubles the size."""
    times = world.chunk.times
    size = np.full(world.steps, disk.size)
    if not disk.is_real:
        return size * disk.used * world.chunk.wobble(host.name + disk.mountpoint, 0.01), size
    age = (times - world.timeline.start) / DAY_S
    teeth = (times % (7 * DAY_S)) / (7 * DAY_S) * 0.03
    share = disk.used + np.clip(GROWTH_DAY * age, 0, 0.2) + teeth * (disk.fstype != "vfat")
    is_data = disk is [one for one in host.disks if one.is_real and one.fstype != "vfat"][-1]
    if is_data and host == world.company.host("db"):
        share = share + 0.04 * world.backup()
    rise = world.rise("disk_full", host=host.name, entity=disk.mountpoint)
    used = (share + rise * (1.0 - share)) * disk.size
    resized = world.timeline.first("resized_disk")
    if resized is not None and resized.what == host.name and is_data:
        size = np.where(times >= resized.at, 2 * disk.size, disk.size)
        used = np.where(rise > 0, (share + rise * (size / disk.size - share)) * disk.size, used)
    return used, size


def _show_file_system(page: Page, world: World, host: Host, disk: Disk) -> None:
    labels = labelled(device=disk.device, fstype=disk.fstype, mountpoint=disk.mountpoint)
    used, size = used_share(world, host, disk)
    used = np.minimum(np.round(used / 4096) * 4096, size)
    reserved = RESERVED * size if disk.fstype in ("ext4", "overlay") else 0.0
    files = np.round(size / 16384)
    page.gauges(
        {
            "node_filesystem_size_bytes": size,
            "node_filesystem_free_bytes": size - used,
            "node_filesystem_avail_bytes": np.clip(size - used - reserved, 0, None),
            "node_filesystem_files": files if disk.fstype != "vfat" else 0,
            "node_filesystem_files_free": np.round(files * (1 - 0.3 * used / size))
            if disk.fstype != "vfat"
            else 0,
            "node_filesystem_readonly": 0,
            "node_filesystem_device_error": 0,
        },
        labels,
    )


def _show_device(page: Page, world: World, host: Host, device: str, busy: FloatArray) -> None:
    chunk, step = world.chunk, world.chunk.step_s
    writes = (5 + 120 * busy) * chunk.wobble(host.name + device, 0.15)
    if host == world.company.host("db"):
        writes = writes + 300 * world.batch() + 400 * world.backup()
    writes = np.where(world.impact("disk_full", host=host.name), writes * 0.2, writes)
    reads = writes * 0.6
    use = np.clip(writes / 900, 0.0, 0.98)
    counts = {"reads_completed": reads, "writes_completed": writes, "reads_merged": reads * 0.1}
    counts |= {"writes_merged": writes * 0.5, "read_bytes": reads * 16384, "written_bytes": writes * 24576}
    counts |= {"flush_requests": writes * 0.2, "discards_completed": writes * 0.0}
    labels = labelled(device=device)
    for name, rate in counts.items():
        page.counter(f"node_disk_{name}_total", np.round(rate * step), labels, since="boot")
    seconds = {
        "io_time": use,
        "io_time_weighted": use * 2.5,
        "read_time": reads * 0.0006,
        "write_time": writes * 0.0011,
    }
    for name, rate in seconds.items():
        page.counter(f"node_disk_{name}_seconds_total", np.round(rate * step, 3), labels, since="boot")
    page.gauge("node_disk_io_now", np.round(use * 3), labels)
    page.gauge(
        "node_disk_info",
        1,
        labelled(device=device, major="8", minor="0", model="", path="", revision="", serial="", wwn=""),
    )


def _show_network(page: Page, world: World, host: Host) -> None:
    step = world.chunk.step_s
    shares = {"web": 1.0, "db": 0.5, "cache": 0.4, "kafka": 0.4, "worker": 0.3}
    packets = world.total_traffic * 12 * shares[host.role] * world.chunk.wobble(f"{host.name}net", 0.05) + 20
    if host == world.company.host("db"):
        packets = packets + 8000 * world.backup()
    for device, part in (("eth0", 1.0), ("lo", 0.2)) + ((("docker0", 0.4),) if host.role == "worker" else ()):
        labels = labelled(device=device)
        for way, size in (("receive", 450.0), ("transmit", 700.0)):
            counts = {"packets": packets * part, "bytes": packets * part * size}
            counts |= dict.fromkeys(("errs", "drop", "fifo", "compressed"), 0.0 * packets)
            for name, rate in counts.items():
                page.counter(f"node_network_{way}_{name}_total", np.round(rate * step), labels, since="boot")
        page.gauges({"node_network_up": int(device != "lo"), "node_network_mtu_bytes": 1500}, labels)
        page.gauge("node_network_carrier", 1, labels)
        if device == "eth0":
            page.gauge("node_network_speed_bytes", 1.25e8, labels)


def _show_system(page: Page, world: World, host: Host, busy: FloatArray, booted: FloatArray) -> None:
    chunk, step = world.chunk, world.chunk.step_s
    release, version = "6.1.0-18-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)"
    uname = labelled(domainname="(none)", machine="x86_64", nodename=host.name, release=release)
    page.gauge("node_uname_info", 1, f'{uname},sysname="Linux",version="{version}"')
    name = labelled(
        build_id="", id="debian", id_like="", image_id="", image_version="", name="Debian GNU/Linux"
    )
    codename = labelled(
        variant="", variant_id="", version="12 (bookworm)", version_codename="bookworm", version_id="12"
    )
    page.gauge("node_os_info", 1, f'{name},pretty_name="Debian GNU/Linux 12 (bookworm)",{codename}')
    build = labelled(
        branch="debian/sid", goarch="amd64", goos="linux", goversion="go1.19.8", revision="1.5.0-1+b6"
    )
    page.gauge("node_exporter_build_info", 1, f'{build},version="1.5.0"')
    if world.company.size.is_complete:
        for one, value in constants(NODE, "node_").items():
            page.gauge(
                one, value, kind="untyped" if one.startswith(("node_netstat", "node_vmstat")) else "gauge"
            )
    connections = 80 + 300 * busy * chunk.wobble(f"{host.name}tcp", 0.1)
    page.gauges(
        {
            "node_boot_time_seconds": booted,
            "node_time_seconds": np.asarray(chunk.times + 0.25),
            "node_timex_offset_seconds": 2e-5 * chunk.rng(host.name, "timex").normal(size=world.steps),
            "node_timex_sync_status": 1,
            "node_timex_maxerror_seconds": 0.02,
            "node_procs_running": np.round(1 + busy * host.cpus),
            "node_procs_blocked": np.round(busy * 0.8),
            "node_filefd_allocated": np.round(2500 + connections * 3),
            "node_filefd_maximum": 9.223372036854776e18,
            "node_entropy_available_bits": 256,
            "node_nf_conntrack_entries": np.round(connections * 1.5),
            "node_nf_conntrack_entries_limit": 262144,
            "node_sockstat_sockets_used": np.round(connections * 1.3),
            "node_sockstat_TCP_inuse": np.round(connections),
            "node_sockstat_TCP_tw": np.round(connections * 0.4),
            "node_textfile_scrape_error": 0,
        }
    )
    counts = {"context_switches": 2000 + 40000 * busy, "intr": 1500 + 20000 * busy, "forks": 1 + 10 * busy}
    for name, rate in counts.items():
        page.counter(f"node_{name}_total", np.round(rate * step), since="boot")
    untyped = {"netstat_Tcp_CurrEstab": np.round(connections)}
    for name, level in untyped.items():
        page.gauge(f"node_{name}", level, kind="untyped")
    rates = {
        "netstat_Tcp_InSegs": 4000 * busy,
        "netstat_Tcp_OutSegs": 4200 * busy,
        "vmstat_pgfault": 3000 * busy,
    }
    rates |= {"netstat_Tcp_RetransSegs": busy * 0.5, "netstat_TcpExt_ListenDrops": busy * 0.0}
    rates |= {"vmstat_pgpgin": 900 * busy, "vmstat_pgpgout": 1500 * busy, "vmstat_pswpin": busy * 0.0}
    for name, rate in (rates | {"vmstat_oom_kill": busy * 0.0, "vmstat_pgmajfault": busy * 0.1}).items():
        page.counter(f"node_{name}", np.round(rate * step), since="boot", kind="untyped")
    for collector in COLLECTORS:
        labels = labelled(collector=collector)
        page.gauge("node_scrape_collector_success", 1, labels)
        page.gauge(
            "node_scrape_collector_duration_seconds", 0.001 * chunk.wobble(host.name + collector, 0.3), labels
        )
