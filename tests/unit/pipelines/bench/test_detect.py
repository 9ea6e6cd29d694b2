"""Any folder of series is read, scored without looking ahead, and measured."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.errors import InputError
from pipelines.bench.detect import bench_detect
from pipelines.bench.labelled_data import read_csv_series

EPOCH_S = 1_767_571_200


def iso(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    "text",
    [
        "timestamp,value\n1767571200,1.5\n1767571500,2.5\n",
        "Timestamp,Value,Label\n1767571200000,1.5,0\n1767571500000,2.5,1\n",
        '"TIMESTAMP","VALUE"\n"2026-01-05 00:00:00","1.5"\n"2026-01-05 00:05:00","2.5"\n',
        "time, value\n2026-01-05T00:00:00Z, 1.5\n2026-01-05T00:05:00Z, 2.5\n",
        "ds,y\n2026-01-05T01:00:00+01:00,1.5\n2026-01-05T01:05:00+01:00,2.5\n",
        "timestamp,value\n2026-01-05 00:05:00,2.5\n2026-01-05 00:00:00,1.5\n",
        "\ufefftimestamp,value\r\n1767571200,1.5\r\n\r\n1767571500,2.5\r\n",
        "timestamp;value\n1767571200;1,5\n1767571500;2,5\n",
        "ts\tvalue\n2026/01/05 00:00\t1.5\n2026/01/05 00:05\t2.5\n",
        "1767571200,1.5\n1767571500,2.5\n",
        "1767571200.0,1.5\n1767571500.0,2.5",
        "when,cpu\n2026-01-05T00:00:00.000000Z,1.5\n2026-01-05T00:05:00.000000Z,2.5\n",
        'VALUE,"Time Stamp",Is_Anomaly,Label\n1.5,2026-01-05 00:00,0,no\n2.5,2026-01-05 00:05,0,yes\n',
        "Label,Value,Timestamp\nfalse,1.5,1767571200000000000\nTRUE,2.5,1767571500000000000\n",
    ],
)
def test_any_usual_csv_is_read(text: str, tmp_path: Path) -> None:
    file = tmp_path / "series.csv"
    file.write_text(text)
    times_s, values, label = read_csv_series(file)
    assert times_s is not None
    assert times_s.tolist() == [EPOCH_S, EPOCH_S + 300]
    assert values.tolist() == [1.5, 2.5]
    assert (label.tolist() if label is not None else None) == ([False, True] if "Label" in text else None)


def test_a_file_without_times_is_a_row_a_minute_and_what_is_no_number_is_missing(tmp_path: Path) -> None:
    (tmp_path / "tsb.csv").write_text("Data,Label\n1.5,0\nnan,0.0\n-,1\ninf,1.0\n2e3,0\n")
    times_s, values, label = read_csv_series(tmp_path / "tsb.csv")
    assert times_s is None
    assert np.array_equal(values, [1.5, np.nan, np.nan, np.nan, 2000.0], equal_nan=True)
    assert label is not None
    assert label.tolist() == [False, False, True, True, False]
    report = bench_detect(tmp_path, "csv", scores=tmp_path / "out")
    assert report.points == 5
    assert pl.read_parquet(tmp_path / "out" / "tsb.parquet").columns[0] == "row"


@pytest.mark.parametrize(
    "text", ["", "timestamp\n1767571200\n", "timestamp,value\n", "timestamp,label\n1,1\n", "\0\1,2"]
)
def test_a_file_that_holds_no_series_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(InputError, match="timestamp and value"):
        bench_detect(tmp_path, "csv")


def test_a_time_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("timestamp,value\nyesterday,1\n")
    with pytest.raises(InputError, match="yesterday"):
        bench_detect(tmp_path, "csv")


@pytest.mark.parametrize(
    ("data_format", "word"),
    [("nab", "combined_windows"), ("tsv", "unknown data format"), ("csv", "no data of")],
)
def test_missing_data_and_unknown_formats_are_named(data_format: str, word: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=word):
        bench_detect(tmp_path, data_format)


def write_series(folder: Path, name: str, seed: int, until: int = 3000) -> None:
    rng = np.random.default_rng(seed)
    values = 20 + 5 * np.sin(2 * np.pi * np.arange(3000) / 288) + rng.normal(0, 1, 3000)
    label = np.zeros(3000, dtype=int)
    values[2000:2010] += 15
    label[2000:2010] = 1
    rows = [
        f"{EPOCH_S + 300 * i},{value},{truth}"
        for i, (value, truth) in enumerate(zip(values, label, strict=True))
    ]
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.csv").write_text("timestamp,value,label\n" + "\n".join(rows[:until]) + "\n")


def test_the_default_is_measured_beside_the_two_simplest(tmp_path: Path) -> None:
    for seed in range(2):
        write_series(tmp_path / "in", f"s{seed}", seed)
    report = bench_detect(tmp_path / "in", "csv", scores=tmp_path / "out", json_file=tmp_path / "report.json")
    assert report.shipped.average_precision is not None
    assert report.shipped.average_precision > 0.5
    assert report.shipped.event_recall == 1.0
    assert len(report.baselines) == 2
    assert json.loads((tmp_path / "report.json").read_text())["series"] == 2
    frame = pl.read_parquet(tmp_path / "out" / "s0.parquet")
    assert frame.columns == ["ts", "score", "p_value", "is_anomaly"]
    assert frame.height == 3000
    assert frame["score"].is_between(0, 1).all()


def test_what_follows_never_changes_a_score(tmp_path: Path) -> None:
    write_series(tmp_path / "whole", "s", 1)
    write_series(tmp_path / "part", "s", 1, until=2500)
    for name in ("whole", "part"):
        bench_detect(tmp_path / name, "csv", scores=tmp_path / f"{name}-out")
    whole = pl.read_parquet(tmp_path / "whole-out" / "s.parquet")
    assert whole.head(2500).equals(pl.read_parquet(tmp_path / "part-out" / "s.parquet"))


def test_nab_windows_are_found_by_their_times(tmp_path: Path) -> None:
    (tmp_path / "data" / "g").mkdir(parents=True)
    (tmp_path / "labels").mkdir()
    rows = [f"{iso(EPOCH_S + 300 * i)},{10 + (i % 7) + (100 if i == 900 else 0)}" for i in range(1000)]
    (tmp_path / "data" / "g" / "a.csv").write_text("timestamp,value\n" + "\n".join(rows) + "\n")
    window = [iso(EPOCH_S + 300 * 890) + ".000000", iso(EPOCH_S + 300 * 920) + ".000000"]
    (tmp_path / "labels" / "combined_windows.json").write_text(json.dumps({"g/a.csv": [window]}))
    report = bench_detect(tmp_path, "nab")
    assert report.shipped.nab is not None
    assert report.shipped.nab["standard"] > 90


def test_servers_of_several_metrics_are_learned_from_their_history(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(size=(2000, 1))
    values = common @ rng.normal(size=(1, 6)) + 0.1 * rng.normal(size=(2000, 6))
    label = np.zeros(1000, dtype=np.uint8)
    values[1500:1530, 2] += 3
    label[500:530] = 1
    np.savez(tmp_path / "s.npz", train=values[:1000], test=values[1000:], label=label)
    report = bench_detect(tmp_path, "asd", scores=tmp_path / "out")
    assert report.shipped.average_precision is not None
    assert report.shipped.average_precision > 0.8
    assert pl.read_parquet(tmp_path / "out" / "s.parquet").columns[0] == "row"


def test_where_there_is_a_history_the_bundle_of_a_fleet_is_measured_beside_the_default(
    tmp_path: Path,
) -> None:
    write_series(tmp_path / "train", "s", 1)
    write_series(tmp_path / "test", "s", 2)
    report = bench_detect(tmp_path, "kpi")
    bundle = report.baselines["fleet bundle"]
    assert bundle.average_precision is not None
    assert bundle.average_precision > 0.5
    assert bundle.event_recall == 1.0
