"""A disk that is resized becomes an event, from a real Prometheus; restarts of its exporter do not."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from servers.prometheus import backfill, missing_programs, prometheus

from core.clock import FixedClock
from core.domain import Event, EventKind
from pipelines.sources.golden_signals import GoldenSignals
from pipelines.sources.prometheus import PrometheusSource, Selection
from pipelines.sources.prometheus_api import PrometheusApi
from pipelines.sources.recipe_files import read_exporters

pytestmark = pytest.mark.skipif(
    bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}"
)

T0 = datetime(2026, 1, 5, tzinfo=UTC)
HOURS, STEP_S = 16, 300
RESIZED_H, FLIPS_FROM_H = 8, 9
GIB = 2.0**30


def size(mount: str, hour: float) -> float | None:
    """The size of a file system; null while its exporter restarts."""
    match mount:
        case "/grown":
            return 200 * GIB if hour >= RESIZED_H else 100 * GIB
        case "/flips":
            return (1 + int(hour * 4) % 2) * GIB if hour >= FLIPS_FROM_H else GIB
        case "/restarts":
            return None if 7 <= hour < 7.5 else 50 * GIB
    return (100 + (hour >= RESIZED_H)) * GIB  # a change of 1 %


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    history: dict[str, list[tuple[datetime, float]]] = {}
    for mount in ("/grown", "/flips", "/restarts", "/little"):
        labels = f'{{device="sda",fstype="ext4",instance="web1:9100",job="node",mountpoint="{mount}"}}'
        for seconds in range(0, HOURS * 3_600, 60):
            at, whole = T0 + timedelta(seconds=seconds), size(mount, seconds / 3_600)
            if whole is not None:
                for name, share in (("size", 1.0), ("free", 0.5), ("avail", 0.5)):
                    history.setdefault(f"node_filesystem_{name}_bytes{labels}", []).append(
                        (at, share * whole)
                    )
    for seconds in range(0, HOURS * 3_600, 60):
        boot = 'node_boot_time_seconds{instance="web1:9100",job="node"}'
        history.setdefault(boot, []).append((T0 + timedelta(seconds=seconds), 1.7e9))
    folder = tmp_path_factory.mktemp("resized")
    backfill(folder, history)
    with prometheus(folder, {}) as address:
        yield address


def events(url: str, *hours: float) -> list[Event]:
    """The events of pulls that end at these hours, one after the other."""
    found: list[Event] = []
    cursor: str | None = None
    for hour in hours:
        source = PrometheusSource(
            PrometheusApi(url),
            tenant="t",
            clock=FixedClock(T0 + timedelta(hours=hour)),
            selection=Selection(
                plan=GoldenSignals(read_exporters(None), budget=100),
                since=timedelta(hours=hours[0]),
                step_s=STEP_S,
            ),
        )
        for batch in source.batches(cursor):
            found += batch.events
            cursor = batch.cursor or cursor
    return found


def test_a_resized_disk_is_one_event_however_it_is_pulled(url: str) -> None:
    at_once = events(url, HOURS)
    grown = [one for one in at_once if "/grown" in one.title]
    assert [(one.service, one.kind, one.at) for one in grown] == [
        ("web1", EventKind.CONFIG_CHANGE, T0 + timedelta(hours=RESIZED_H))
    ]
    assert grown[0].title == "web1 /grown filesystem_used_ratio: size from 100 GiB to 200 GiB"
    assert [one for one in at_once if "/restarts" in one.title or "/little" in one.title] == []
    assert len([one for one in at_once if "/flips" in one.title]) == 1
    bit_by_bit = events(
        url, RESIZED_H - 0.2, *(RESIZED_H + minutes / 60 for minutes in range(-5, 31, 5)), HOURS
    )
    assert {one.event_id for one in bit_by_bit} == {one.event_id for one in at_once}
    assert len(bit_by_bit) == len(at_once)
