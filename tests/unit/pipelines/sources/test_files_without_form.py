"""Files without a header, with comments before it, with mixed notations, with thousands of columns, and no files."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from fakes.batches import reasons_of, values_of

from core.batch import Batch
from pipelines.sources.csv_files import CsvFiles
from pipelines.sources.dialect import FileOptions

WHOLE = FileOptions(is_complete=True)
ISO = [f"2026-01-05T{hour:02}:00:00Z" for hour in range(4)]


def read(folder: Path) -> Batch:
    (batch,) = CsvFiles(folder, tenant="t", options=WHOLE).batches(None)
    return batch


def lines(cells: Sequence[Sequence[object]], separator: str = ",") -> str:
    return "".join(separator.join(map(str, row)) + "\n" for row in cells)


@pytest.mark.parametrize(
    "text",
    [
        lines([(moment, n) for n, moment in enumerate(ISO)]),
        lines([(n, moment) for n, moment in enumerate(ISO)], ";"),
        lines([(1_767_225_600 + 3600 * n, n) for n in range(4)]),
        lines([(f"0{n + 1}.01.2026 00:00", n) for n in range(4)], "\t"),
        "# exported at noon\n#\ntime,value\n" + lines([(moment, n) for n, moment in enumerate(ISO)]),
        "#datatype,string\n" + lines([(moment, n) for n, moment in enumerate(ISO)]),
    ],
)
def test_two_columns_need_no_header_and_comments_come_before_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "web__load.csv").write_text(text)
    batch = read(tmp_path)
    assert [series.name for series in batch.series] == ["web/load"]
    assert values_of(batch) == [0.0, 1.0, 2.0, 3.0]
    assert reasons_of(batch) == []


@pytest.mark.parametrize("row", [(ISO[0], 1, 2), ("web", ISO[0], 1, 2), (ISO[0], ISO[1])])
def test_a_first_line_of_values_is_never_taken_for_names(tmp_path: Path, row: Sequence[object]) -> None:
    (tmp_path / "load.csv").write_text(lines([row, row]))
    assert reasons_of(read(tmp_path)) == [
        "line 1 has values and no names of columns; add a first line with names, such as timestamp,value"
    ]


def test_numbers_of_another_notation_are_rejected_with_the_option_that_reads_them(tmp_path: Path) -> None:
    (tmp_path / "load.csv").write_text(
        "time;value\n" + lines([*zip(ISO, ["1,5", "2.5", "3,5", "x"], strict=True)], ";")
    )
    batch = read(tmp_path)
    assert values_of(batch) == [2.5]
    assert [("--decimal ," in reason) for reason in reasons_of(batch)] == [True, True, False]


def test_what_is_no_file_is_named_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "load.csv").write_text("time,value\n" + lines([(moment, 1) for moment in ISO]))
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nowhere")
    (tmp_path / "again").symlink_to(tmp_path)
    batch = read(tmp_path)
    assert len(values_of(batch)) == 4
    assert [note.split(":")[0] for note in batch.notes] == ["gone.csv", "pipe.csv"]
    assert all("no file" in note for note in batch.notes)


def test_the_time_to_read_a_wide_table_grows_with_its_columns_and_no_faster(tmp_path: Path) -> None:
    def seconds(columns: int) -> float:
        folder = tmp_path / str(columns)
        folder.mkdir()
        names = [f"cpu_{n}" for n in range(columns)]
        rows = [("time", *names), *((moment, *([1.5] * columns)) for moment in ISO)]
        (folder / "wide.csv").write_text(lines(rows))
        start = time.process_time()
        assert len(read(folder).series) == columns
        return time.process_time() - start

    seconds(10)  # imports
    assert seconds(2_000) < 40 * max(seconds(200), 0.05)
