"""CSV and Parquet files as series and samples."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from fakes.batches import reasons_of, values_of

from core.batch import Batch
from core.domain import EventKind, Role, SeriesKind, Severity
from core.errors import InputError
from pipelines.sources import files, text_files
from pipelines.sources.csv_files import CsvFiles
from pipelines.sources.parquet_files import ParquetFiles

T0 = datetime(2026, 1, 5, tzinfo=UTC)


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def read(path: Path, cursor: str | None = None) -> Batch:
    (batch,) = CsvFiles(path, tenant="t").batches(cursor)
    return batch


def test_a_file_of_one_series_is_named_by_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path / "shop__latency_seconds.csv",
        "timestamp,value",
        "2026-01-05 00:00:00,0.1",
        "2026-01-05 00:01:00,0.2",
        "2026-01-05 00:02:00,0.3",
    )
    batch = read(path)
    (series,) = batch.series
    assert (series.service, series.metric, series.unit) == ("shop", "latency_seconds", "seconds")
    assert (series.role, series.kind, series.step_s) == (Role.LATENCY, SeriesKind.GAUGE, 60)
    assert values_of(batch) == [0.1, 0.2, 0.3]
    assert batch.samples is not None
    assert batch.samples["ts"][0] == T0
    assert reasons_of(batch) == []


@pytest.mark.parametrize(
    "lines",
    [
        ["Timestamp;Value", "2026-01-05;1.5"],
        ["ts\tvalue", "2026-01-05\t1.5"],
        ['"TimeStamp","VALUE"', '"2026-01-05","1.5"'],
        ["\ufefftime,value\r", "2026-01-05,1.5\r"],
        ["epoch , value", "1767571200 , 1.5"],
        ["timestamp,value,label", "2026-01-05,1.5,0"],
    ],
)
def test_headers_delimiters_and_line_ends_may_differ(tmp_path: Path, lines: list[str]) -> None:
    batch = read(write(tmp_path / "a__b.csv", *lines))
    assert values_of(batch) == [1.5]
    assert batch.samples is not None
    assert batch.samples["ts"].to_list() == [T0]
    assert len(batch.series) == 1


def test_a_long_file_makes_a_series_of_each_combination_of_labels(tmp_path: Path) -> None:
    path = write(
        tmp_path / "all.csv",
        "timestamp,service,metric,value,mount,zone",
        "2026-01-05,db,disk_used_bytes,1,/data,a",
        "2026-01-05,db,disk_used_bytes,2,/logs,a",
        "2026-01-05,db,cpu_ratio,0.5,,a",
    )
    batch = read(path)
    names = sorted(series.name for series in batch.series)
    assert names == [
        "db/cpu_ratio{zone=a}",
        "db/disk_used_bytes{mount=/data,zone=a}",
        "db/disk_used_bytes{mount=/logs,zone=a}",
    ]
    assert {series.kind for series in batch.series} == {SeriesKind.GAUGE, SeriesKind.RATIO}


def test_a_wide_file_makes_a_series_of_each_column_and_no_sample_of_an_empty_cell(tmp_path: Path) -> None:
    path = write(
        tmp_path / "web" / "node.csv",
        "time,cpu,memory_bytes",
        "2026-01-05 00:00,1,100",
        "2026-01-05 00:05,2,",
        "2026-01-05 00:10,oops,300",
    )
    batch = read(path)
    assert sorted(series.name for series in batch.series) == ["web/cpu", "web/memory_bytes"]
    assert sorted(values_of(batch)) == [1.0, 2.0, 100.0, 300.0]
    assert reasons_of(batch) == ["line 4: value 'oops' is not a number"]


def test_each_bad_row_is_refused_with_its_line_and_its_reason(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a__b.csv",
        "timestamp,value",
        "2026-01-05 00:00:00,1",
        "soon,2",
        "",
        "2026-01-05 00:05:00,",
        "2026-01-05 00:10:00,NaN",
        "2026-01-05 00:15:00,1,5",
        '2026-01-05 00:20:00,"never closed',
        "2026-01-05 00:25:00,2",
    )
    batch = read(path)
    assert values_of(batch) == [1.0, 2.0]
    assert reasons_of(batch) == [
        "line 3: time 'soon' is not a time",
        "line 5: value is missing",
        "line 6: value 'NaN' is not a finite number",
        "line 7: the row has 3 fields, and the header has 2: '5' is an extra field."
        " If the comma separates decimals, give --decimal ,",
        "line 8: value 'never closed' is not a number",
    ]


def test_the_counts_of_a_counter_are_handed_over(tmp_path: Path) -> None:
    path = write(
        tmp_path / "shop__http_requests_total.csv",
        "timestamp,value",
        "2026-01-05 00:00:00,600",
        "2026-01-05 00:01:00,660",
        "2026-01-05 00:02:00,60",
    )
    batch = read(path)
    (series,) = batch.series
    assert (series.kind, series.unit, series.step_s) == (SeriesKind.COUNTER, "requests/s", 60)
    assert batch.counts is not None
    assert batch.counts["value"].to_list() == [600.0, 660.0, 60.0]
    assert values_of(batch) == []


def test_side_files_describe_series_and_bring_events_and_incidents(tmp_path: Path) -> None:
    write(tmp_path / "db__disk_used_bytes.csv", "timestamp,value", "2026-01-05,5")
    write(tmp_path / "series.csv", "service,metric,limit,role,step_s", "db,disk_used_bytes,10,capacity,600")
    write(
        tmp_path / "events.csv",
        "service,kind,at,until,title,version",
        "db,deploy,2026-01-05T01:00:00Z,,ship it,1.2",
        ",maintenance,2026-01-05,2026-01-06,,",
        "*,holiday,2026-12-25,,Christmas,",
        "db,party,2026-01-05,,,",
    )
    write(
        tmp_path / "incidents.csv",
        "service,type,severity,start,end",
        "db,disk_full,critical,2026-01-05,2026-01-05 02:00",
        "db,disk_full,critical,soon,",
    )
    batch = read(tmp_path)
    (series,) = batch.series
    assert (series.limit, series.role, series.step_s) == (10.0, Role.CAPACITY, 600)
    assert [(event.service, event.kind) for event in batch.events] == [
        ("db", EventKind.DEPLOY),
        ("*", EventKind.MAINTENANCE),
        ("*", EventKind.HOLIDAY),
    ]
    assert [incident.severity for incident in batch.incidents] == [Severity.CRITICAL]
    assert reasons_of(batch) == [
        "line 5: 'party' is not a valid EventKind",
        "line 3: start 'soon' is not a time",
    ]


def test_a_wrong_description_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "a__b.csv", "timestamp,value", "2026-01-05,5")
    write(tmp_path / "series.csv", "service,metric,limit", "a,b,much")
    with pytest.raises(InputError, match=r"series\.csv"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,b", "1,2"], "no column has the name of a time"),
        ([""], "the file is empty"),
        (["time,time", "1,2"], "different names"),
    ],
)
def test_a_file_that_is_none_of_this_is_reported_and_keeps_no_other_out(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    bad = write(tmp_path / "bad.csv", *lines)
    (note,) = read(bad).notes
    assert note.startswith("bad.csv: ")
    assert message in note
    write(tmp_path / "good__x.csv", "timestamp,value", "2026-01-05,5")
    batch = read(tmp_path)
    assert values_of(batch) == [5.0]
    assert list(batch.notes) == [note]
    assert len(reasons_of(batch)) == (0 if message == "the file is empty" else 1)


def test_a_place_without_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        list(CsvFiles(tmp_path / "nowhere", tenant="t").batches(None))
    with pytest.raises(InputError, match=r"there is no \.csv or \.tsv file"):
        list(CsvFiles(tmp_path, tenant="t").batches(None))


def test_what_was_read_is_not_read_again_and_what_was_added_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a__b.csv", "timestamp,value", "2026-01-05 00:00,1", "2026-01-05 00:05,2")
    first = read(tmp_path)
    again = read(tmp_path, first.cursor)
    assert values_of(again) == []
    with path.open("a") as file:
        file.write("2026-01-05 00:10,3\n")
    write(tmp_path / "aa__b.csv", "timestamp,value", "2026-01-05 00:00,9")
    assert sorted(values_of(read(tmp_path, again.cursor))) == [3.0, 9.0]


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "CHUNK_BYTES", 200)
    monkeypatch.setattr(files, "BATCH_ROWS", 20)


@pytest.mark.usefixtures("small_pieces")
def test_reading_on_from_any_cursor_gives_what_the_whole_gives(tmp_path: Path) -> None:
    times = [f"2026-01-05 {n // 60:02}:{n % 60:02}" for n in range(120)]
    write(tmp_path / "a__hits_total.csv", "timestamp,value", *(f"{t},{n * 60}" for n, t in enumerate(times)))
    write(tmp_path / "b__cpu.csv", "timestamp,value", *(f"{t},{n}" for n, t in enumerate(times)), "x,y")
    source = CsvFiles(tmp_path, tenant="t")
    whole = list(source.batches(None))
    assert len(whole) > 5
    for cut in range(1, len(whole)):
        rest = list(source.batches(whole[cut - 1].cursor))
        assert _content(rest) == _content(whole[cut:])
        assert [batch.cursor for batch in rest] == [batch.cursor for batch in whole[cut:]]


def _content(batches: Sequence[Batch]) -> list[object]:
    return [
        (
            batch.series,
            None if batch.samples is None else batch.samples.rows(),
            None if batch.counts is None else batch.counts.rows(),
            None if batch.rejected is None else batch.rejected.rows(),
        )
        for batch in batches
    ]


def test_parquet_is_read_in_the_same_shapes(tmp_path: Path) -> None:
    table = pl.DataFrame({"ts": [T0, T0, None], "value": [1.0, None, 3.0], "metric": ["cpu", "cpu", "mem"]})
    table.write_parquet(tmp_path / "x.parquet")
    (batch,) = ParquetFiles(tmp_path, tenant="t").batches(None)
    assert values_of(batch) == [1.0]
    assert reasons_of(batch) == ["line 2: value is missing", "line 3: time is missing"]
    assert batch.series[0].service == tmp_path.name


def test_a_broken_parquet_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nonsense")
    (batch,) = ParquetFiles(tmp_path / "x.parquet", tenant="t").batches(None)
    assert "not a readable Parquet file" in batch.notes[0]
    assert "not a readable Parquet file" in reasons_of(batch)[0]
