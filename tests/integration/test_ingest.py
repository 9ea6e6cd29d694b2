"""A source into the store: each value once, and refused rows kept."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.platform import platform_of

from core.batch import Batch
from core.clock import SystemClock
from core.domain import Role, SeriesKind
from core.errors import InputError
from pipelines.collect.ingest import IngestReport, ingest
from pipelines.collect.pull import require_same_source
from pipelines.sources.csv_files import CsvFiles
from pipelines.stores.store import Store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
T0 = datetime(2026, 1, 5, tzinfo=UTC)
REPOSITORY = Path(__file__).parents[2]


def fleet(folder: Path, services: int = 3, rows: int = 1000) -> Path:
    """A few files, one of them with rows that must be refused."""
    for n in range(services):
        lines = [
            f"{(T0 + timedelta(minutes=5 * row)).isoformat()},{(row * 7 + n) % 13}" for row in range(rows)
        ]
        (folder / f"service{n}__cpu_usage.csv").write_text("timestamp,value\n" + "\n".join(lines) + "\n")
    bad = [
        "2026-01-05,1.5",
        "2026-01-06,0.5",
        "2026-01-06,0.5",
        "2026-01-06,0.7",
        "soon,0.1",
        "2031-01-01,0.1",
    ]
    (folder / "web__error_ratio.csv").write_text("timestamp,value\n" + "\n".join(bad) + "\n")
    (folder / "events.csv").write_text("service,kind,at\nservice0,deploy,2026-01-05\n")
    return folder


def test_a_folder_is_taken_over_and_every_refused_row_is_told(store: Store, tmp_path: Path) -> None:
    source = CsvFiles(fleet(tmp_path), tenant=store.tenant)
    told: list[int] = []
    report = ingest(platform_of(store), source, lambda step, done, total: told.append(done))
    assert report == IngestReport(inserted=3001, duplicates=1, rejected=4, series=4, events=1)
    assert told == [3006]
    assert {letter.reason for letter in store.dead_letters.list()} == {
        "line 6: time 'soon' is not a time",
        "line 2: value 1.5 is outside 0 to 1, the range of a ratio",
        "line 5: value 0.7 contradicts 0.5, which is stored for that time",
        "line 7: ts 2031-01-01T00:00:00.000000+00:00 is in the future",
    }
    assert len(store.events.between(T0, NOW)) == 1


def test_a_kind_that_is_declared_later_holds_for_all_counts_of_a_file(store: Store, tmp_path: Path) -> None:
    def write(rows: int) -> None:
        lines = [f"{(T0 + timedelta(minutes=5 * row)).isoformat()},{600 * row}" for row in range(rows)]
        (tmp_path / "web__jobs.csv").write_text("timestamp,value\n" + "\n".join(lines) + "\n")

    source = CsvFiles(tmp_path, tenant=store.tenant)
    write(10)
    ingest(platform_of(store), source)
    (tmp_path / "series.csv").write_text("metric,kind\njobs,counter\n")
    ingest(platform_of(store), CsvFiles(tmp_path, tenant=store.tenant))
    write(20)
    report = ingest(platform_of(store), CsvFiles(tmp_path, tenant=store.tenant))
    (series,) = store.series.find()
    assert (series.kind, report.rejected) == (SeriesKind.COUNTER, 0)
    values = store.samples.read(T0, NOW, [series.series_id])["value"]
    assert values.len() >= 18
    assert set(values) == {2.0}, "jobs per second"


def test_the_same_folder_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    source = CsvFiles(fleet(tmp_path), tenant=store.tenant)
    ingest(platform_of(store), source)
    again = ingest(platform_of(store), source)
    assert again == IngestReport(already_read=3005)
    store.cursors.set(source.name, "{}")
    replayed = ingest(platform_of(store), source)
    assert (replayed.inserted, replayed.duplicates, replayed.rejected, replayed.events) == (0, 3002, 4, 0)
    assert store.dead_letters.count() == 4


def test_a_changed_limit_is_stored_also_without_new_samples(store: Store, tmp_path: Path) -> None:
    folder = fleet(tmp_path)
    sidecar = folder / "series.csv"
    sidecar.write_text("service,metric,limit\n,error_ratio,0.9\nweb,error_ratio,0.5\n")
    source = CsvFiles(folder, tenant=store.tenant)
    ingest(platform_of(store), source)

    def limit() -> float | None:
        [web] = store.series.find(service="web")
        return web.limit

    assert limit() == 0.5
    sidecar.write_text("service,metric,limit\n,error_ratio,0.9\nweb,error_ratio,0.8\n")
    again = ingest(platform_of(store), source)
    assert again == IngestReport(already_read=3005, events=1)
    assert limit() == 0.8


def test_a_batch_that_fails_leaves_nothing_of_itself(store: Store, tmp_path: Path) -> None:
    class Broken(CsvFiles):
        def batches(self, cursor: str | None) -> Any:
            for batch in super().batches(cursor):
                yield batch
                raise RuntimeError("the source broke")

    source = Broken(fleet(tmp_path), tenant=store.tenant)
    with pytest.raises(RuntimeError):
        ingest(platform_of(store), source)
    assert ingest(platform_of(store), CsvFiles(tmp_path, tenant=store.tenant)) == IngestReport(
        already_read=3005
    )


def test_the_cloudwatch_series_of_nab_are_named_by_their_files(store: Store) -> None:
    folder = Path(os.environ.get("FOREWARN_DATASETS", REPOSITORY.parent / "shared/datasets"))
    folder /= "nab/data/realAWSCloudwatch"
    if not folder.is_dir():
        pytest.skip(f"the NAB data are not at {folder}; set FOREWARN_DATASETS")
    report = ingest(platform_of(store), CsvFiles(folder, tenant=store.tenant))
    assert (report.series, report.inserted + report.duplicates + report.rejected) == (17, 67740)
    names = {series.name: series for series in store.series.find()}
    cpu = names["ec2_5f5533/cpu_utilization"]
    assert (cpu.step_s, cpu.role) == (300, Role.SATURATION)
    assert names["elb_8c0756/request_count"].role is Role.TRAFFIC
    assert ingest(platform_of(store), CsvFiles(folder, tenant=store.tenant)) == IngestReport(
        already_read=67740
    )


class Nothing:
    """A source that answers and has no series, as a Prometheus of which `--match` selects none."""

    name = "nothing {job='x'}"

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        if cursor is None:
            yield Batch(cursor="done")


def test_a_source_without_series_is_reported(store: Store) -> None:
    report = ingest(platform_of(store), Nothing())
    assert report.notes == ("nothing {job='x'}: no series was found; check the place and the selectors",)
    assert report.took_nothing
    assert not ingest(platform_of(store), Nothing()).took_nothing


def test_declarations_that_match_no_series_are_reported(store: Store, tmp_path: Path) -> None:
    (tmp_path / "web__cpu.csv").write_text("timestamp,value\n2026-01-05,1\n")
    (tmp_path / "series.csv").write_text("service,metric,limt\nweb,cpu,1\nweb,disk,\n*,cpu,\n")
    report = ingest(platform_of(store), CsvFiles(tmp_path, tenant=store.tenant))
    assert report.notes == (
        "series.csv, line 2: no series matches web/cpu; 'limt' is no field, and no series has such a label",
        "series.csv, line 3: no series matches web/disk",
    )


def test_schedules_need_the_source_that_was_pulled_by_hand(store: Store) -> None:
    platform = platform_of(store, SystemClock())
    require_same_source(platform)  # metrics may be pushed
    store.cursors.set("prometheus:http://prometheus:9090 golden signals every 300 s", "1")
    with pytest.raises(
        InputError, match=r"metrics came from http://prometheus:9090: set FOREWARN_PROMETHEUS_URL"
    ):
        require_same_source(platform)
    settings = platform.settings.model_copy(update={"prometheus_url": "http://prometheus:9090"})
    require_same_source(platform_of(store, SystemClock(), settings=settings))
