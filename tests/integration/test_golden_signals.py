"""Golden signals from a real Prometheus, whose history has known signals: names, entities and values."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from servers.prometheus import backfill, missing_programs, prometheus

from core.batch import Batch
from core.clock import FixedClock
from core.domain import Direction, Series
from pipelines.sources.golden_signals import GoldenSignals
from pipelines.sources.prometheus import PrometheusSource, Selection
from pipelines.sources.prometheus_api import PrometheusApi
from pipelines.sources.recipe_files import read_exporters

pytestmark = pytest.mark.skipif(
    bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}"
)

T0 = datetime(2026, 1, 5, tzinfo=UTC)
SCRAPE_S = 30
STEP_S = 300
MINUTES = 120
#: Requests a second of a pod, and their share up to each bucket.
RATE = 10.0
BUCKETS = {"0.1": 0.5, "0.5": 0.95, "1": 1.0, "+Inf": 1.0}


def history() -> dict[str, list[tuple[datetime, float]]]:
    seconds = range(0, MINUTES * 60 + 1, SCRAPE_S)

    def constant(value: float) -> list[tuple[datetime, float]]:
        return [(T0 + timedelta(seconds=s), value) for s in seconds]

    def counter(per_second: float, until_s: float = 1e9) -> list[tuple[datetime, float]]:
        return [(T0 + timedelta(seconds=s), per_second * s) for s in seconds if s <= until_s]

    found = {}
    for host, busy in (("web1", 0.25), ("web2", 0.75)):
        labels = f'instance="{host}:9100",job="node"'
        for cpu in (0, 1):
            found[f'node_cpu_seconds_total{{cpu="{cpu}",{labels},mode="idle"}}'] = counter(1 - busy)
            found[f'node_cpu_seconds_total{{cpu="{cpu}",{labels},mode="user"}}'] = counter(busy)
        found[f"node_boot_time_seconds{{{labels}}}"] = constant(1.7e9)
        found[f"up{{{labels}}}"] = constant(float(host == "web1"))
        for mount, fstype, size, free, available, readonly in (
            ("/var", "ext4", 100.0, 30.0, 20.0, 0.0),
            ("/media/cd", "ext4", 10.0, 0.0, 0.0, 1.0),
            ("/run", "tmpfs", 5.0, 1.0, 1.0, 0.0),
        ):
            disk = f'{{device="sda",fstype="{fstype}",{labels},mountpoint="{mount}"}}'
            found[f"node_filesystem_size_bytes{disk}"] = constant(size)
            found[f"node_filesystem_free_bytes{disk}"] = constant(free)
            found[f"node_filesystem_avail_bytes{disk}"] = constant(available)
            found[f"node_filesystem_readonly{disk}"] = constant(readonly)
    for pod in (1, 2):
        labels = f'instance="10.0.0.{pod}:8080",job="shop"'
        until_s = 1e9 if pod == 1 else MINUTES * 30
        for code, share in (("200", 0.9), ("503", 0.1)):
            for le, part in BUCKETS.items():
                bucket = f'http_request_duration_seconds_bucket{{code="{code}",{labels},le="{le}"}}'
                found[bucket] = counter(RATE * share * part, until_s)
            count = f'http_request_duration_seconds_count{{code="{code}",{labels}}}'
            found[count] = counter(RATE * share, until_s)
        found[f"orders_total{{{labels}}}"] = counter(2.0, until_s)
        found[f"shop_build_info{{{labels}}}"] = constant(1.0)
    return found


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("golden")
    backfill(folder, history())
    with prometheus(folder, {}) as address:
        yield address


def pulled(url: str, budget: int = 1_000) -> list[Batch]:
    source = PrometheusSource(
        PrometheusApi(url, timeout_s=20),
        tenant="acme",
        clock=FixedClock(T0 + timedelta(minutes=MINUTES, seconds=40)),
        selection=Selection(
            plan=GoldenSignals(read_exporters(), budget=budget),
            since=timedelta(minutes=MINUTES - 15),
            step_s=STEP_S,
        ),
    )
    return list(source.batches(None))


def values_of(batches: list[Batch]) -> dict[str, list[float]]:
    """Name of a series -> its values, in the order of time."""
    series = {one.series_id: one.name for batch in batches for one in batch.series}
    samples = pl.concat([batch.samples for batch in batches if batch.samples is not None]).sort(
        "series_id", "ts"
    )
    return {
        series[key[0]]: rows["value"].to_list()
        for key, rows in samples.group_by("series_id", maintain_order=True)
    }


def test_signals_name_service_and_entity_and_have_the_known_values(url: str) -> None:
    found = values_of(pulled(url))
    last = {name: values[-1] for name, values in found.items()}
    assert last.pop("shop/http_request_duration_p99_seconds") == pytest.approx(
        0.5 + 0.5 * 0.04 / 0.05, rel=1e-9
    )
    assert last == pytest.approx(
        {
            "web1/cpu_used_ratio{instance=web1:9100}": 0.25,
            "web2/cpu_used_ratio{instance=web2:9100}": 0.75,
            "web1/filesystem_used_ratio{instance=web1:9100,mountpoint=/var}": 70 / 90,
            "web2/filesystem_used_ratio{instance=web2:9100,mountpoint=/var}": 70 / 90,
            "web1/up{instance=web1:9100}": 1.0,
            "web2/up{instance=web2:9100}": 0.0,
            "shop/http_request_duration_p50_seconds": 0.1,
            "shop/http_request_duration_p90_seconds": 0.1 + 0.4 * 0.4 / 0.45,
            "shop/http_requests_per_second": RATE,
            "shop/http_request_error_ratio": 0.1,
            "shop/orders_total": 2.0,
        },
        rel=1e-9,
    )


def test_a_pod_that_ends_is_no_end_of_a_series(url: str) -> None:
    traffic = values_of(pulled(url))["shop/http_requests_per_second"]
    assert len(traffic) == (MINUTES - 15) * 60 // STEP_S
    assert traffic[0] == pytest.approx(2 * RATE, rel=1e-9)
    assert traffic[-1] == pytest.approx(RATE, rel=1e-9)


def test_limits_and_directions_come_with_the_signals(url: str) -> None:
    series: dict[str, Series] = {one.metric: one for batch in pulled(url) for one in batch.series}
    assert (series["filesystem_used_ratio"].limit, series["filesystem_used_ratio"].direction) == (
        1.0,
        Direction.UP_IS_BAD,
    )
    assert series["up"].direction is Direction.DOWN_IS_BAD


def test_what_is_over_the_budget_is_left_out_and_named(url: str) -> None:
    batches = pulled(url, budget=3)
    assert "shop/orders_total" not in values_of(batches)
    assert "shop/http_requests_per_second" in values_of(batches)  # golden signals come first
    notes = [note for batch in batches for note in batch.notes]
    assert "1 metrics are left out, because the budget of 3 series is used up: orders_total" in notes
