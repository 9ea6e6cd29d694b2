"""The services of the fleet: sizes, limits, normal behaviour and dependencies."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from core.domain import Role, Series, SeriesKind

#: Names of the first services; later ones are numbered.
NAMES = (
    "checkout", "payments", "cart", "search", "catalog", "inventory", "orders", "shipping", "accounts",
    "login", "pricing", "promotions", "reviews", "recommendations", "notifications", "media", "gateway",
    "billing", "reports", "warehouse",
)  # fmt: skip

GIB = 2.0**30


@dataclass(frozen=True, slots=True)
class Profile:
    """The properties of one service; fractions are of the limit unless the name has another unit.

    Attributes:
        depends_on: services that this one calls; their failures affect it.
        incident_gap_days: mean time between two incidents.
        cause_weights: how likely each slow cause is here, in the order of `plan.SLOW_CAUSES`.
        rotation_h, rotation_share: period and height of the sawtooth on the disk (log rotation).
        memory_saw_share: height of a harmless sawtooth of memory, which resets every few days.
    """

    index: int
    name: str
    depends_on: tuple[str, ...]
    incident_gap_days: float
    cause_weights: tuple[float, ...]
    rps: float
    day_swing: float
    peak_hour: float
    weekend_factor: float
    cpu: float
    memory_limit: float
    memory: float
    memory_saw_share: float
    disk_limit: float
    disk: float
    rotation_h: float
    rotation_share: float
    latency_s: float
    latency_slo_s: float
    error_ratio: float
    error_slo: float
    connection_limit: float
    connections: float
    queue: float
    queue_slo: float
    noise: float

    def series(self, tenant: str, step_s: int) -> list[Series]:
        """The eight metrics, with their limits and SLOs. A label of the traffic lists `depends_on`."""
        dependencies = {"depends_on": ",".join(self.depends_on)} if self.depends_on else {}

        one = partial(Series, tenant=tenant, service=self.name, step_s=step_s)
        return [
            one(
                metric="cpu_utilization", unit="ratio", role=Role.SATURATION, kind=SeriesKind.RATIO, limit=1.0
            ),
            one(metric="memory_used_bytes", unit="bytes", role=Role.CAPACITY, limit=self.memory_limit),
            one(metric="disk_used_bytes", unit="bytes", role=Role.CAPACITY, limit=self.disk_limit),
            one(
                metric="latency_p99_seconds",
                unit="seconds",
                role=Role.LATENCY,
                slo_threshold=self.latency_slo_s,
            ),
            one(
                metric="error_ratio",
                unit="ratio",
                role=Role.ERRORS,
                kind=SeriesKind.RATIO,
                slo_threshold=self.error_slo,
            ),
            one(metric="requests_per_second", unit="requests/s", role=Role.TRAFFIC, labels=dependencies),
            one(metric="db_connections", unit="connections", role=Role.CAPACITY, limit=self.connection_limit),
            one(
                metric="queue_depth",
                unit="messages",
                role=Role.SATURATION,
                limit=2 * self.queue_slo,
                slo_threshold=self.queue_slo,
            ),
        ]


def draw_profiles(services: int, seed: int) -> list[Profile]:
    """`services` different services; the first n are the same for any number."""
    profiles: list[Profile] = []
    for index in range(services):
        rng = np.random.default_rng([seed, 1, index])
        name = NAMES[index] if index < len(NAMES) else f"service-{index + 1:03d}"
        earlier = [profile.name for profile in profiles[-12:]]
        degree = min(len(earlier), int(rng.choice([0, 1, 2, 3], p=[0.2, 0.4, 0.3, 0.1])))
        latency = float(10 ** rng.uniform(-1.7, -0.2))
        queue = float(10 ** rng.uniform(0.7, 2.5))
        profiles.append(
            Profile(
                index=index,
                name=name,
                depends_on=tuple(sorted(rng.choice(earlier, degree, replace=False).tolist()))
                if degree
                else (),
                incident_gap_days=float(rng.uniform(2.5, 6.0)),
                cause_weights=tuple(rng.dirichlet(np.full(5, 2.0)).tolist()),
                rps=float(10 ** rng.uniform(0.7, 3.3)),
                day_swing=float(rng.uniform(0.15, 0.6)),
                peak_hour=float(rng.uniform(9.0, 20.0)),
                weekend_factor=float(rng.uniform(0.6, 1.15)),
                cpu=float(rng.uniform(0.15, 0.5)),
                memory_limit=GIB * float(rng.choice([1, 2, 4, 8, 16, 32])),
                memory=float(rng.uniform(0.35, 0.68)),
                memory_saw_share=float(rng.choice([0.0, 0.0, 0.06, 0.14])),
                disk_limit=GIB * float(rng.choice([20, 50, 100, 250, 500])),
                disk=float(rng.uniform(0.3, 0.72)),
                rotation_h=float(rng.choice([6.0, 12.0, 24.0, 48.0])),
                rotation_share=float(rng.uniform(0.01, 0.16)),
                latency_s=latency,
                latency_slo_s=latency * float(rng.uniform(2.0, 4.0)),
                error_ratio=float(10 ** rng.uniform(-3.6, -2.4)),
                error_slo=float(rng.choice([0.02, 0.03, 0.05])),
                connection_limit=float(rng.choice([20, 50, 100, 200, 400])),
                connections=float(rng.uniform(0.25, 0.6)),
                queue=queue,
                queue_slo=float(round(queue * rng.uniform(15.0, 60.0))),
                noise=float(rng.uniform(0.5, 1.5)),
            )
        )
    return profiles
