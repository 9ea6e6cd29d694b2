"""Blocks of simulated exporters in Debian's Prometheus, and the live pages that continue them."""

import threading
from pathlib import Path

import httpx
import pytest
from servers.prometheus import missing_programs, prometheus

from core.errors import InputError
from pipelines.sources.exporter_pages import LivePages, page_server
from pipelines.sources.simulated_exporters import read_history, write_history
from pipelines.sources.simulation.exporters.company import FleetSize
from pipelines.sources.simulation.exporters.fleet import ExporterFleet

pytestmark = pytest.mark.skipif(bool(missing_programs()), reason="Debian's Prometheus is not installed")

#: 2026-11-29 11:59 UTC: the end of a block.
END = 1795953540


def query(url: str, promql: str, at: int) -> list[float]:
    """The values of an instant query."""
    response = httpx.get(f"{url}/api/v1/query", params={"query": promql, "time": at})
    return [float(one["value"][1]) for one in response.json()["data"]["result"]]


def test_prometheus_shows_the_incidents_of_the_truth_and_the_live_pages_continue(tmp_path: Path) -> None:
    fleet = ExporterFleet(FleetSize(hosts=1, services=1, pods=1), days=1, end=END, step_s=300)
    write_history(fleet, tmp_path, address="127.0.0.1:1", into_blocks=True)
    incidents = {one.type: one for one in reversed(fleet.timeline.incidents) if one.impact < END - 3600}
    with prometheus(tmp_path, {}) as url:
        full = incidents["disk_full"]
        free, calm = (
            min(
                query(
                    url, f"node_filesystem_avail_bytes{full.series[0][27:]} / node_filesystem_size_bytes", at
                )
            )
            for at in (full.end - 60, full.start - 600)
        )
        assert free < 0.02 < 0.2 < calm
        pool = incidents["pool_exhaustion"]
        used = "max(pg_stat_database_numbackends) / max(pg_settings_max_connections)"
        assert query(url, used, pool.end - 60)[0] > 0.9
        assert query(url, used, pool.start)[0] < 0.5
        slow = incidents["slow_release"]
        p90 = (
            "histogram_quantile(0.9, sum by (le)"
            f' (rate(http_request_duration_seconds_bucket{{job="{slow.service}"}}[15m])))'
        )
        assert query(url, p90, slow.end - 60)[0] > 2.5 * query(url, p90, slow.start - 60)[0]
        dead = incidents["dead_exporter"]
        assert query(url, dead.series[0], dead.end - 60) == [0.0]
        last = query(url, 'sum(node_cpu_seconds_total{instance="db1:9100"})', END)[0]
    with pytest.raises(InputError, match="history already"):
        write_history(fleet, tmp_path, address="127.0.0.1:1", into_blocks=False)
    with pytest.raises(InputError, match="14 days"):
        LivePages(read_history(tmp_path), now=lambda: END + 15 * 86400)
    now = END + 600
    pages = LivePages(read_history(tmp_path), now=lambda: now)
    with page_server(pages, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        paths = [one["labels"]["__metrics_path__"] for one in httpx.get(f"{address}/targets").json()]
        assert {"/node/db1", "/postgres/db1", "/kube-state-metrics"} <= set(paths)
        lines = httpx.get(f"{address}/node/db1").text.splitlines()
        with pytest.raises(InputError, match="--port"):
            page_server(pages, server.server_address[1])
        server.shutdown()
    counted = sum(
        float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("node_cpu_seconds_total{")
    )
    cpus = fleet.company.hosts[0].cpus
    assert counted - last == pytest.approx(600 * cpus, rel=0.02)
