"""Counters as rates per second: the rate of a counter is what detectors and forecasters can use."""

import polars as pl

from core.frames import SAMPLES


class CounterRates:
    """Turns the counts of some series into rates per second, across several frames.

    A value below the previous one is a reset: the counter restarted at 0, so it grew by the new value. The first value
    of a series gives no rate, because there is no previous one.

    References:
        https://prometheus.io/docs/prometheus/latest/querying/functions/#rate
    """

    def __init__(self) -> None:
        self._last = pl.DataFrame(schema=SAMPLES)

    def rates(self, samples: pl.DataFrame) -> pl.DataFrame:
        """Rates at the times of `samples` (`SAMPLES`), each over the time since the previous sample.

        Returns:
            `SAMPLES`, by series_id, ts; without the first sample of each series, and without repeated times.
        """
        valid = samples.filter(pl.col("value").is_finite() & pl.col("ts").is_not_null())
        ids = valid["series_id"].unique().implode()
        before = self._last.filter(pl.col("series_id").is_in(ids))
        merged = (
            pl.concat([before, valid])
            .unique(["series_id", "ts"], keep="first", maintain_order=True)
            .sort("series_id", "ts", maintain_order=True)
        )
        newest = merged.group_by("series_id", maintain_order=True).last().select(*SAMPLES)
        self._last = pl.concat([self._last.filter(~pl.col("series_id").is_in(ids)), newest])
        previous = pl.col("value").shift().over("series_id")
        elapsed_s = (pl.col("ts") - pl.col("ts").shift().over("series_id")).dt.total_microseconds() / 1e6
        grown = pl.when(pl.col("value") < previous).then("value").otherwise(pl.col("value") - previous)
        rated = merged.with_columns(value=grown / elapsed_s).filter(pl.col("value").is_not_null())
        return rated.join(before, on=["series_id", "ts"], how="anti").select(*SAMPLES)
