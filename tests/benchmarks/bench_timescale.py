"""Samples on TimescaleDB: bytes a sample of a running installation, and seconds of reads and of late samples.

    python tests/benchmarks/bench_timescale.py          100 series
    python tests/benchmarks/bench_timescale.py 400      others

Samples arrive every minute, as in operation. At several moments between two compressions, those chunks are compressed
that the policy would have compressed by then, and those older than 30 days are dropped. A size is that of tables,
indexes and what is compressed (`hypertable_size`). Debian's PostgreSQL needs the extension, as for the tests.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402 - after the path
import polars as pl  # noqa: E402
from psycopg.rows import TupleRow  # noqa: E402
from servers.postgres import fresh_database, timescale_programs, timescale_server  # noqa: E402

from core.arrays import FloatArray  # noqa: E402
from core.domain import Series  # noqa: E402
from core.frames import SAMPLES, frame_of  # noqa: E402
from pipelines.stores.migrate import migrate  # noqa: E402
from pipelines.stores.session import Pool, open_pool  # noqa: E402
from pipelines.stores.store import Store  # noqa: E402

SERIES = 100
KEPT = timedelta(days=30)
STEP = timedelta(minutes=1)
DAY = timedelta(days=1)
#: The samples of so many minutes are written at once, since pulls and queues bring few of each series, too.
WRITE = timedelta(minutes=30)
#: So many days late are the samples that are written late, and one day of them.
LATE = timedelta(days=20)
#: At so many moments between two compressions the size is measured.
MOMENTS = 3
REPEATS = 5
#: TimescaleDB's chunks begin at multiples of their length.
UNIX = datetime(1970, 1, 1, tzinfo=UTC)
#: A Thursday like that one, so that chunks of a week begin here, too.
T0 = datetime(2026, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

KINDS: dict[str, Callable[[np.random.Generator, int], FloatArray]] = {
    "counts": lambda rng, n: rng.poisson(5.0, n).astype(np.float64),
    "noisy floats": lambda rng, n: rng.normal(50.0, 10.0, n),
}


@dataclass(frozen=True)
class Layout:
    """How long a chunk is, how long after its end it is compressed, and how often the policy runs."""

    chunk: timedelta
    after: timedelta
    every: timedelta


#: Of the migration `timescale/0001`; TimescaleDB chose that the policy runs every 12 hours.
BEFORE = Layout(timedelta(days=7), timedelta(days=7), timedelta(hours=12))


@dataclass(frozen=True)
class Row:
    """What a layout costs. Sizes are bytes a sample.

    Attributes:
        seconds: step -> the best of the repeats, or of once where a step changes the state.
    """

    what: str
    layout: Layout
    average: float
    uncompressed: float
    compressed: float
    seconds: dict[str, float]


class Simulation:
    """A database whose clock is the newest sample."""

    def __init__(self, pool: Pool, what: str, layout: Layout | None, series: int) -> None:
        """Args:
        layout: null: that of the migrations.
        """
        self._pool = pool
        self.store = Store(pool, "bench")
        registered = [Series(tenant="bench", service=f"service{n}", metric="value") for n in range(series)]
        self.store.series.register(registered)
        self._ids = np.sort(np.array([one.series_id for one in registered]))
        self._values = KINDS[what]
        self._rng = np.random.default_rng(7)
        self.query("SELECT _timescaledb_functions.stop_background_workers()")  # they go by the real clock
        if layout is not None:
            self.query("SELECT set_chunk_time_interval('samples', %s)::text", layout.chunk)
        self.layout = layout or self._as_migrated()

    def query(self, statement: str, *parameters: object) -> list[TupleRow]:
        with self._pool.connection() as connection:
            return connection.execute(statement.encode(), parameters).fetchall()

    def _as_migrated(self) -> Layout:
        ((chunk, after, every),) = self.query(
            "SELECT d.time_interval, (j.config->>'compress_after')::interval, j.schedule_interval"
            " FROM timescaledb_information.dimensions d JOIN timescaledb_information.jobs j USING (hypertable_name)"
            " WHERE d.hypertable_name = 'samples' AND j.proc_name = 'policy_compression'"
        )
        return Layout(chunk, after, every)

    def samples(self, start: datetime, end: datetime, step: timedelta = STEP) -> pl.DataFrame:
        """Of [start, end), of all series."""
        times = np.arange((start - UNIX) // MICROSECOND, (end - UNIX) // MICROSECOND, step // MICROSECOND)
        ids, all_times = np.repeat(self._ids, len(times)), np.tile(times, len(self._ids))
        return frame_of(SAMPLES, ids, all_times, self._values(self._rng, len(ids)))

    def run(self, start: datetime, end: datetime) -> None:
        """Let samples arrive, and the policies work."""
        for day in moments(start, end, DAY):
            for at in moments(day, min(day + DAY, end), WRITE):
                self.store.samples.write(self.samples(at, min(at + WRITE, day + DAY, end)))
            now = min(day + DAY, end)
            # A policy is late by half of its interval, on average.
            self.compress(now - self.layout.after - self.layout.every / 2)
            self.query("SELECT drop_chunks('samples', older_than => %s::timestamptz)", now - KEPT)

    def compress(self, before: datetime) -> None:
        """Compress the chunks that ended before a moment, one transaction each, as the policy does."""
        for (chunk,) in self.query(
            "SELECT show_chunks('samples', older_than => %s::timestamptz)::text", before
        ):
            self.query("SELECT compress_chunk(%s::regclass)::text", chunk)

    def bytes_each(self) -> float:
        ((size,),) = self.query("SELECT hypertable_size('samples')::bigint")
        ((count,),) = self.query("SELECT count(*) FROM samples")
        return float(size / count)

    def bytes_each_of(self, *, compressed: bool) -> float:
        """Of the chunks that are, or are not, compressed."""
        ((size, count),) = self.query(
            "SELECT sum(s.total_bytes)::bigint, (SELECT count(*) FROM samples p WHERE p.ts >= min(c.range_start)"
            "  AND p.ts < max(c.range_end)) FROM chunks_detailed_size('samples') s"
            " JOIN timescaledb_information.chunks c USING (chunk_schema, chunk_name) WHERE c.is_compressed = %s",
            compressed,
        )
        return float(size / count)


def moments(start: datetime, end: datetime, step: timedelta) -> list[datetime]:
    return [start + n * step for n in range(-((start - end) // step))]


def measure(pool: Pool, what: str, layout: Layout | None, series: int) -> Row:
    one = Simulation(pool, what, layout, series)
    chunk = one.layout.chunk
    at = T0
    # From here on, samples of 30 days are stored, and the policy is in its rhythm.
    steady = T0 - (-(KEPT + one.layout.after + one.layout.every) // chunk) * chunk
    averages = []
    for n in range(MOMENTS):
        moment = steady + chunk * (n + 0.5) / MOMENTS
        one.run(at, moment)
        averages.append(one.bytes_each())
        at = moment
    uncompressed, compressed = (one.bytes_each_of(compressed=state) for state in (False, True))
    return Row(
        what=what,
        layout=one.layout,
        average=sum(averages) / len(averages),
        uncompressed=uncompressed,
        compressed=compressed,
        seconds=seconds_of_steps(one, at),
    )


def seconds_of_steps(one: Simulation, now: datetime) -> dict[str, float]:
    """Step -> seconds. The late samples are those of a compressed day again, and new ones between them."""
    samples = one.store.samples
    minutes = [one.samples(now + n * STEP, now + (n + 1) * STEP) for n in range(REPEATS)]
    later = now + REPEATS * STEP
    pulls = [one.samples(later + 5 * n * STEP, later + 5 * (n + 1) * STEP) for n in range(REPEATS)]
    first = now - LATE
    stored = samples.read(first, first + DAY)
    late = one.samples(first, first + DAY, STEP / 2)
    found = {
        "read a week of one": min(
            seconds(lambda: samples.read(now - 7 * DAY, now, stored["series_id"].head(1).to_list()))
            for _ in range(REPEATS)
        ),
        "read a day": min(seconds(lambda: samples.read(now - DAY, now)) for _ in range(REPEATS)),
        "read 30 days": min(seconds(lambda: samples.read(now - KEPT, now)) for _ in range(REPEATS)),
        "newest of each": min(seconds(samples.latest) for _ in range(REPEATS)),
        "write 1 min": min(seconds(partial(samples.write, frame)) for frame in minutes),
        "write 5 min": min(seconds(partial(samples.write, frame)) for frame in pulls),
        "write a late day": seconds(lambda: samples.write(late)),
        "read it": seconds(lambda: samples.read(first, first + DAY)),
        "compress it": seconds(lambda: one.compress(now - one.layout.after)),
    }
    expected = pl.concat([stored, late.join(stored, on=["series_id", "ts"], how="anti")]).sort(
        "series_id", "ts"
    )
    if not samples.read(first, first + DAY).equals(expected):
        raise AssertionError("what is read is not what was written first")
    return found


def seconds(step: Callable[[], object]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def main(series: int) -> list[Row]:
    """Measure, and print two tables."""
    programs = timescale_programs()
    if programs is None:
        sys.exit("no PostgreSQL of Debian's has the timescaledb extension installed")
    rows = []
    with timescale_server(programs) as server:
        for what in KINDS:
            for layout in (BEFORE, None):
                with fresh_database(server) as dsn:
                    migrate(dsn)
                    with open_pool(dsn) as pool:
                        rows.append(measure(pool, what, layout, series))
    print(f"{series} series, a sample a minute, {KEPT.days} days. Bytes a sample:\n")
    print("| samples | chunks of | compressed after | uncompressed | compressed | on average |")
    print("|---|---:|---:|---:|---:|---:|")
    for row in rows:
        print(
            f"| {row.what} | {hours(row.layout.chunk)} h | {hours(row.layout.after)} h | {row.uncompressed:.1f} "
            f"| {row.compressed:.2f} | **{row.average:.2f}** |"
        )
    steps = list(rows[0].seconds)
    late = 2 * series * (DAY // STEP)
    print(
        f"\nMilliseconds. The late day is {LATE.days} days old and compressed: {late:,} samples, half of them new.\n"
    )
    print(f"| samples | chunks of | {' | '.join(steps)} |")
    print(f"|---|---:|{'---:|' * len(steps)}")
    for row in rows:
        times = " | ".join(f"{1e3 * row.seconds[step]:,.0f}" for step in steps)
        print(f"| {row.what} | {hours(row.layout.chunk)} h | {times} |")
    return rows


def hours(span: timedelta) -> int:
    return span // timedelta(hours=1)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SERIES)
