"""Parquet files with every flat type, nested columns, and bytes that are no text."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from core.batch import Batch
from pipelines.sources.parquet_files import ParquetFiles

T0 = datetime(2026, 11, 20, tzinfo=UTC)
TIMES = [T0 + timedelta(minutes=5 * n) for n in range(5)]
ISO = [moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in TIMES]


def found(batch: Batch) -> dict[str, list[float]]:
    assert batch.samples is not None
    names = {series.series_id: series.metric for series in batch.series}
    parts = batch.samples.sort("ts").partition_by("series_id", as_dict=True)
    return {names[key[0]]: part["value"].to_list() for key, part in parts.items()}


def reasons(batch: Batch) -> list[str]:
    assert batch.rejected is not None
    return batch.rejected["reason"].to_list()


PARQUET: dict[str, dict[str, Any]] = {
    "seconds": {"ts": [1795132800 + 300 * n for n in range(5)]},
    "milliseconds": {"ts": [1795132800_000 + 300_000 * n for n in range(5)]},
    "microseconds": {"ts": [1795132800_000_000 + 300_000_000 * n for n in range(5)]},
    "nanoseconds": {"ts": [1795132800_000_000_000 + 300_000_000_000 * n for n in range(5)]},
    "fractions": {"ts": [1795132800.0 + 300 * n for n in range(5)]},
    "typed ms": {"ts": pl.Series(TIMES, dtype=pl.Datetime("ms", "UTC"))},
    "typed ns, local": {"ts": pl.Series(TIMES, dtype=pl.Datetime("ns", "UTC")).dt.convert_time_zone("Asia/Tokyo")},
    "no zone": {"ts": pl.Series([moment.replace(tzinfo=None) for moment in TIMES])},
    "text": {"ts": ISO},
    "categorical text": {"ts": pl.Series(ISO, dtype=pl.Categorical)},
    "i8": {"value": pl.Series([0, 1, 2, 3, 4], dtype=pl.Int8)},
    "u64": {"value": pl.Series([0, 1, 2, 3, 4], dtype=pl.UInt64)},
    "f32": {"value": pl.Series([0, 1, 2, 3, 4], dtype=pl.Float32)},
    "decimal": {"value": [Decimal(n) for n in range(5)]},
    "numbers as text": {"value": ["0", "1", "2", "3", "4"]},
    "numbers as bytes": {"value": [b"0", b"1", b"2", b"3", b"4"]},
    "duration": {"value": [timedelta(seconds=n) for n in range(5)]},
    "enum": {"metric": pl.Series(["m"] * 5, dtype=pl.Enum(["m"]))},
    "bytes": {"metric": [b"m"] * 5},
    "a time as value of a label": {"seen": TIMES},
    "a date as value of a label": {"seen": [date(2026, 1, 1)] * 5},
    "null": {"empty": [None] * 5},
    "array": {"nested": pl.Series([[1, 2]] * 5, dtype=pl.Array(pl.Int64, 2))},
}  # fmt: skip


@pytest.mark.parametrize("name", PARQUET)
def test_every_flat_type_of_parquet_is_read(tmp_path: Path, name: str) -> None:
    columns = {"ts": TIMES, "service": ["s"] * 5, "metric": ["m"] * 5, "value": [0.0, 1.0, 2.0, 3.0, 4.0]}
    pl.DataFrame({**columns, **PARQUET[name]}).write_parquet(tmp_path / "x.parquet")
    (batch,) = ParquetFiles(tmp_path, tenant="t").batches(None)
    assert reasons(batch) == []
    assert found(batch) == {"m": [0.0, 1.0, 2.0, 3.0, 4.0]}
    assert batch.samples is not None
    assert batch.samples["ts"].to_list() == TIMES


def test_bad_bytes_and_impossible_times_of_parquet_are_dead_letters(tmp_path: Path) -> None:
    ticks = pl.Series([1795132800_000, 2**62, 1795132800_000, 1795132800_000]).cast(pl.Datetime("ms", "UTC"))
    metrics = [b"good", b"late", b"\xff", b"n\0l"]
    table = pl.DataFrame({"ts": ticks, "metric": metrics, "value": [1.0, 2.0, 3.0, 4.0]})
    table.write_parquet(tmp_path / "x.parquet")
    (batch,) = ParquetFiles(tmp_path, tenant="t").batches(None)
    assert found(batch) == {"good": [1.0]}
    assert [reason.split(":")[0] for reason in reasons(batch)] == ["line 2", "line 3", "line 4"]
