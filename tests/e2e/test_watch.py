"""`forewarn watch URL`, as a stranger starts it: from a real Prometheus with a history to a finding, with no file."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from servers.commands import forewarn_in
from servers.prometheus import backfill, missing_programs, prometheus

pytestmark = pytest.mark.skipif(
    bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}"
)

DAYS = 4
SCRAPE_S = 120
SIZE = 100e9


def history(now: datetime) -> dict[str, list[tuple[datetime, float]]]:
    """Two hosts; the disk `/var` of web1 began to fill 14 hours ago, and is full in about 4 hours."""
    rng = np.random.default_rng(7)
    seconds = np.arange(-DAYS * 86_400, 1, SCRAPE_S)
    times = [now + timedelta(seconds=int(s)) for s in seconds]
    day = np.sin(2 * np.pi * seconds / 86_400)
    found: dict[str, list[tuple[datetime, float]]] = {}
    for host in ("web1", "web2"):
        labels = f'instance="{host}:9100",job="node"'
        busy = 0.3 + 0.1 * day + rng.normal(0, 0.02, len(seconds))
        used = 40e9 + 1e9 * day + rng.normal(0, 1e8, len(seconds))
        if host == "web1":
            used += 3e9 * np.clip(seconds + 14 * 3_600, 0, None) / 3_600
        columns = {
            f'node_cpu_seconds_total{{cpu="0",{labels},mode="idle"}}': np.cumsum(SCRAPE_S * (1 - busy)),
            f'node_cpu_seconds_total{{cpu="0",{labels},mode="user"}}': np.cumsum(SCRAPE_S * busy),
            f"node_boot_time_seconds{{{labels}}}": np.full(len(seconds), 1.7e9),
            f"up{{{labels}}}": np.ones(len(seconds)),
        }
        disk = f'{{device="sda",fstype="ext4",{labels},mountpoint="/var"}}'
        columns[f"node_filesystem_size_bytes{disk}"] = np.full(len(seconds), SIZE)
        columns[f"node_filesystem_free_bytes{disk}"] = SIZE - used
        columns[f"node_filesystem_avail_bytes{disk}"] = SIZE - used
        found |= {name: list(zip(times, values.tolist(), strict=True)) for name, values in columns.items()}
    return found


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("watched")
    backfill(folder, history(datetime.now(UTC)))
    with prometheus(folder, {}) as address:
        yield address


def test_a_filling_disk_is_named_before_it_is_full_and_a_second_start_goes_on(
    url: str, tmp_path: Path
) -> None:
    with forewarn_in(tmp_path) as command:
        printed = command.run("watch", url, "--since-d", str(DAYS), "--cycles", "1")
        lines = printed.splitlines()
        assert lines[0] == "6 series of 2 services: web1, web2"
        (found,) = [line for line in lines if "disk full" in line]
        assert "web1 /var: disk full in" in found
        assert "next cycle at" in lines[-1]
        assert not [line for line in lines if "web2" in line and line != lines[0]]
        (signal,) = command.json("signals", "list", "--kind", "breach")
        assert signal["labels"] == {"instance": "web1:9100", "mountpoint": "/var"}
        again = command.run("watch", url, "--cycles", "1")
        assert "disk full" in again  # it is still open


def test_without_an_address_it_says_which_one_it_needs(tmp_path: Path) -> None:
    with forewarn_in(tmp_path) as command:
        assert (
            "give the address of a Prometheus, set FOREWARN_PROMETHEUS_URL, or let one push"
            in command.run("watch", code=2)
        )
