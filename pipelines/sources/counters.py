"""Counters as rates per second: the rate of a counter is what detectors and forecasters can use."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from core.frames import SAMPLES

#: A counter that falls by less is not reset: a process that starts again would have to reach almost its old count
#: within one step. Clocks of kernels and hypervisors count a little backwards at times.
JITTER_SHARE = 0.01
#: Counters of 32 and 64 bits start again at 0 when they are full.
MODULI = (2.0**32, 2.0**64)
#: A counter wraps if the rate is then at most so many times the one before; otherwise it was reset.
WRAP_RATE_FACTOR = 10.0

#: What is remembered of a series. `raw` is the last count, `value` the count to which the next one is compared, `rest`
#: what float64 cannot hold of it, `rate` the last rate, and `held` the count before a fall to 0.
_STATE = {
    **SAMPLES,
    "raw": pl.Float64,
    "rest": pl.Float64,
    "rate": pl.Float64,
    "held": pl.Float64,
    "held_ts": SAMPLES["ts"],
}


@dataclass(frozen=True, slots=True)
class Rates:
    """What became of some counts.

    Attributes:
        rates: the counts with `value` replaced by the rate, by series_id, ts.
        contradicting: the counts whose time has another count already, which is in the column `stored`.
    """

    rates: pl.DataFrame
    contradicting: pl.DataFrame


class CounterRates:
    """Turns the counts of some series into rates per second, across several frames.

    A count below the previous one is a reset: the counter restarted at 0, so it grew by the new count. The first count
    of a series gives no rate, because there is no previous one. Three falls are no resets: a tiny one, a fall to 0 for
    a moment after which the counter goes on where it was, and the overflow of a counter of 32 or 64 bits.

    References:
        https://prometheus.io/docs/prometheus/latest/querying/functions/#rate
        https://www.rfc-editor.org/rfc/rfc2578#section-7.1.6
    """

    def __init__(self) -> None:
        self._state = pl.DataFrame(schema=_STATE)
        self._first = pl.DataFrame(schema=SAMPLES)

    def rates(self, samples: pl.DataFrame) -> pl.DataFrame:
        """Rates at the times of `samples` (`SAMPLES`), each over the time since the previous sample.

        Returns:
            `SAMPLES`, by series_id, ts; without the first sample of each series, and without repeated times.
        """
        return self.convert(samples).rates.select(*SAMPLES)

    def convert(self, counts: pl.DataFrame) -> Rates:
        """Rates at the times of `counts`, each over the time since the previous count.

        Args:
            counts: `SAMPLES` and any further columns, which stay. `rest` is what float64 cannot hold of a large count.
        """
        valid = counts.filter(pl.col("value").is_finite() & pl.col("ts").is_not_null())
        if "rest" not in valid.columns:
            valid = valid.with_columns(rest=pl.lit(0.0))
        ids = valid["series_id"].unique().implode()
        before = self._state.filter(pl.col("series_id").is_in(ids))
        merged = pl.concat(
            [
                before.with_columns(_known=pl.lit(value=True)),
                valid.with_columns(raw="value", _known=pl.lit(value=False)),
            ],
            how="diagonal",
        ).sort("series_id", "ts", maintain_order=True)
        merged, contradicting = _first_of_each(merged)
        self._first = (
            pl.concat([self._first, merged.select(*SAMPLES)])
            .sort("series_id", "ts", maintain_order=True)
            .unique("series_id", keep="first", maintain_order=True)
        )
        steps = _with_steps(merged)
        odd = steps.filter((pl.col("_value_before") > pl.col("value")) | pl.col("_held_before").is_not_null())
        if odd.is_empty():
            rated = steps.with_columns(_rate=_growth() / pl.col("_elapsed_s"))
        else:
            is_odd = pl.col("series_id").is_in(odd["series_id"].unique().implode())
            even = steps.filter(~is_odd).with_columns(_rate=_growth() / pl.col("_elapsed_s"))
            rated = pl.concat([even, _stepwise(steps.filter(is_odd))]).sort("series_id", "ts")
        rated = rated.with_columns(rate=pl.coalesce("_rate", "rate"))
        newest = rated.group_by("series_id", maintain_order=True).last()
        self._state = pl.concat([self._state.filter(~pl.col("series_id").is_in(ids)), newest.select(*_STATE)])
        rates = rated.filter(~pl.col("_known") & pl.col("_rate").is_not_null())
        return Rates(
            rates=rates.with_columns(value="_rate").select(counts.columns),
            contradicting=contradicting.select(*counts.columns, "stored"),
        )

    @property
    def ends(self) -> pl.DataFrame:
        """The first and the last count of each series: series_id, first_ts, first, last_ts, last."""
        last = self._state.select("series_id", last_ts="ts", last="raw")
        return self._first.select("series_id", first_ts="ts", first="value").join(
            last, on="series_id", maintain_order="left"
        )


class CounterSpans:
    """Joins the counts of files that follow one another: the first count of a file has a rate, too.

    Args:
        spans: series_id -> time and value of the first and the last count so far; times in microseconds.
    """

    def __init__(self, spans: Mapping[str, Sequence[float]]) -> None:
        self._spans = {int(key): tuple(span) for key, span in spans.items()}

    @property
    def state(self) -> dict[str, Sequence[float]]:
        """What the next instance begins with."""
        return {str(key): span for key, span in self._spans.items()}

    def join(self, ends: pl.DataFrame) -> pl.DataFrame:
        """The rates between a file and those before it (`SAMPLES`). The files may come in any order of time.

        Args:
            ends: as of `CounterRates.ends`.
        """
        rows = []
        times = ends.with_columns(pl.col("first_ts", "last_ts").to_physical())
        for series_id, first_ts, first, last_ts, last in times.iter_rows():
            known = self._spans.get(series_id)
            span = (first_ts, first, last_ts, last)
            if known is None:
                self._spans[series_id] = span
                continue
            self._spans[series_id] = (*min(known[:2], span[:2]), *max(known[2:], span[2:]))
            before, after = sorted([known, span])
            if after[0] > before[2]:
                rate = _Counter(int(before[2]), before[3]).advance(int(after[0]), after[1], 0.0)
                rows += [] if rate is None else [(series_id, int(after[0]), rate)]
        schema = {"series_id": pl.Int64, "ts": pl.Int64, "value": pl.Float64}
        return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("ts").cast(SAMPLES["ts"]))


def _first_of_each(merged: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row for each series and time, the first given; and the rows that contradict it."""
    first = pl.struct("series_id", "ts").is_first_distinct()
    if merged.select(first.all()).item():
        return merged, merged.clear().with_columns(stored=pl.lit(None, pl.Float64))
    marked = merged.with_columns(_first=first, stored=pl.when(first).then("raw").forward_fill())
    again = marked.filter(~pl.col("_first"))
    return merged.filter(marked["_first"]), again.filter(pl.col("raw") != pl.col("stored")).drop("_first")


