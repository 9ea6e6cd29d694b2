"""The port of the raw samples that clients push, which are kept until golden signals are computed from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # the command line loads this file before it sets NumPy's number of threads
    from core.arrays import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class PushedSamples:
    """Raw samples, as columns.

    Attributes:
        times_ms: milliseconds since 1970.
        values: as they were sent; a NaN may be the mark of the end of a series.
    """

    series_ids: "IntArray"
    times_ms: "IntArray"
    values: "FloatArray"


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedExtent:
    """What is kept.

    Attributes:
        count: samples.
    """

    first: datetime
    last: datetime
    count: int


class PushedRepository(Protocol):
    """The raw samples of one tenant."""

    def add(self, series: Mapping[int, Mapping[str, str]], samples: PushedSamples, now: datetime) -> None:
        """Keep samples, and the labels of the series that may not be known yet."""
        ...

    def extent(self, start: datetime | None = None, end: datetime | None = None) -> PushedExtent | None:
        """What is kept, in all or of [start, end]; null: nothing. Times and count are those of whole requests."""
        ...

    def read(self, start: datetime, end: datetime) -> PushedSamples:
        """The samples of [start, end], in the order in which they came; a sample may come more than once."""
        ...

    def labels(self, series_ids: Sequence[int]) -> dict[int, Mapping[str, str]]:
        """Series id -> labels with `__name__`, of those that are known."""
        ...

    def series_of(self, metrics: Sequence[str], since: datetime) -> list[Mapping[str, str]]:
        """The labels of the series of these metrics that were sent at or after that time, or not long before."""
        ...

    def forget(self, before: datetime) -> None:
        """Remove the samples before that time."""
        ...

    def forget_series(self, before: datetime, *, keep: Sequence[str], keep_since: datetime) -> None:
        """Remove the labels of the series that were not sent since.

        Args:
            before: all samples before that time have been removed.
            keep: metrics whose series stay if they were sent at or after `keep_since`.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedStores:
    """All that is kept of what the clients of a tenant push.

    Attributes:
        raw: samples as they were sent, for an hour.
        sizes: samples of the sizes of wholes, such as disks, for a few hours.
        replicas: computed values of single replicas, for three days.
    """

    raw: PushedRepository
    sizes: PushedRepository
    replicas: PushedRepository
