"""Small files from real life through `forewarn ingest` into the database: what is stored, refused and reported.

`tests/cases/files` has the files. Each stands for a class of inputs; `tests/unit/pipelines/sources` tests the classes.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flows.cli import main
from pipelines.stores.session import Pool
from pipelines.stores.store import Store

CASES = Path(__file__).parents[1] / "cases" / "files"
T0 = datetime(2026, 11, 20, tzinfo=UTC)
FOREVER = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what the store holds of its tenant."""

    code: int
    report: Mapping[str, Any]
    error: str
    store: Store

    @property
    def values(self) -> dict[str, list[float]]:
        """Name of each series -> its values, by time."""
        frame = self.store.samples.read(*FOREVER).sort("series_id", "ts")
        parts = frame.partition_by("series_id", as_dict=True)
        return {one.name: parts[(one.series_id,)]["value"].to_list() for one in self.store.series.find()}

    @property
    def first_time(self) -> datetime:
        moment: datetime = self.store.samples.read(*FOREVER).select(pl.col("ts").min()).item()
        return moment

    @property
    def reasons(self) -> list[str]:
        return sorted(letter.reason for letter in self.store.dead_letters.list())

    @property
    def notes(self) -> str:
        return "\n".join(self.report.get("notes", []))


Ingest = Callable[..., Outcome]


