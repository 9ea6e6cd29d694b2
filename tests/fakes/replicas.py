"""Histories of replicas as a Prometheus has scraped them: pods of which one is slow, and hosts of one pool."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

#: A multiple of the step; a cycle runs a little later.
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SCRAPE_S, BACK_H = 120, 30
RATE = 20.0
BUCKETS = (0.1, 0.25, 1.0, 5.0)

Samples = dict[str, list[tuple[datetime, float]]]


@dataclass(frozen=True)
class Pod:
    """A pod that serves requests, in hours before `NOW` (negative = after).

    Attributes:
        slow_from, slow_to: its requests take ten times as long.
    """

    name: str
    born: float = float(BACK_H)
    died: float = -1.0
    share: float = 1.0
    slow_from: float = -9.0
    slow_to: float = -9.0

    def samples(self) -> Samples:
        hours = np.arange(self.born, self.died - 1e-9, -SCRAPE_S / 3600)
        rng = np.random.default_rng(sum(self.name.encode()))
        rate = RATE * self.share * (1 + 0.5 * np.sin(2 * np.pi * hours / 24))
        is_slow = (hours <= self.slow_from) & (hours > self.slow_to)
        median = np.where(is_slow, 1.0, 0.1)
        found = {}
        requests = rng.poisson(rate * SCRAPE_S)
        for le in (*BUCKETS, np.inf):
            share = 1.0 if np.isinf(le) else 1 - 0.5 ** ((le / median) ** 2)
            found[f'_bucket{{le="{le:g}",'.replace("inf", "+Inf")] = np.round(requests * share)
        found["_count{"] = requests
        labels = f'code="200",instance="{self.name}:80",job="shop",namespace="web",pod="{self.name}"}}'
        times = [NOW - timedelta(hours=float(h)) for h in hours]
        return {
            f"http_request_duration_seconds{start}{labels}": list(
                zip(times, np.cumsum(counts).astype(float).tolist(), strict=True)
            )
            for start, counts in found.items()
        }


def hosts() -> Samples:
    """Five hosts of one pool; `app3` receives nothing since 20 min. Each has its own hardware."""
    hours = np.arange(BACK_H, -1.0, -SCRAPE_S / 3600)
    times = [NOW - timedelta(hours=float(h)) for h in hours]
    found = {}
    for number in range(1, 6):
        rng = np.random.default_rng(number)
        received = 1e6 * number * (1 + 0.1 * rng.normal(size=len(hours)))
        if number == 3:
            received[hours < 1 / 3] = 100.0
        labels = f'instance="app{number}:9100",job="node"'
        counted = np.cumsum(np.clip(received, 0, None) * SCRAPE_S)
        found[f'node_network_receive_bytes_total{{device="eth0",{labels}}}'] = counted
        found[f"node_boot_time_seconds{{{labels}}}"] = np.full(len(hours), 1.7e9)
    return {name: list(zip(times, values.tolist(), strict=True)) for name, values in found.items()}


#: Six pods of which one is slow for a while; pods that a deploy replaced; a canary; pods that autoscaling added.
PODS = (
    *(Pod(f"shop-7d9f-a{n}") for n in range(4)),
    Pod("shop-7d9f-slow", slow_from=0.26, slow_to=-0.4),
    *(Pod(f"shop-5c4b-o{n}", died=5.0 - n) for n in range(3)),
    Pod("shop-canary-66ab-c1", born=1.5, share=0.05),
    *(Pod(f"shop-7d9f-s{n}", born=2.0 - n / 2, died=-0.5) for n in range(2)),
)


def fleet() -> Samples:
    """All pods and hosts; keys are series as Prometheus writes them."""
    return {key: values for pod in PODS for key, values in pod.samples().items()} | hosts()


def resized_disk(hours_ago: int) -> Samples:
    """A disk of `app1` that is half full, until its size is doubled."""
    hours = np.arange(BACK_H, -1.0, -SCRAPE_S / 3600)
    times = [NOW - timedelta(hours=float(h)) for h in hours]
    size = np.where(hours > hours_ago + 1e-9, 100.0, 200.0) * 2**30
    labels = '{device="sda",fstype="ext4",instance="app1:9100",job="node",mountpoint="/data"}'
    values = {"size": size, "free": size - 50 * 2**30, "avail": size - 50 * 2**30}
    return {
        f"node_filesystem_{name}_bytes{labels}": list(zip(times, of_name.tolist(), strict=True))
        for name, of_name in values.items()
    }
