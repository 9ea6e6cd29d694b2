"""Files as people have them: notations, encodings, compression, growing files, what is reported and refused."""

import bz2
import gzip
import lzma
import os
import zipfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from fakes.batches import reasons_of
from hypothesis import given, settings
from hypothesis import strategies as st

from core.batch import Batch
from pipelines.sources import text_files
from pipelines.sources.csv_files import CsvFiles
from pipelines.sources.dialect import NO_OPTIONS, FileOptions
from pipelines.sources.quantities import DecimalMark
from pipelines.sources.times import DateOrder

T0 = datetime(2026, 11, 20, tzinfo=UTC)
TIMES = [T0 + timedelta(minutes=5 * n) for n in range(5)]
ISO = [moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in TIMES]
HEADER = "timestamp,service,metric,value\n"


def read(path: Path, options: FileOptions = NO_OPTIONS, cursor: str | None = None) -> Batch:
    (batch,) = CsvFiles(path, tenant="t", options=options).batches(cursor)
    return batch


def written(folder: Path, text: str, name: str = "web__load.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def found(batch: Batch) -> dict[str, list[float]]:
    assert batch.samples is not None
    names = {series.series_id: series.name.split("/", maxsplit=1)[1] for series in batch.series}
    values: dict[str, list[float]] = {}
    for series_id, _, value in batch.samples.sort("ts", maintain_order=True).iter_rows():
        values.setdefault(names[series_id], []).append(value)
    return values


def column(cells: Sequence[str], separator: str = ",") -> str:
    """A file of one series with these cells as values."""
    rows = (f"{moment}{separator}{cell}\n" for moment, cell in zip(ISO, cells, strict=False))
    return f"time{separator}value\n{''.join(rows)}"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["0,5", "1", "1,25"], [0.5, 1.0, 1.25]),
        (["1.234,5", "0,5"], [1234.5, 0.5]),
        (["1.234.567", "1.234"], [1234567.0, 1234.0]),
        (["1.234", "2.345"], [1.234, 2.345]),
        (["0,125", "1,250"], [0.125, 1.25]),
        (["1,234,567", "1,234"], [1234567.0, 1234.0]),
        (["1,234", "0.5"], [1234.0, 0.5]),
        (["1 234,5", "12\u00a0345,25"], [1234.5, 12345.25]),
        (["1'234.5", "1’000’000"], [1234.5, 1e6]),
        (["−5", "+5", "1e3", ".5", "5."], [-5.0, 5.0, 1000.0, 0.5, 5.0]),
        (["12.5 %", "7%"], [12.5, 7.0]),
        (["900 MiB", "1.00 GiB", "0"], [900 * 2.0**20, 2.0**30, 0.0]),
        (["1.5 kB", "2 MB", "3 B"], [1500.0, 2e6, 3.0]),
        (["250 µs", "1.5 ms", "2 s", "1 min", "2 h"], [250e-6, 1.5e-3, 2.0, 60.0, 7200.0]),
        (["1.5 K", "2 Mil", "3"], [1500.0, 2e6, 3.0]),
        (["true", "FALSE"], [1.0, 0.0]),
    ],
)
def test_numbers_are_read_where_the_column_leaves_no_doubt(
    tmp_path: Path, cells: list[str], expected: list[float]
) -> None:
    batch = read(written(tmp_path, column(cells, ";")))
    assert reasons_of(batch) == []
    assert found(batch) == {"load": pytest.approx(expected)}


def test_one_column_decides_the_notation_of_the_others(tmp_path: Path) -> None:
    lines = [f"{moment};1.234;0,5\n" for moment in ISO]
    assert found(read(written(tmp_path, "time;requests;cpu\n" + "".join(lines)))) == {
        "requests": [1234.0] * 5, "cpu": [0.5] * 5,
    }  # fmt: skip


DOUBTS = {
    "thousands or decimals": (column(["5", "1,234"], ";"), "line 3", "'1,234'", "--decimal"),
    "two decimal marks": (column(["0,5", "0.5", "1,234"], ";"), "line 4", "'1,234'", "--decimal"),
    "slashes": ("time,value\n03/04/2026,1\n05/06/2026,2\n", "line 2", "'03/04/2026'", "--date-order"),
    "dashes": ("time,value\n03-04-2026 10:00,1\n", "line 2", "'03-04-2026 10:00'", "--date-order"),
    "short years": ("time,value\n20/11/26,1\n", "line 2", "'20/11/26'", "--date-order"),
    "two orders": ("time,value\n13/01/2026,1\n01/13/2026,2\n", "line 2", "'13/01/2026'", "--date-order"),
}


