"""The company: hosts with their disks, and services. Sizes and load of services are those of the first simulator."""

from dataclasses import dataclass, field

from core.errors import InputError
from pipelines.sources.simulation.exporters.clock import seeded
from pipelines.sources.simulation.profiles import GIB, draw_profiles

#: Hosts in order; those after the fifth are workers.
HOST_ROLES = ("db", "web", "worker", "cache", "kafka")
NAMESPACE = "shop"
#: Requests per second of the largest service.
MOST_RPS = 400.0


@dataclass(frozen=True, slots=True)
class FleetSize:
    """How large the company is.

    Attributes:
        hosts: hosts with a node_exporter; the first is the database server.
        services: HTTP services; the second has almost no traffic at night.
        pods: pods of each service, before autoscaling.
        is_complete: the pages also have the many metrics that hardly change.
    """

    hosts: int = 6
    services: int = 4
    pods: int = 2
    is_complete: bool = False

    def __post_init__(self) -> None:
        for name, count in (("hosts", self.hosts), ("services", self.services), ("pods", self.pods)):
            if count < 1:
                raise InputError(f"a fleet needs at least 1 of its {name}, got {count}")


@dataclass(frozen=True, slots=True)
class Disk:
    """A mounted file system; `used` is the share that is used at the start."""

    mountpoint: str
    device: str
    fstype: str
    size: float
    used: float

    @property
    def is_real(self) -> bool:
        """Whether it lies on a disk of the host: not in memory, and no layer of a container."""
        return self.device.startswith("/dev/")


@dataclass(frozen=True, slots=True)
class Host:
    """One machine with a node_exporter."""

    name: str
    role: str
    cpus: int
    memory: float
    swap: float
    disks: tuple[Disk, ...]

    @property
    def instance(self) -> str:
        return f"{self.name}:9100"


@dataclass(frozen=True, slots=True)
class App:
    """One HTTP service.

    Attributes:
        latency_s, spread: median and logarithmic deviation of its latency, which is log-normal.
        memory: resident bytes of a pod after its start; `memory_limit` is that of its container.
        is_sparse: almost no request at night.
        is_autoscaled: more pods in office hours.
    """

    name: str
    rps: float
    swing: float
    peak_hour: float
    weekend: float
    latency_s: float
    spread: float
    error_ratio: float
    memory: float
    memory_limit: float
    cpu_limit: float
    cpu_s: float
    is_sparse: bool
    is_autoscaled: bool
    depends_on: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Company:
    """Everything that stays the same over time."""

    size: FleetSize
    seed: int
    hosts: tuple[Host, ...] = field(repr=False)
    apps: tuple[App, ...] = field(repr=False)

    def host(self, role: str) -> Host:
        """The first host of a role; a small company puts it on its first host."""
        return next((host for host in self.hosts if host.role == role), self.hosts[0])

    @property
    def workers(self) -> tuple[Host, ...]:
        """The hosts on which pods run."""
        return tuple(host for host in self.hosts if host.role == "worker") or self.hosts[-1:]


def found_company(size: FleetSize, seed: int) -> Company:
    """Draw a company; the first hosts and services are the same for any size."""
    hosts = tuple(_host(index, seed) for index in range(size.hosts))
    apps = tuple(
        App(
            name=profile.name,
            rps=min(profile.rps, MOST_RPS) if profile.index != 1 else 4.0,
            swing=profile.day_swing if profile.index != 1 else 0.98,
            peak_hour=profile.peak_hour if profile.index != 1 else 13.0,
            weekend=profile.weekend_factor,
            latency_s=min(profile.latency_s, 0.3),
            spread=float(seeded(seed, profile.name, "spread").uniform(0.5, 0.9)),
            error_ratio=min(profile.error_ratio, 0.002),
            memory=profile.memory * min(profile.memory_limit, 4 * GIB) * 0.7,
            memory_limit=min(profile.memory_limit, 4 * GIB),
            cpu_limit=2.0,
            cpu_s=min(profile.cpu, 0.4) * size.pods / min(profile.rps, MOST_RPS),
            is_sparse=profile.index == 1,
            is_autoscaled=profile.index % 3 == 0,
            depends_on=profile.depends_on,
        )
        for profile in draw_profiles(size.services, seed)
    )
    return Company(size=size, seed=seed, hosts=hosts, apps=apps)


def _host(index: int, seed: int) -> Host:
    role = HOST_ROLES[index] if index < len(HOST_ROLES) else "worker"
    number = 1 if index < len(HOST_ROLES) else index - len(HOST_ROLES) + 2
    rng = seeded(seed, "host", str(index))
    memory = GIB * float(rng.choice([8, 16, 32]))
    disks = [
        Disk("/", "/dev/sda2", "ext4", GIB * float(rng.choice([40, 80])), float(rng.uniform(0.3, 0.55))),
        Disk("/boot/efi", "/dev/sda1", "vfat", GIB * 0.5, 0.03),
        Disk("/run", "tmpfs", "tmpfs", memory * 0.1, 0.01),
    ]
    data = {"db": "/var/lib/postgresql", "kafka": "/var/lib/kafka"}.get(
        role, "/data" if rng.random() < 0.5 else ""
    )
    if data:
        size = GIB * float(rng.choice([100, 200, 500]))
        disks.append(Disk(data, "/dev/sdb1", "xfs", size, float(rng.uniform(0.35, 0.6))))
    if role == "worker":
        folder = f"/var/lib/docker/overlay2/{rng.bytes(8).hex()}/merged"
        disks.append(Disk(folder, "overlay", "overlay", disks[0].size, disks[0].used))
    return Host(
        name=f"{role}{number}",
        role=role,
        cpus=int(rng.choice([2, 4, 8])),
        memory=memory,
        swap=float(rng.choice([0.0, 2 * GIB])),
        disks=tuple(disks),
    )
