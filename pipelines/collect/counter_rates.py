"""Counters as rates per second: the rate of a counter is what detectors and forecasters can use.

A count below the previous one is a reset: the counter restarted at 0, so it grew by the new count. Three kinds of
falling counts are no resets:

- A count falls by at most 1 %. Clocks of processors are read on different cores, so that sums go back a little. The
  counter did not grow, and the next growth counts from the higher count.
- A count is 0, and soon at least as high as before. The reading failed. It gives no rate, and the next rate counts
  from the count before it.
- A counter of 32 or 64 bits starts again from 0 when it is full. This is assumed if the growth then fits the rate
  before it.

A sender may tell since when a counter counts. Then it was 0 at that time: the first count has a rate, and a reset is
known exactly. Such a start is kept among the counts as -0.0, which no count is.

References:
    https://prometheus.io/docs/prometheus/latest/querying/functions/#rate
    https://github.com/prometheus-community/windows_exporter/issues/1383 (counts that go back)
    https://www.rfc-editor.org/rfc/rfc2578#section-7.1.6 (Counter32, Counter64)
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from core.arrays import BoolArray, FloatArray, IntArray
from core.frames import SAMPLES, chosen_rows, frame_of, sample_arrays, with_reason

#: How many of the newest counts of a counter are kept, besides its first one. A late count may have its predecessor
#: between the first and these; then it has no known predecessor.
KEPT_COUNTS = 8
#: A count may fall by this share of itself without being a reset.
JITTER = 0.01
#: So many zeros in a row can be failed readings.
MOST_LOST = 3
#: The ranges of counters of 32 and 64 bits.
MODULI = (2.0**32, 2.0**64)
#: After a wrap a counter grows at most this many times as fast as before it.
WRAP_SPEED = 4.0
#: Without a rate before it, a wrap is assumed only in the last hundredth of the range.
WRAP_SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedRates:
    """What counts gave.

    Attributes:
        rates: `SAMPLES` in counts per second, each over the time since the previous count, by series_id, ts.
        recent: `SAMPLES`, the first and the newest counts of each series, to be given to the next call.
        duplicates: how many counts were known, with the same count at that time.
        contradicting: counts whose time has another count: series_id, ts, value, reason.
        late: counts that have no rate, because the count before them is not known any more; the same columns.
    """

    rates: pl.DataFrame
    recent: pl.DataFrame
    duplicates: int
    contradicting: pl.DataFrame
    late: pl.DataFrame


#: The value of a counter when it began to count.
START = -0.0


def without_starts(counts: pl.DataFrame) -> pl.DataFrame:
    """The counts (`SAMPLES`) that were sent."""
    return chosen_rows(counts, ~np.signbit(counts["value"].to_numpy()))


def rates_of(recent: pl.DataFrame, counts: pl.DataFrame, created: pl.DataFrame | None = None) -> CountedRates:
    """Rates at the times of `counts`. The first count of a counter gives no rate, because there is no previous one,
    unless it is known since when it counts.

    Counts may come in any order and more than once. A late count gives its own rate, and a rate to the first count if
    it is before that.

    Args:
        recent: `SAMPLES`, from the last call for these series; empty: they are new.
        counts: `SAMPLES`, finite and not negative.
        created: `core.frames.CREATED`, of some counts.
    """
    ids, times, values = sample_arrays(counts)
    values = values + 0.0  # a count of -0 is 0; -0 marks a start
    if created is not None and not created.is_empty():
        incoming = frame_of(SAMPLES, ids, times, values)
        ids, times, values = sample_arrays(pl.concat([incoming, _starts(recent, incoming, created)]))
    known_ids, known_times, known_values = sample_arrays(recent)
    new = np.arange(len(known_ids) + len(ids)) >= len(known_ids)
    ids, times = np.concatenate([known_ids, ids]), np.concatenate([known_times, times])
    values = np.concatenate([known_values, values])
    if not _is_ordered(ids, times):
        # Stable: of two counts at one time the known one counts, or the first.
        order = np.lexsort((times, ids))
        ids, times, values, new = ids[order], times[order], values[order], new[order]
    again = np.zeros(len(ids), dtype=bool)
    again[1:] = (ids[1:] == ids[:-1]) & (times[1:] == times[:-1])
    # the position of the count that counts at that time
    kept = np.maximum.accumulate(np.where(again, 0, np.arange(len(ids))))
    clash = again & (values != values[kept])
    resent = np.zeros(len(ids), dtype=bool)
    resent[kept[again & ~clash]] = True
    merged = _Merged(ids[~again], times[~again], values[~again], new[~again], resent[~again])
    rates = merged.rates
    rated = ~np.isnan(rates)
    return CountedRates(
        rates=frame_of(SAMPLES, merged.ids[rated], merged.times[rated], rates[rated]),
        recent=merged.frame(merged.kept),
        duplicates=int(again.sum() - clash.sum()),
        contradicting=with_reason(
            frame_of(SAMPLES, ids[clash], times[clash], values[clash]),
            pl.format(
                "count {} contradicts {}, the first count for that time",
                "value",
                pl.Series(values[kept[clash]], dtype=pl.Float64),
            ),
        ),
        late=with_reason(
            merged.frame(merged.late),
            pl.format("count {} came so late that the count before it is not known any more", "value"),
        ),
    )


def _starts(known: pl.DataFrame, incoming: pl.DataFrame, created: pl.DataFrame) -> pl.DataFrame:
    """The starts of counters (`SAMPLES`) that lie between two counts that follow each other, or before the first one.

    Other starts are known, or it is not known which counts were before them.
    """
    told = created.unique(["series_id", "ts"], keep="first", maintain_order=True)
    both = pl.concat([known.with_columns(is_known=True), incoming.with_columns(is_known=False)])
    counts = both.unique(["series_id", "ts"], keep="first", maintain_order=True).sort("series_id", "ts")
    # The counts between the first one and the newest ones are not known.
    has_gap = pl.col("is_known").sum().over("series_id") > KEPT_COUNTS
    follows = counts.with_columns(
        before=pl.col("ts").shift(1).over("series_id"),
        after_gap=has_gap & (pl.int_range(pl.len()).over("series_id") == 1),
    )
    found = follows.join(told, on=["series_id", "ts"]).filter(
        (pl.col("created") < pl.col("ts"))
        & (pl.col("before").is_null() | (pl.col("before") < pl.col("created")))
        & ~pl.col("after_gap")
    )
    return found.select("series_id", ts=pl.col("created"), value=pl.lit(START))


def _is_ordered(ids: IntArray, times: IntArray) -> bool:
    same = ids[1:] == ids[:-1]
    return bool(np.all((ids[1:] > ids[:-1]) | (same & (times[1:] >= times[:-1]))))


@dataclass(frozen=True)
class _Merged:
    """Known and new counts of several series, by series and time; each time once.

    Attributes:
        new: the count was not known.
        resent: the count came again.
    """

    ids: IntArray
    times: IntArray
    values: FloatArray
    new: BoolArray
    resent: BoolArray

    def frame(self, chosen: BoolArray) -> pl.DataFrame:
        return frame_of(SAMPLES, self.ids[chosen], self.times[chosen], self.values[chosen])

    @cached_property
    def rates(self) -> FloatArray:
        """The rate at each count; NaN: none, or it was given when the count was new."""
        before, elapsed_s = self._counts_before(1), self._seconds_since(1)
        if np.any(self.values < before):
            rates = self._rates_with_falls(before, elapsed_s)
        else:
            rates = (self.values - before) / elapsed_s
        # The first known count has no rate yet; it gets one from counts before it.
        rates[~self.new & ~self._is_first_known] = np.nan
        rates[np.signbit(self.values)] = np.nan  # what a counter grew by before it started again is not known
        return rates

    @cached_property
    def late(self) -> BoolArray:
        """New counts of which only a later part of the series is known."""
        return np.asarray(self.new & (self._rank == 0) & ~self._is_start)

    @property
    def kept(self) -> BoolArray:
        """The first and the newest counts of each series."""
        kept = np.ones(len(self.ids), dtype=bool)
        kept[:-KEPT_COUNTS] = self.ids[KEPT_COUNTS:] != self.ids[:-KEPT_COUNTS]
        return kept | self._is_start

    def _rates_with_falls(self, before: FloatArray, elapsed_s: FloatArray) -> FloatArray:
        previous, since_s = before, elapsed_s
        zero, level, later = _is_zero(before), np.ones(len(before), dtype=bool), before
        for n in range(2, MOST_LOST + 2):
            count = self._counts_before(n)
            # The highest of some counts that go back a little, with no reset between them.
            level &= np.minimum(before, later) >= count * (1 - JITTER)
            previous = np.where(level & (count > previous), count, previous)
            lost = zero & (count > 0) & (self.values >= count * (1 - JITTER))
            previous = np.where(lost, count, previous)
            since_s = np.where(lost, self._seconds_since(n), since_s)
            zero &= _is_zero(count)
            later = count
        with np.errstate(over="ignore", invalid="ignore"):
            speed = (before - self._counts_before(2)) / (self._seconds_since(2) - elapsed_s)
            return _growth(self.values, previous, since_s, speed) / since_s

    @cached_property
    def _is_start(self) -> BoolArray:
        """Whether a count is the first of its series."""
        start = np.ones(len(self.ids), dtype=bool)
        start[1:] = self.ids[1:] != self.ids[:-1]
        return start

    @cached_property
    def _known_before(self) -> IntArray:
        """For each count the number of known counts of its series before it."""
        known: IntArray = np.cumsum(~self.new) - ~self.new
        return np.asarray(known - known[self._positions(self._is_start)], dtype=np.int64)

    @cached_property
    def _is_first_known(self) -> BoolArray:
        return np.asarray(~self.new & (self._known_before == 0))

    @cached_property
    def _rank(self) -> IntArray:
        """For each count the number of counts before it without a gap.

        There may be a gap after the first known count, unless it came again together with the counts after it.
        """
        series = self._positions(self._is_start)
        counted = np.bincount(series, weights=~self.new, minlength=len(self.ids))
        known: FloatArray = counted[series].astype(np.float64)
        after_gap = np.zeros(len(self.ids), dtype=bool)
        after_gap[1:] = (self._is_first_known & (known > KEPT_COUNTS) & ~self.resent)[:-1]
        return np.asarray(np.arange(len(self.ids)) - self._positions(self._is_start | after_gap))

    def _positions(self, starts: BoolArray) -> IntArray:
        """For each count the position of the last start before it, or its own."""
        return np.maximum.accumulate(np.where(starts, np.arange(len(self.ids)), 0))

    def _counts_before(self, n: int) -> FloatArray:
        """The count `n` places earlier in the same series; NaN where there is none."""
        shifted = np.full(len(self.ids), np.nan)
        shifted[n:] = self.values[:-n]
        shifted[self._rank < n] = np.nan
        return shifted

    def _seconds_since(self, n: int) -> FloatArray:
        """Seconds since the count `n` places earlier in the same series; NaN where there is none."""
        elapsed = np.full(len(self.ids), np.nan)
        elapsed[n:] = (self.times[n:] - self.times[:-n]) / 1e6
        elapsed[self._rank < n] = np.nan
        return elapsed


def _is_zero(counts: FloatArray) -> BoolArray:
    """Whether a count is 0, and may be a failed reading; a start is none."""
    return np.asarray((counts == 0) & ~np.signbit(counts))


def _growth(counts: FloatArray, previous: FloatArray, elapsed_s: FloatArray, speed: FloatArray) -> FloatArray:
    """How much counters grew since the previous counts; NaN where that is not known.

    Args:
        speed: counts per second before that; NaN: not known.
    """
    conditions = [counts >= previous, (counts > 0) & (counts >= previous * (1 - JITTER))]
    growths = [counts - previous, np.zeros(len(counts))]
    for modulus in MODULI:
        wrapped = counts + (modulus - previous)
        near_end = previous >= modulus * (1 - WRAP_SHARE)
        fits = np.where(speed > 0, wrapped <= WRAP_SPEED * speed * elapsed_s, near_end)
        conditions.append(fits & (previous >= modulus / 2) & (previous < modulus))
        growths.append(wrapped)
    conditions.append((counts > 0) & (counts < previous))
    growths.append(counts)
    return np.select(conditions, growths, np.nan)