@pytest.mark.parametrize("name", DOUBTS)
def test_a_doubt_is_refused_with_the_line_and_the_option_that_decides(tmp_path: Path, name: str) -> None:
    text, *parts = DOUBTS[name]
    batch = read(written(tmp_path, text))
    assert found(batch) == {}
    (reason,) = reasons_of(batch)
    assert all(part in reason for part in parts)
    assert list(batch.notes) == [f"web__load.csv: {reason}"]


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        (column(["5", "1,234"], ";"), FileOptions(decimal=DecimalMark.COMMA), [5.0, 1.234]),
        (column(["5", "1,234"], ";"), FileOptions(decimal=DecimalMark.POINT), [5.0, 1234.0]),
        (column(["0,5", "1,25"]), FileOptions(decimal=DecimalMark.COMMA), [0.5, 1.25]),
        ("time,value\n03/04/2026,1\n", FileOptions(date_order=DateOrder.DMY), [1.0]),
        ("time,value\n26/11/20,1\n", FileOptions(date_order=DateOrder.YMD), [1.0]),
    ],
)
def test_an_option_decides(tmp_path: Path, text: str, options: FileOptions, expected: list[float]) -> None:
    path = written(tmp_path, text)
    refused = read(path)
    batch = read(path, options, refused.cursor)
    assert (found(batch), reasons_of(batch)) == ({"load": expected}, [])


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("20.11.2026 00:05", datetime(2026, 11, 20, 0, 5, tzinfo=UTC)),
        ("5.1.2026", datetime(2026, 1, 5, tzinfo=UTC)),
        ("11/20/2026 12:05:00 AM", datetime(2026, 11, 20, 0, 5, tzinfo=UTC)),
        ('"11/20/2026, 1:05:00 PM"', datetime(2026, 11, 20, 13, 5, tzinfo=UTC)),
        ("20/11/2026 00:05:00", datetime(2026, 11, 20, 0, 5, tzinfo=UTC)),
        ("20-Nov-2026 00:05:00", datetime(2026, 11, 20, 0, 5, tzinfo=UTC)),
        ("2026/11/20 00:05", datetime(2026, 11, 20, 0, 5, tzinfo=UTC)),
        ("2026-11-20 01:05:00 +0100", datetime(2026, 11, 20, 0, 5, tzinfo=UTC)),
    ],
)
def test_dates_are_read_where_the_column_leaves_no_doubt(tmp_path: Path, cell: str, moment: datetime) -> None:
    batch = read(written(tmp_path, f"time,value\n{cell},1\n"))
    assert batch.samples is not None
    assert batch.samples["ts"].to_list() == [moment]


def test_later_lines_decide_the_order_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "CHUNK_BYTES", 100)
    lines = [f"01/{day:02}/2026,{day}\n" for day in range(1, 32)]
    batch = read(written(tmp_path, "time,value\n" + "".join(lines)))
    assert found(batch) == {"load": [float(day) for day in range(1, 32)]}


