"""Rates of counts that come request by request, from the last counts that the store keeps of each counter.

The rules for counts that fall are those of `pipelines.sources.counters`. Counts that are pushed also come late and more
than once, so that several counts of each counter are kept.

References:
    https://prometheus.io/docs/prometheus/latest/querying/functions/#rate
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from core.frames import SAMPLES
from pipelines.sources.counters import JITTER_SHARE, MODULI, WRAP_RATE_FACTOR

#: How many counts of a counter are kept. A count that comes later than so many others has no known predecessor.
KEPT_COUNTS = 8
#: So many zeros in a row can be failed readings.
MOST_LOST = 3

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedRates:
    """What counts gave.

    Attributes:
        rates: `SAMPLES` in counts per second, each over the time since the previous count, by series_id, ts.
        recent: `SAMPLES`, the last counts of each series, to be given to the next call.
        duplicates: how many counts were known, with the same count at that time.
        contradicting: counts for a time that has another count: series_id, ts, value, reason.
        late: counts that came after so many others that their rate is not known, with the same columns. They may be
            repeated ones.
    """

    rates: pl.DataFrame
    recent: pl.DataFrame
    duplicates: int
    contradicting: pl.DataFrame
    late: pl.DataFrame


def rates_of(recent: pl.DataFrame, counts: pl.DataFrame) -> CountedRates:
    """Rates at the times of `counts`. The first count of a counter gives no rate, because there is no previous one.

    Counts may come in any order and more than once. A late count gives its own rate, and a rate to the oldest known
    count if this had none.

    Args:
        recent: `SAMPLES`, from the last call for these series; empty: they are new.
        counts: `SAMPLES`, finite and not negative.
    """
    known, incoming = recent.select(*SAMPLES), counts.select(*SAMPLES)
    both = pl.concat([known, incoming])
    new = np.arange(both.height) >= known.height
    ids, times = both["series_id"].to_numpy(), both["ts"].to_physical().to_numpy()
    order = np.lexsort((times, ids))  # stable: of two counts at one time the known one, or the first, counts
    ids, times, new = ids[order], times[order], new[order]
    values = both["value"].to_numpy()[order]
    again = np.zeros(len(ids), dtype=bool)
    again[1:] = (ids[1:] == ids[:-1]) & (times[1:] == times[:-1])
    kept = np.maximum.accumulate(
        np.where(again, 0, np.arange(len(ids)))
    )  # the count that counts at that time
    clash = again & (values != values[kept])
    merged = _Merged(ids[~again], times[~again], values[~again], new[~again])
    rates, too_late = merged.rates()
    rated = ~np.isnan(rates)
    return CountedRates(
        rates=_frame(merged.ids[rated], merged.times[rated], rates[rated]),
        recent=merged.frame(merged.newest(KEPT_COUNTS)),
        duplicates=int(again.sum() - clash.sum()),
        contradicting=_frame(ids[clash], times[clash], values[clash]).with_columns(
            reason=pl.format(
                "count {} contradicts {}, which was counted at that time",
                "value",
                pl.Series(values[kept[clash]], dtype=pl.Float64),
            )
        ),
        late=merged.frame(too_late).with_columns(
            reason=pl.format(
                "count {} came after {} later ones: the count before it is not known any more",
                "value",
                pl.lit(KEPT_COUNTS),
            )
        ),
    )


@dataclass(frozen=True)
class _Merged:
    """Known and new counts of several series, by series and time; each time once."""

    ids: Ints
    times: Ints
    values: Floats
    new: Flags

    def frame(self, chosen: Flags) -> pl.DataFrame:
        return _frame(self.ids[chosen], self.times[chosen], self.values[chosen])

    def rates(self) -> tuple[Floats, Flags]:
        """The rate at each count (NaN: none), and which counts came too late for one."""
        before, earlier = self._counts_before(1), self._counts_before(2)
        dipped = (before < earlier) & (before >= earlier * (1 - JITTER_SHARE))
        previous, elapsed_s = np.where(dipped, earlier, before), self._seconds_since(1)
        zero = before == 0
        for n in range(2, MOST_LOST + 2):
            count = self._counts_before(n)
            lost = zero & (count > 0) & (self.values >= count)
            previous = np.where(lost, count, previous)
            elapsed_s = np.where(lost, self._seconds_since(n), elapsed_s)
            zero &= count == 0
        with np.errstate(over="ignore", invalid="ignore"):
            speed = (before - earlier) / (self._seconds_since(2) - self._seconds_since(1))
            rates = _growth(self.values, previous, elapsed_s, speed) / elapsed_s
        known = np.cumsum(~self.new)
        known_before: Ints = (known - ~self.new)[self.starts]
        whole = self._known_counts() < KEPT_COUNTS
        # The oldest known count has a rate, unless it is the first of all.
        without_rate = ~self.new & (known - known_before == 1) & whole
        rates[~self.new & ~without_rate] = np.nan
        followed_by_known = np.append(~self.new[1:] & (self.rank[1:] > 0), False)[: len(self.ids)]
        return rates, self.new & (self.rank == 0) & followed_by_known & ~whole

    def newest(self, many: int) -> Flags:
        """The last counts of each series."""
        newest = np.ones(len(self.ids), dtype=bool)
        newest[:-many] = self.ids[many:] != self.ids[:-many]
        return newest

    @cached_property
    def starts(self) -> Ints:
        """For each count the position of the first count of its series."""
        positions = np.arange(len(self.ids))
        first = np.append(True, self.ids[1:] != self.ids[:-1])[: len(self.ids)]
        return np.maximum.accumulate(np.where(first, positions, 0))

    @cached_property
    def rank(self) -> Ints:
        """For each count the number of counts of its series before it."""
        return np.arange(len(self.ids)) - self.starts

    def _known_counts(self) -> Ints:
        """For each count the number of known counts of its series."""
        return np.bincount(self.starts, weights=~self.new, minlength=len(self.ids))[self.starts].astype(
            np.int64
        )

    def _counts_before(self, n: int) -> Floats:
        """The count `n` places earlier in the same series; NaN where there is none."""
        shifted = np.full(len(self.ids), np.nan)
        shifted[n:] = self.values[:-n]
        shifted[self.rank < n] = np.nan
        return shifted

    def _seconds_since(self, n: int) -> Floats:
        """Seconds since the count `n` places earlier in the same series; NaN where there is none."""
        elapsed = np.full(len(self.ids), np.nan)
        elapsed[n:] = (self.times[n:] - self.times[:-n]) / 1e6
        elapsed[self.rank < n] = np.nan
        return elapsed


def _growth(counts: Floats, previous: Floats, elapsed_s: Floats, speed: Floats) -> Floats:
    """How much counters grew since the previous counts; NaN where that is not known.

    Args:
        speed: counts per second before that; NaN: not known.
    """
    growth = np.select(
        [counts >= previous, (counts > 0) & (counts >= previous * (1 - JITTER_SHARE)), counts < previous],
        [counts - previous, 0.0, np.where(counts > 0, counts, np.nan)],
        np.nan,
    )
    for modulus in MODULI:
        wrapped = counts + (modulus - previous)
        fell = (counts < previous * (1 - JITTER_SHARE)) & (previous >= modulus / 2) & (previous < modulus)
        growth = np.where(fell & (wrapped <= WRAP_RATE_FACTOR * speed * elapsed_s), wrapped, growth)
    return growth


def _frame(ids: Ints, times: Ints, values: Floats) -> pl.DataFrame:
    columns = {"series_id": ids, "ts": times, "value": values}
    return pl.DataFrame({name: pl.Series(column).cast(SAMPLES[name]) for name, column in columns.items()})