@pytest.fixture
def ingest(
    dsn: str, pool: Pool, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Ingest:
    """Runs `forewarn ingest` for a tenant that no other test has."""
    monkeypatch.setenv("FOREWARN_DATABASE_URL", dsn)

    def run(kind: str, path: Path, *options: str) -> Outcome:
        arguments = ["ingest", kind, str(path), *options, "--tenant", store.tenant, "--json"]
        monkeypatch.setattr(sys, "argv", ["forewarn", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed, error = capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Outcome(code, json.loads(printed) if printed else {}, " ".join(error.split()), store)

    return run


def count(n: int, start: float = 0.0, step: float = 1.0) -> list[float]:
    return [start + step * at for at in range(n)]


SAWTOOTH = [(12 + at % 7) / 10 for at in range(20)]

#: Path below the cases -> series and their values. All files begin at the same time and nothing of them is rejected.
CSV: dict[str, dict[str, list[float]]] = {
    "01_grafana_excel_csv/a_series_time_value.csv": {"01_grafana_excel_csv/checkout": SAWTOOTH},
    "01_grafana_excel_csv/b_sep_line.csv": {"checkout/queue_depth": count(20)},
    "01_grafana_excel_csv/c_comma_decimals.csv": {"checkout/cpu_load": count(20, 0.5, 0.01)},
    "01_grafana_excel_csv/d_german_dates.csv": {"checkout/cpu_load2": count(20)},
    "01_grafana_excel_csv/e_us_dates.csv": {"checkout/cpu_load3": count(20)},
    "01_grafana_excel_csv/f_thousands.csv": {"checkout/rows_read": count(20, 1_234_567)},
    "01_grafana_excel_csv/g_quoted_header.csv": {"01_grafana_excel_csv/cpu load average": count(20)},
    "01_grafana_excel_csv/h_units.csv": {
        "01_grafana_excel_csv/memory_used": count(20, 4 * 1024**3, 0.1 * 1024**3)
    },
    "02_bom_utf16_crlf/a_utf8_bom.csv": {"café/größe_bytes": count(20)},
    "02_bom_utf16_crlf/b_utf16.csv": {"café/größe_bytes": count(20)},
    "02_bom_utf16_crlf/d_cr_only.csv": {"café3/größe_bytes": count(20)},
    "02_bom_utf16_crlf/e_quoted_newline.csv": {'checkout/note_len{note=two\nlines "x"}': count(5)},
    "05_gz_zst_partial/a.csv.gz": {"gz/load": count(20)},
    "05_gz_zst_partial/b_renamed_gz.csv": {"gz/load": count(20)},
    "05_gz_zst_partial/g.csv.zst": {"gz/load": count(20)},
    "05_gz_zst_partial/h.tsv": {"tsv/load": count(20)},
    "05_gz_zst_partial/i.CSV": {"upper/load": count(20)},
    "09_grafana_long_export/panel.csv": {
        "09_grafana_long_export/node-a": count(6, 10),
        "09_grafana_long_export/node-b": count(6, 90),
    },
}


@pytest.mark.parametrize("name", CSV)
def test_a_csv_file_is_read(ingest: Ingest, name: str) -> None:
    outcome = ingest("csv", CASES / name)
    assert (outcome.code, outcome.reasons, outcome.notes) == (0, [], "")
    assert outcome.values == {series: pytest.approx(values) for series, values in CSV[name].items()}
    assert outcome.first_time == T0


PARQUET: dict[str, dict[str, list[float]]] = {
    "a_categorical": {"shop/disk_used_bytes": count(24)},
    "b_decimal": {"shop/dec_value": count(24, 0, 0.01)},
    "c_ns_tz": {"shop/ns_tz": count(24)},
    "d_struct": {"shop/nested": count(24)},
    "e_list": {"shop/listed": count(24)},
    "f_bool": {"shop/bools": [1.0, 0.0] * 12},
    "g_int64": {"shop/ints": count(24, 9007199254740993)},
    "h_epoch_ns": {"shop/epoch_ns": count(24)},
    "i_u64": {"shop/u64": count(24, 18446744073709551615, -1)},
    "j_pandas_index": {"shop/pd_index": count(24)},
    "k_pandas_unnamed_index": {"shop/pd_index2": count(24)},
    "l_fixed_offset_tz": {"shop/fixed_tz": count(24)},
    "m_int96": {"shop/int96": count(24)},
    "n_binary_names": {"shop/bin_name": count(24)},
    "o_wide_with_text": {
        "shop/cpu_load{host=h1}": count(24),
        "shop/mem_used_bytes{host=h1}": count(12, 0, 2),
    },
}
LEFT_OUT = {"d_struct": "column 'labels' is left out", "e_list": "column 'tags' is left out"}


@pytest.mark.parametrize("name", PARQUET)
def test_a_parquet_file_is_read(ingest: Ingest, name: str) -> None:
    outcome = ingest("parquet", CASES / "04_parquet_types" / f"{name}.parquet")
    assert (outcome.code, outcome.reasons) == (0, [])
    assert outcome.values == {series: pytest.approx(values) for series, values in PARQUET[name].items()}
    assert outcome.first_time == T0
    assert LEFT_OUT.get(name, "") in outcome.notes
    assert bool(outcome.notes) == (name in LEFT_OUT)


def test_one_nested_file_keeps_nothing_else_of_a_folder_out(ingest: Ingest) -> None:
    outcome = ingest("parquet", CASES / "04_parquet_types" / "folder")
    assert outcome.code == 0
    assert {name: len(values) for name, values in outcome.values.items()} == {
        "shop/disk_used_bytes": 24, "shop/listed": 24, "shop/ints": 24,
    }  # fmt: skip
    assert "b_list.parquet: column 'tags' is left out" in outcome.notes


def test_an_unquoted_decimal_comma_is_refused_with_the_extra_field_and_read_with_the_option(
    ingest: Ingest,
) -> None:
    path = CASES / "03_comma_decimals_one_col" / "web__load.csv"
    refused = ingest("csv", path)
    assert refused.code == 1
    assert "'00' is an extra field" in refused.error
    assert "--decimal ," in refused.error
    assert refused.values == {}
    read = ingest("csv", path, "--decimal", ",")
    assert read.code == 0
    assert read.values == {"web/load": pytest.approx(count(20, 0, 0.01))}


def test_a_folder_reads_what_it_can_and_names_the_rest(ingest: Ingest) -> None:
    outcome = ingest("csv", CASES / "05_gz_zst_partial")
    assert outcome.code == 0
    assert {name: len(values) for name, values in outcome.values.items()} == {
        "gz/load": 20, "part/load": 19, "tsv/load": 20, "upper/load": 20,
    }  # fmt: skip
    assert outcome.report["duplicates"] == 40
    assert outcome.report["notes"] == [
        "c_partial.parquet: skipped, because it is no .csv or .tsv file",
        "d_partial.csv: line 21 has no line end yet and waits for it; --complete reads it as it is",
        "e_empty.csv: the file is empty",
        "f_header_only.csv: the file has a header and no rows",
    ]


@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        ("parquet", "c_partial.parquet", "not a readable Parquet file, or not whole"),
        ("csv", "c_partial.parquet", "is a Parquet file; read it with `forewarn ingest parquet`"),
        ("csv", "e_empty.csv", "the file is empty"),
        ("csv", "f_header_only.csv", "the file has a header and no rows"),
    ],
)
def test_a_file_of_which_nothing_is_accepted_ends_with_an_error_each_time(
    ingest: Ingest, kind: str, name: str, reason: str
) -> None:
    for _ in range(2):
        outcome = ingest(kind, CASES / "05_gz_zst_partial" / name)
        assert outcome.code == 1
        assert f"nothing was accepted from {kind}:" in outcome.error
        assert reason in outcome.error


def test_counters_are_rates_without_false_resets_and_spikes(ingest: Ingest) -> None:
    outcome = ingest("csv", CASES / "07_counters" / "counters.csv")
    assert outcome.code == 0
    expected = {
        "node/jitter_cpu_seconds_total": [
            0.015625 / 60, 0.015625 / 60, 0.03125 / 60, 0, 0, 0.03125 / 60, 0.015625 / 60,
        ],
        "node/zero_dip_seconds_total": [50 / 60, 50 / 60, 50 / 120, 50 / 60, 50 / 60],
        "node/real_reset_total": [1, 1, 0.5, 1, 1],
        "node/wrap32_bytes_total": [4000 / 60] * 4,
        "node/big_int_total": [1.0] * 7,
        "node/gap_total": [1, 1, 14400 / 14460, 1, 1],
        "node/dup_total": [1, 1, 1],
    }  # fmt: skip
    assert outcome.values == {name: pytest.approx(values) for name, values in expected.items()}
    assert outcome.reasons == ["line 46: count 131.0 contradicts 130.0, the first count for that time"]


def test_labels_are_kept_as_they_are(ingest: Ingest) -> None:
    path = CASES / "08_labels" / "labels.csv"
    written = pl.read_csv(path)["path"].unique().to_list()
    outcome = ingest("csv", path)
    assert (outcome.code, outcome.reasons) == (0, [])
    found = {series.labels["path"]: series for series in outcome.store.series.find()}
    assert sorted(found) == sorted(written)
    assert {len(values) for values in outcome.values.values()} == {5}


def test_a_growing_file_gives_the_last_line_when_it_is_whole(ingest: Ingest, tmp_path: Path) -> None:
    path = tmp_path / "grow__load.csv"
    path.write_text("timestamp,value\n2026-11-20T00:00:00Z,1001\n2026-11-20T00:05:00Z,10")
    first = ingest("csv", path)
    assert first.values == {"grow/load": [1001]}
    assert "line 3 has no line end yet" in first.notes
    assert ingest("csv", path).values == {"grow/load": [1001]}
    with path.open("a") as file:
        file.write("02\n")
    second = ingest("csv", path)
    assert (second.code, second.report["inserted"], second.report["already_read"]) == (0, 1, 1)
    assert second.values == {"grow/load": [1001, 1002]}
    assert second.reasons == []
    assert ingest("csv", path).report["inserted"] == 0


def test_a_parquet_file_that_was_cut_is_read_when_it_is_whole(ingest: Ingest, tmp_path: Path) -> None:
    content = (CASES / "04_parquet_types" / "g_int64.parquet").read_bytes()
    path = tmp_path / "x.parquet"
    path.write_bytes(content[:-100])
    assert ingest("parquet", path).code == 1
    path.write_bytes(content)
    outcome = ingest("parquet", path)
    assert outcome.code == 0
    assert {name: len(values) for name, values in outcome.values.items()} == {"shop/ints": 24}


def test_files_that_come_out_of_order_give_one_series_of_rates(ingest: Ingest) -> None:
    outcome = ingest("csv", CASES / "07_counters" / "ooo")
    assert (outcome.code, outcome.reasons) == (0, [])
    (values,) = outcome.values.values()
    assert values == pytest.approx([1.0] * len(values))
    times = outcome.store.samples.read(*FOREVER)["ts"].sort().to_list()
    assert times == [T0 + timedelta(minutes=minute) for minute in range(1, 10)]


def test_the_rates_of_a_counter_go_on_when_its_file_grows(ingest: Ingest, tmp_path: Path) -> None:
    path = tmp_path / "shop__jobs_total.csv"
    path.write_text("timestamp,value\n2026-11-20T00:00:00Z,0\n2026-11-20T00:01:00Z,60\n")
    assert ingest("csv", path).values == {"shop/jobs_total": [1.0]}
    with path.open("a") as file:
        file.write("2026-11-20T00:02:00Z,180\n")
    (tmp_path / "next").mkdir()
    following = tmp_path / "next" / path.name
    following.write_text("timestamp,value\n2026-11-20T00:03:00Z,360\n")
    ingest("csv", path)
    outcome = ingest("csv", following)
    assert (outcome.code, outcome.reasons) == (0, [])
    assert outcome.values == {"shop/jobs_total": [1.0, 2.0, 3.0]}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
def test_long_files_in_any_order_give_the_rates_of_the_whole(
    ingest: Ingest, tmp_path: Path, order: tuple[int, ...]
) -> None:
    """The rates that can be known: files that come between two others have no known count before their first one."""
    rows = [f"{(T0 + timedelta(minutes=n)).isoformat()},{60 * n}\n" for n in range(90)]
    for name, part in enumerate(order):
        folder = tmp_path / f"{name}"
        folder.mkdir()
        (folder / "shop__jobs_total.csv").write_text(
            "timestamp,value\n" + "".join(rows[30 * part : 30 * part + 30])
        )
    outcome = ingest("csv", tmp_path)
    assert outcome.code == 0
    (values,) = outcome.values.values()
    assert values == pytest.approx([1.0] * len(values))
    assert len(values) + len(outcome.reasons) == 89


def test_a_counter_file_that_is_read_again_adds_nothing(ingest: Ingest, tmp_path: Path) -> None:
    path = tmp_path / "shop__jobs_total.csv"
    rows = [f"{(T0 + timedelta(minutes=n)).isoformat()},{60 * n}\n" for n in range(90)]
    path.write_text("timestamp,value\n" + "".join(rows))
    first = ingest("csv", path)
    again = ingest("csv", path, "--date-order", "dmy")
    assert (again.code, again.report["inserted"], again.reasons) == (0, 0, [])
    assert again.report["duplicates"] == 90
    assert again.values == first.values