SHAPES: dict[str, tuple[str, dict[str, list[float]]]] = {
    "series without a metric": (
        "Series;Time;Value\n" + "".join(f"node-{n};{ISO[0]};{n}\n" for n in "12"),
        {"node-1": [1.0], "node-2": [2.0]},
    ),
    "hosts without a metric": (
        "time,host,value\n" + "".join(f"{ISO[0]},h{n},{n}\n" for n in "12"),
        {"load{host=h1}": [1.0], "load{host=h2}": [2.0]},
    ),
    "other names, several at one time": (
        "time,colour,value\n" + "".join(f"{ISO[0]},c{n},{n}\n" for n in "12"),
        {"load{colour=c1}": [1.0], "load{colour=c2}": [2.0]},
    ),
    "grafana, joined by time": (
        '"Time","node-a","up {x=""1""}"\n' + f"{ISO[0]},1,\n{ISO[1]},2,3\n{ISO[2]},undefined,NaN\n",
        {"node-a": [1.0, 2.0], 'up {x="1"}': [3.0]},
    ),
    "header with sep= and quotes": (f'"sep=;"\n"Time";"cpu, load"\n{ISO[0]};1\n', {"cpu, load": [1.0]}),
    "an index without a name": (f",value\n{ISO[0]},1\n", {"load": [1.0]}),
    "date and time of day": ("Date;Time;CPU\n20.11.2026;00:05:00;1,5\n", {"CPU": [1.5]}),
    "bars": (f"time|value\n{ISO[0]}|1\n", {"load": [1.0]}),
    "empty columns at the end": (f"time,cpu,,\n{ISO[0]},1,,\n", {"cpu": [1.0]}),
    "semicolons, with commas in the names": (f"time;a{{x=1,y=2}};b\n{ISO[0]};1;2\n", {"a{x=1,y=2}": [1.0], "b": [2.0]}),
    "labels stay as they are": (
        f'time,metric,value,path\n{ISO[0]},m,1," a=b,c ""d"" "\n{ISO[0]},m,2,x\r\n',
        {'m{path= a=b,c "d" }': [1.0], "m{path=x}": [2.0]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_exports_are_series_by_name(tmp_path: Path, name: str) -> None:
    text, expected = SHAPES[name]
    batch = read(written(tmp_path, text))
    assert (found(batch), reasons_of(batch)) == (expected, [])


def test_a_column_that_is_neither_metric_nor_label_is_reported(tmp_path: Path) -> None:
    batch = read(written(tmp_path, f"time,value,comment\n{ISO[0]},1,ok\n{ISO[1]},2,bad\n"))
    assert found(batch) == {"load": [1.0, 2.0]}
    assert list(batch.notes) == [
        "web__load.csv: column 'comment' is left out: it names no series, and the table has no column of metrics"
    ]


ROWS = "".join(f"{moment},café,größe_☃,{n}\n" for n, moment in enumerate(ISO))
ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "utf-8": lambda text: text.encode(),
    "byte order mark": lambda text: text.encode("utf-8-sig"),
    "utf-16 le": lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
    "utf-16 be": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "utf-16 le without a mark": lambda text: text.encode("utf-16-le"),
    "utf-16 be without a mark": lambda text: text.encode("utf-16-be"),
    "utf-32": lambda text: text.encode("utf-32"),
    "crlf": lambda text: text.replace("\n", "\r\n").encode(),
    "cr": lambda text: text.replace("\n", "\r").encode(),
    "cr in utf-16": lambda text: text.replace("\n", "\r").encode("utf-16"),
    "gzip": lambda text: gzip.compress(text.encode()),
    "two gzip members": lambda text: gzip.compress(text[:60].encode()) + gzip.compress(text[60:].encode()),
    "bzip2": lambda text: bz2.compress(text.encode()),
    "xz": lambda text: lzma.compress(text.encode()),
    "zstd": lambda text: pa.compress(text.encode(), codec="zstd", asbytes=True),
    "gzip of utf-16, without a last line end": lambda text: gzip.compress(text.rstrip("\n").encode("utf-16")),
}


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("chunk_bytes", [61, 8_000_000])
def test_encoding_line_ends_and_compression_are_recognised_by_the_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, chunk_bytes: int
) -> None:
    monkeypatch.setattr(text_files, "CHUNK_BYTES", chunk_bytes)
    path = tmp_path / "any name.csv"
    path.write_bytes(ENCODINGS[name](HEADER + ROWS))
    batch = read(path)
    assert (reasons_of(batch), list(batch.notes)) == ([], [])
    assert {series.name for series in batch.series} == {"café/größe_☃"}
    assert found(batch) == {"größe_☃": [0.0, 1.0, 2.0, 3.0, 4.0]}


def test_a_zip_archive_of_one_file_is_read_and_others_are_named(tmp_path: Path) -> None:
    for name, members in (
        ("one.csv.zip", ["a.csv"]),
        ("two.csv.zip", ["a.csv", "b.csv"]),
        ("e.csv", ["xl/a.xml"]),
    ):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member in members:
                archive.writestr(member, HEADER + ROWS)
    batch = read(tmp_path)
    assert found(batch) == {"größe_☃": [0.0, 1.0, 2.0, 3.0, 4.0]}
    assert list(batch.notes) == [
        "e.csv: is a spreadsheet; save it as CSV and ingest that",
        "two.csv.zip: is an archive of 2 files; unpack it and ingest the folder",
    ]


def test_a_decompression_bomb_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "HARMLESS_BYTES", 1_000_000)
    monkeypatch.setattr(text_files, "MAX_EXPANSION", 20)
    monkeypatch.setattr(text_files, "CHUNK_BYTES", 200_000)
    written(tmp_path, column(["1"]), "good__x.csv")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"time,value\n" + b"2026-11-20,1\n" * 1_000_000))
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"0" * 50_000_000))
    batch = read(tmp_path)
    assert any("a.csv.gz: expands to more than 20 times" in note for note in batch.notes)
    assert any("b.csv.gz: " in note for note in batch.notes)
    assert found(batch)["x"] == [1.0]


