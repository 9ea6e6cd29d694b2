"""The ports of what senders tell about series besides their samples: when they end, and native histograms."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import polars as pl


class SeriesEndRepository(Protocol):
    """When senders ended series. A series that has later samples goes on."""

    def add(self, ends: pl.DataFrame) -> None:
        """Store the ends of series (`core.frames.TIMES`); those that are stored stay."""
        ...

    def since(self, time: datetime) -> pl.DataFrame:
        """The ends at or after a time, and the newest end of each other series (`core.frames.TIMES`)."""
        ...


class NativeHistogramRepository(Protocol):
    """The newest native histograms of each series, between which quantiles are computed."""

    def recent(self, series_ids: Sequence[int]) -> pl.DataFrame:
        """The stored histograms of these series: series_id, ts, content."""
        ...

    def replace(self, histograms: pl.DataFrame) -> None:
        """Store these histograms in place of all others of their series."""
        ...
