"""A repository of samples in front of another one, which does all that it does not do itself."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from core.ports import SampleRepository, WriteResult


class ForwardedSamples:
    """The samples of one tenant (`core.ports.SampleRepository`), as those behind it."""

    def __init__(self, behind: SampleRepository) -> None:
        self._behind = behind

    def read(self, start: datetime, end: datetime, series_ids: Sequence[int] | None = None) -> pl.DataFrame:
        """As `SampleRepository.read`."""
        return self._behind.read(start, end, series_ids)

    def write(self, frame: pl.DataFrame) -> WriteResult:
        """As `SampleRepository.write`."""
        return self._behind.write(frame)

    def latest(self) -> pl.DataFrame:
        """As `SampleRepository.latest`."""
        return self._behind.latest()

    def span(self) -> tuple[datetime, datetime] | None:
        """As `SampleRepository.span`."""
        return self._behind.span()

    def newest_times(self, series_ids: Sequence[int]) -> dict[int, datetime]:
        """As `SampleRepository.newest_times`."""
        return self._behind.newest_times(series_ids)

    def stored_at(self, times: pl.DataFrame) -> pl.DataFrame:
        """As `SampleRepository.stored_at`."""
        return self._behind.stored_at(times)

    def remove(self, series_id: int) -> int:
        """As `SampleRepository.remove`."""
        return self._behind.remove(series_id)