def test_an_unknown_encoding_is_refused_and_a_given_one_is_used(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes((HEADER + ROWS.replace("☃", "")).encode("cp1252"))
    refused = read(path)
    assert found(refused) == {}
    assert "line 2: the line is not encoded in UTF-8" in refused.notes[0]
    assert "--encoding cp1252" in refused.notes[0]
    batch = read(path, FileOptions(encoding="cp1252"), refused.cursor)
    assert found(batch) == {"größe_": [0.0, 1.0, 2.0, 3.0, 4.0]}
    assert "there is no encoding 'martian'" in read(path, FileOptions(encoding="martian")).notes[0]


LONG = "".join(map(chr, range(192, 900)))


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (b"2026-11-20,caf\xe9,m,1", "not encoded in UTF-8: '2026-11-20,caf\\xe9,m,1'"),
        (b"2026-11-20,a\0b,m,1", "the line has the character NUL"),
        (b"2026-11-20,a\x1fb,m,1", "service should not contain control characters"),
        (f"2026-11-20,{LONG},m,1".encode(), "service should have at most 400 characters"),
        (b"2026-11-20,s,m,1,2", "'2' is an extra field"),
        (b"2026-11-20,s,m", "the row has 3 fields, and the header has 4"),
        (b"2026-11-20,s,jobs_total,-1", "below 0, and a counter never falls"),
    ],
)  # fmt: skip
def test_one_bad_line_is_a_dead_letter_and_the_others_are_read(
    tmp_path: Path, damaged: bytes, reason: str
) -> None:
    path = tmp_path / "x.csv"
    good = "".join(f"2026-11-{day:02},café,m,{day}\n" for day in range(1, 29)).encode()
    path.write_bytes(HEADER.encode() + good + damaged + b"\n")
    batch = read(path)
    assert found(batch) == {"m": [float(day) for day in range(1, 29)]}
    (found_reason,) = reasons_of(batch)
    assert found_reason.startswith("line 30: ")
    assert reason in found_reason


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(min_value=0, max_value=10_000), min_size=1, max_size=4), data=st.data())
def test_a_file_that_grows_gives_what_the_whole_file_gives(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], data: st.DataObject
) -> None:
    encoding = data.draw(st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]))
    label = data.draw(st.sampled_from(["x", '"two\nlines ""x"""', '"a,b"', "größe☃"]))
    content = "".join(f"{moment},{label},jobs_total,{1000 + 60 * n}\n" for n, moment in enumerate(ISO))
    whole = ("timestamp,path,metric,value\n" + content).encode(encoding)
    path = tmp_path_factory.mktemp("grow") / "a.csv"
    cursor = None
    counts: dict[datetime, float] = {}
    for cut in [*sorted(cut % len(whole) for cut in cuts), len(whole)]:
        path.write_bytes(whole[:cut])
        for batch in CsvFiles(path, tenant="t").batches(cursor):
            cursor = batch.cursor
            assert batch.rejected is not None
            assert batch.rejected.is_empty()
            assert batch.counts is not None
            # A file whose time changed and whose size did not is read again.
            counts.update({ts: value for _, ts, value in batch.counts.iter_rows()})
    assert counts == {moment: 1000 + 60 * n for n, moment in enumerate(TIMES)}


def test_a_file_of_the_same_name_with_other_content_is_read_from_its_start(tmp_path: Path) -> None:
    path = written(tmp_path, column(["1", "2"]))
    first = read(path)
    written(tmp_path, column(["3", "4"]).replace("2026-11-20", "2026-11-21") + column(["5"] * 5)[11:])
    assert found(read(path, cursor=first.cursor)) == {"load": [5.0] * 5 + [3.0, 4.0]}


def test_what_sidecar_files_have_too_much_is_reported(tmp_path: Path) -> None:
    written(tmp_path, column(["1", "2"]))
    written(tmp_path, "service,metric,limt\nweb,load,5\n", "series.csv")
    written(
        tmp_path,
        "service,kind,at,colour\nweb,deploy,2026-11-20,red\nweb,deploy,2026-11-20,red,5\n",
        "events.csv",
    )
    batch = read(tmp_path)
    assert [declaration.labels for declaration in batch.declarations] == [{"limt": "5"}]
    (note,) = batch.notes
    assert note.startswith("events.csv: the column 'colour' is not read; the columns are service, kind, at,")
    assert len(batch.events) == 1
    assert "line 3: the row has 5 fields" in reasons_of(batch)[0]


def test_a_header_of_several_lines_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'time,"value\n\xff"\n2026-11-20,1\n')
    assert "line 1: the line is not encoded in UTF-8" in read(path).notes[0]


def test_a_step_of_centuries_is_stored_as_the_longest_possible(tmp_path: Path) -> None:
    batch = read(written(tmp_path, "time,value\n1995-01-01,1\n2195-01-01,2\n"))
    assert [series.step_s for series in batch.series] == [2**31 - 1]


def test_a_file_whose_name_is_no_text_is_refused_and_named(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9__load.csv")).write_text(column(["1"]))
    written(tmp_path, column(["1"]), "good__x.csv")
    batch = read(tmp_path)
    assert found(batch) == {"x": [1.0]}
    assert batch.notes == (
        "caf\\udce9__load.csv: the name of the file is not encoded in UTF-8; rename the file",
    )
