"""The ports of what is stored to compute the rates of counters: their newest counts, and the declared types."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import polars as pl


class CounterRepository(Protocol):
    """The first and newest counts of each counter, from which rates are computed."""

    def recent(self, series_ids: Sequence[int], *, lock: bool = True) -> pl.DataFrame:
        """The stored counts of these counters, `core.frames.SAMPLES`; locked until the end of the transaction.

        Register the series before their counts are locked. With this order, two transactions never wait for each other.
        """
        ...

    def save(self, counts: pl.DataFrame) -> None:
        """Replace the stored counts of the series in `counts` (`core.frames.SAMPLES`)."""
        ...

    def forget(self, series_ids: Sequence[int]) -> None:
        """Remove the counts of series that are no counters."""
        ...


class MetricTypeRepository(Protocol):
    """Metric name -> the type that sources declare: counter, gauge, histogram, summary, ..."""

    def hold(self, *, change: bool = False) -> None:
        """Keep the types as they are until the end of the transaction; `change`: for this transaction alone."""
        ...

    def declared(self, metrics: Sequence[str] | None = None) -> dict[str, str]:
        """The declared types of these metrics; null: of all."""
        ...

    def declare(self, types: Mapping[str, str], source: str = "") -> None:
        """Store types that a source declares; a later declaration replaces an earlier one."""
        ...

    def sources(self, metrics: Sequence[str]) -> dict[str, str]:
        """Metric -> the source that declared its type; empty where it is not known."""
        ...
