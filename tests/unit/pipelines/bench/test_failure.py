"""The C-MAPSS bench on small made-up files of the same kind."""

import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.errors import InputError
from pipelines.bench.failure import bench_failure


def engines(rng: np.random.Generator, lives: list[int], upto: list[int]) -> str:
    """Lines of 26 columns: three sensors wear in the last 100 cycles, the others stand still."""
    lines = []
    for unit, (life, last) in enumerate(zip(lives, upto, strict=True), start=1):
        for cycle in range(1, last + 1):
            wear = max(0.0, 1 - (life - cycle) / 100)
            sensors = np.full(21, 5.0)
            sensors[[1, 6, 11]] = rng.normal([10 + wear, 20 - 2 * wear, 3 + wear], 0.05)
            row = [unit, cycle, *rng.normal(0, 0.001, 2), 100.0, *sensors]
            lines.append(" ".join(f"{value:.6g}" for value in row))
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(2)
    folder = tmp_path_factory.mktemp("cmapss")
    lives = rng.integers(130, 200, 24).tolist()
    (folder / "train_FD009.txt").write_text(engines(rng, lives, lives))
    lives = rng.integers(130, 200, 12).tolist()
    left = rng.integers(5, 100, 12).tolist()
    test = engines(rng, lives, [life - rest for life, rest in zip(lives, left, strict=True)])
    with gzip.open(folder / "test_FD009.txt.gz", "wt") as file:
        file.write(test)
    (folder / "RUL_FD009.txt").write_text("\n".join(map(str, left)) + "\n")
    return folder


def test_remaining_life_is_told_with_a_range_and_written_out(folder: Path, tmp_path: Path) -> None:
    report = bench_failure(folder, subset="FD009", out=tmp_path, json_file=tmp_path / "report.json")
    assert report.units == 12
    assert report.conditions == 1
    assert report.rmse < 15
    assert report.average_precision > 0.9
    assert set(report.peers) == {"logistic", "rule"}
    table = pl.read_parquet(tmp_path / "FD009.parquet")
    assert table.columns == ["unit", "cycle", "rul_p10", "rul_p50", "rul_p90", "p_fail_30"]
    assert table.height == 12
    assert (
        table.select((pl.col("rul_p10") <= pl.col("rul_p50")) & (pl.col("rul_p50") <= pl.col("rul_p90")))
        .to_series()
        .all()
    )
    assert table["p_fail_30"].is_between(0, 1).all()
    assert json.loads((tmp_path / "report.json").read_text())["rmse"] == report.rmse


def test_files_that_are_not_there_are_named(folder: Path) -> None:
    with pytest.raises(InputError, match="train_FD002"):
        bench_failure(folder, subset="FD002")


def test_another_format_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="cmapss"):
        bench_failure(folder, "csv")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train_FD001.txt").write_text("1 2 3\n")
    with pytest.raises(InputError, match="26 columns"):
        bench_failure(tmp_path)
    (tmp_path / "train_FD001.txt").write_text("engine\n")
    with pytest.raises(InputError, match="no table of numbers"):
        bench_failure(tmp_path)