def _with_steps(merged: pl.DataFrame) -> pl.DataFrame:
    """Each count with the one before it in its series; null for the first."""
    same = pl.col("series_id") == pl.col("series_id").shift()
    return merged.with_columns(
        _value_before=pl.when(same).then(pl.col("value").shift()),
        _rest_before=pl.when(same).then(pl.col("rest").shift()),
        _held_before=pl.when(same).then(pl.col("held").shift()),
        _elapsed_s=pl.when(same).then(pl.col("ts").diff().dt.total_microseconds() / 1e6),
    )


def _growth() -> pl.Expr:
    return (pl.col("value") - pl.col("_value_before")) + (pl.col("rest") - pl.col("_rest_before"))


@dataclass(slots=True)
class _Counter:
    """The state of one counter; times in microseconds."""

    ts: int
    value: float
    rest: float = 0.0
    rate: float | None = None
    held: float | None = None
    held_ts: int | None = None

    def advance(self, ts: int, value: float, rest: float) -> float | None:
        """Take the next count; returns the rate since the previous one, null where it is not known."""
        elapsed_s = (ts - self.ts) / 1e6
        if value == 0.0 and self.value > 0.0:
            # A restart, or an exporter that could not read: the next count tells.
            self.held, self.held_ts = self.value, self.ts
            self.ts, self.value, self.rest = ts, 0.0, 0.0
            return None
        if value > 0.0 and self.held is not None and self.held_ts is not None:
            grown = value
            if value >= self.held:
                grown, elapsed_s = value - self.held, (ts - self.held_ts) / 1e6
            self.held = self.held_ts = None
            return self._moved(ts, value, rest, grown / elapsed_s)
        if value >= self.value:
            return self._moved(ts, value, rest, ((value - self.value) + (rest - self.rest)) / elapsed_s)
        if value >= self.value * (1.0 - JITTER_SHARE):
            # The higher count stays, so that what was counted back is not counted twice.
            return self._moved(ts, self.value, self.rest, 0.0)
        for modulus in MODULI:
            wrapped = ((modulus - self.value) + value) / elapsed_s
            is_high = modulus / 2 <= self.value < modulus
            if is_high and self.rate is not None and wrapped <= WRAP_RATE_FACTOR * self.rate:
                return self._moved(ts, value, rest, wrapped)
        return self._moved(ts, value, rest, value / elapsed_s)

    def _moved(self, ts: int, value: float, rest: float, rate: float) -> float:
        self.ts, self.value, self.rest, self.rate = ts, value, rest, rate
        return rate


def _stepwise(steps: pl.DataFrame) -> pl.DataFrame:
    """The rates of series with falls, one count after the other; `value`, `rest` and `held` become the new state."""
    columns = ["series_id", "ts", "value", "rest", "rate", "held", "held_ts", "_known"]
    rows: Iterable[tuple[int, int, float, float, float | None, float | None, int | None, bool]] = (
        steps.select(pl.col(columns).to_physical()).iter_rows()
    )
    counter = _Counter(0, 0.0)
    current: int | None = None
    states: list[tuple[float, float, float | None, int | None, float | None]] = []
    for series_id, ts, value, rest, rate, held, held_ts, is_known in rows:
        if current is None or series_id != current:
            current = series_id
            counter = _Counter(ts, value, rest, rate, held, held_ts)
            found: float | None = None
        elif is_known:
            # Counts that arrive late lie before the newest one, which keeps its state.
            counter = _Counter(ts, value, rest, rate, held, held_ts)
            found = None
        else:
            found = counter.advance(ts, value, rest)
        states.append((counter.value, counter.rest, counter.held, counter.held_ts, found))
    names = ["value", "rest", "held", "held_ts", "_rate"]
    schema = {
        "value": pl.Float64,
        "rest": pl.Float64,
        "held": pl.Float64,
        "held_ts": pl.Int64,
        "_rate": pl.Float64,
    }
    found_states = pl.DataFrame(states, schema=schema, orient="row").with_columns(
        pl.col("held_ts").cast(steps.schema["held_ts"])
    )
    return steps.with_columns(found_states[name] for name in names)
