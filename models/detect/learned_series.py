"""What signals need to know of a series: not its detectors, only how well and how regular it is known."""

from dataclasses import dataclass

from core.domain import Band, FilterResult, Series
from models.detect.filters import clear_baseline, crosses, noticeable, predictable, slo_impact


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedSeries:
    """A series as the detectors have learned it.

    Attributes:
        days: so many days of history are behind its baseline.
        randomness_z: see `models.detect.filters.variance_ratio_z`.
    """

    series: Series
    days: float
    randomness_z: float

    def filters(
        self, value: float, band: Band, *, planned: bool = False, excuse: str = ""
    ) -> tuple[FilterResult, ...]:
        """The four filters for a value; `planned` and `excuse` as in `models.detect.filters.slo_impact`."""
        expected = band.expected
        past = crosses(self.series, value, expected)
        return (
            clear_baseline(self.days),
            predictable(self.randomness_z, past=past),
            noticeable(self.series, value, band, past=past),
            slo_impact(self.series, value, expected, planned=planned, excuse=excuse),
        )
