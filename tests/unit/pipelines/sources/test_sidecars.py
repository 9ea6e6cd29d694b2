"""Sidecar files that change while a process runs."""

import os
from pathlib import Path

import pytest

from core.batch import Batch
from core.domain import Direction, Series, SeriesKind
from core.errors import InputError
from pipelines.sources.sidecars import CurrentSidecars

DISK = Series(tenant="t", service="db", metric="disk_used_bytes")


def write(folder: Path, limit: str, second: int) -> None:
    path = folder / "series.csv"
    path.write_text(f"service,metric,limit\ndb,disk_used_bytes,{limit}\n")
    # File systems have coarse times of change; two writes in one test may share one.
    os.utime(path, (second, second))


def limit_of(sidecars: CurrentSidecars) -> float | None:
    return sidecars.get().describe(DISK).limit


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    sidecars = CurrentSidecars(tmp_path, "t")
    assert limit_of(sidecars) is None
    write(tmp_path, "100", 1)
    assert limit_of(sidecars) == 100.0
    write(tmp_path, "200", 2)
    assert limit_of(sidecars) == 200.0
    assert sidecars.get() is sidecars.get()
    (tmp_path / "series.csv").unlink()
    assert limit_of(sidecars) is None


def test_a_change_that_cannot_be_read_is_logged_and_the_content_before_it_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "100", 1)
    sidecars = CurrentSidecars(tmp_path, "t")
    write(tmp_path, "much", 2)
    assert limit_of(sidecars) == 100.0
    assert limit_of(sidecars) == 100.0
    assert len(caplog.records) == 1
    assert "series.csv, line 2" in caplog.text
    write(tmp_path, "300", 3)
    assert limit_of(sidecars) == 300.0


def test_a_folder_that_does_not_exist_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        CurrentSidecars(tmp_path / "none", "t")


def test_without_a_folder_nothing_is_declared() -> None:
    assert CurrentSidecars(None, "t").get().declarations == ()


def test_a_direction_is_declared_and_another_text_in_its_column_is_a_label(tmp_path: Path) -> None:
    (tmp_path / "series.csv").write_text(
        "service,metric,direction,limit\n,coolant,Down_is_bad,\n,network_bytes,receive,10\n"
    )
    sidecars = CurrentSidecars(tmp_path, "t").get()
    coolant = Series(tenant="t", service="db", metric="coolant")
    assert sidecars.describe(coolant).direction is Direction.DOWN_IS_BAD
    network = Series(tenant="t", service="db", metric="network_bytes", labels={"direction": "receive"})
    assert (sidecars.describe(network).limit, sidecars.describe(network).direction) == (10.0, None)


def test_later_rows_have_priority_and_a_wildcard_row_fills_what_they_leave_open(tmp_path: Path) -> None:
    (tmp_path / "series.csv").write_text(
        "service,metric,direction,limit,unit\n*,*,both,1,\n,disk_used_bytes,,2,bytes\ndb,,up_is_bad,,\n"
    )
    found = CurrentSidecars(tmp_path, "t").get().describe(DISK)
    assert (found.direction, found.limit, found.unit) == (Direction.UP_IS_BAD, 2.0, "bytes")


def test_a_kind_that_contradicts_what_the_source_has_read_is_reported_once_and_not_used(
    tmp_path: Path,
) -> None:
    (tmp_path / "series.csv").write_text(
        "metric,kind,limit\njobs,counter,5\nhit_ratio,ratio,\nok_total,counter,\n"
    )
    pods = [Series(tenant="t", service=f"s{n}", metric="jobs", unit="jobs") for n in range(3)]
    ratio = Series(tenant="t", service="s", metric="hit_ratio")
    total = Series(tenant="t", service="s", metric="ok_total", kind=SeriesKind.COUNTER, unit="1/s")
    batch = CurrentSidecars(tmp_path, "t").get().added_to(Batch(series=(*pods, ratio, total)))
    kinds = [one.kind for one in batch.series]
    assert kinds == [*[SeriesKind.GAUGE] * 3, SeriesKind.RATIO, SeriesKind.COUNTER]
    assert [one.limit for one in batch.series[:3]] == [5.0] * 3
    (note,) = batch.notes
    assert note.startswith(
        "series.csv: the kind 'counter' of jobs is not used, because its source reads it as a gauge"
    )
