"""Series with the steps that were learned of them."""

from dataclasses import replace

from core.domain import Series


class SteppedSeries:
    """Remembers series with their steps, because most series have the same step in each request.

    Args:
        most: with more series, all are forgotten.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._stepped: dict[int, Series] = {}

    def with_step(self, series: Series, step_s: int) -> Series:
        """The series with this step."""
        if series.step_s == step_s:
            return series
        found = self._stepped.get(series.series_id)
        if found is None or (found.step_s, found.kind, found.unit) != (step_s, series.kind, series.unit):
            found = replace(series, step_s=step_s)
            if len(self._stepped) >= self._most:
                self._stepped.clear()
            self._stepped[series.series_id] = found
        return found
