"""Ingest against raw binary COPY of the same rows into the same table, and reading back; in one run.

Raw is measured twice: `write_row` of Python values, as psycopg's documentation shows it, and the same rows as
a ready-made buffer, which nothing in Python can beat. Ingest validates, removes duplicates, registers the
series, and moves the cursor, all in one transaction a batch.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402 - after the path
import polars as pl  # noqa: E402
from fakes.platform import platform_of  # noqa: E402
from servers.postgres import embedded_server  # noqa: E402

from core.batch import Batch  # noqa: E402
from core.clock import FixedClock  # noqa: E402
from core.domain import Series  # noqa: E402
from core.frames import SAMPLES  # noqa: E402
from pipelines.collect.ingest import ingest  # noqa: E402
from pipelines.stores.binary import COPY_HEADER, COPY_TRAILER, sample_rows  # noqa: E402
from pipelines.stores.migrate import migrate  # noqa: E402
from pipelines.stores.session import Pool, open_pool  # noqa: E402
from pipelines.stores.store import Store  # noqa: E402

SERIES = 100
DAYS = 30
STEP_S = 300
BATCH_ROWS = 250_000
REPEATS = 3
T0 = datetime(2026, 1, 5, tzinfo=UTC)
COPY = "COPY samples (series_id, ts, value) FROM STDIN (FORMAT BINARY)"


@dataclass(frozen=True)
class Row:
    """Best of the repeats; the ratios are to the two raw COPYs of the same run."""

    what: str
    per_s: float
    of_raw_rows: float
    of_raw_buffer: float


class Fleet:
    """Ready-made samples as a source."""

    name = "bench"

    def __init__(self, samples: pl.DataFrame, series: list[Series]) -> None:
        self._samples, self._series = samples, series

    def batches(self, cursor: str | None) -> Iterator[Batch]:
        for start in range(0, self._samples.height, BATCH_ROWS):
            part = self._samples.slice(start, BATCH_ROWS)
            yield Batch(series=self._series, samples=part, cursor=str(start))


def fleet(tenant: str) -> tuple[pl.DataFrame, list[Series]]:
    """30 days of 100 series at 5 min, in the order of time, as metrics arrive."""
    series = [Series(tenant=tenant, service=f"service{n}", metric="cpu") for n in range(SERIES)]
    ids = np.array([one.series_id for one in series])
    count = DAYS * 86_400 // STEP_S
    times = pl.Series([T0 + timedelta(seconds=STEP_S * n) for n in range(count)], dtype=SAMPLES["ts"])
    frame = pl.DataFrame(
        {
            "series_id": np.tile(ids, count),
            "ts": times.gather(np.repeat(np.arange(count), SERIES)),
            "value": np.random.default_rng(7).normal(50, 10, size=count * SERIES),
        }
    )
    return frame, series


def copy_rows(pool: Pool, samples: pl.DataFrame) -> None:
    """Raw COPY, row by row; the Python values are ready-made."""
    for start in range(0, samples.height, BATCH_ROWS):
        rows = samples.slice(start, BATCH_ROWS).rows()
        with pool.connection() as connection, connection.cursor() as cursor, cursor.copy(COPY) as copy:
            copy.set_types(["int8", "timestamptz", "float8"])
            for row in rows:
                copy.write_row(row)


def copy_buffer(pool: Pool, samples: pl.DataFrame) -> None:
    """Raw COPY of one buffer that NumPy has built."""
    for start in range(0, samples.height, BATCH_ROWS):
        part = samples.slice(start, BATCH_ROWS)
        ids, times = part["series_id"].to_numpy(), part["ts"].to_physical().to_numpy()
        buffer = COPY_HEADER + sample_rows(ids, times, part["value"].to_numpy()) + COPY_TRAILER
        with pool.connection() as connection, connection.cursor() as cursor, cursor.copy(COPY) as copy:
            copy.write(buffer)


def main() -> list[Row]:
    """Measure, and print a table."""
    with embedded_server() as dsn:
        migrate(dsn)
        with open_pool(dsn) as pool:
            best, count = _measure(pool)
    by_row, by_buffer = best["raw COPY, `write_row`"], best["raw COPY, ready-made buffer"]
    rows = [
        Row(what=what, per_s=count / seconds, of_raw_rows=by_row / seconds, of_raw_buffer=by_buffer / seconds)
        for what, seconds in best.items()
    ]
    print(f"{count:,} rows of {SERIES} series, best of {REPEATS}.\n")
    print("| what | rows a second | of COPY by `write_row` | of COPY by buffer |")
    print("|---|---:|---:|---:|")
    for row in rows:
        print(f"| {row.what} | {row.per_s:,.0f} | {row.of_raw_rows:.2f} | {row.of_raw_buffer:.2f} |")
    return rows


def _measure(pool: Pool) -> tuple[dict[str, float], int]:
    store = Store(pool, "bench")
    samples, series = fleet(store.tenant)
    end = T0 + timedelta(days=DAYS)
    platform = platform_of(store, FixedClock(end))
    into_empty: dict[str, Callable[[], object]] = {
        "raw COPY, ready-made buffer": lambda: copy_buffer(pool, samples),
        "raw COPY, `write_row`": lambda: copy_rows(pool, samples),
        "ingest": lambda: ingest(platform, Fleet(samples, series)),
    }
    onto_full: dict[str, Callable[[], object]] = {
        "ingest of the same again": lambda: ingest(platform, Fleet(samples, series)),
        "read all back": lambda: store.samples.read(T0, end),
    }
    best = dict.fromkeys([*into_empty, *onto_full], float("inf"))
    store.series.register(series)
    for _ in range(REPEATS):
        for what, step in into_empty.items():
            _empty(pool)
            best[what] = min(best[what], _seconds(step))
        for what, step in onto_full.items():
            best[what] = min(best[what], _seconds(step))
    if not store.samples.read(T0, end).equals(samples.sort("series_id", "ts")):
        raise AssertionError("what is read is not what was written")
    return best, samples.height


def _seconds(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def _empty(pool: Pool) -> None:
    """Every step starts from the same state: nothing stored, nothing left to flush."""
    with pool.connection() as connection:
        connection.execute("TRUNCATE samples, cursors")
    with pool.connection() as connection:
        connection.execute("CHECKPOINT")


if __name__ == "__main__":
    main()
