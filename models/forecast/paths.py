"""Simulated courses of a series around its forecast, made only where somebody needs them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from core.arrays import FloatArray
from models.series.magnitude import from_ordinary, scaled_number, to_ordinary

#: The range is wider than the sums of floats that it comes from could be wrong, as a share of its size.
MARGIN = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastPaths:
    """Possible courses of a series over the horizon of its forecast.

    Attributes:
        count: how many there are.
        lowest, highest: no path leaves this range.
        simulate: computes them, (count, h), when it is first called; that takes a hundred times as long as the range.
    """

    count: int
    lowest: float
    highest: float
    simulate: Callable[[], FloatArray]

    @classmethod
    def within(
        cls, low: FloatArray, high: FloatArray, count: int, simulate: Callable[[], FloatArray]
    ) -> "ForecastPaths":
        """Paths that stay between two courses, each of length h."""
        lowest, highest = float(low.min()), float(high.max())
        margin = MARGIN * max(abs(lowest), abs(highest))
        return cls(count=count, lowest=lowest - margin, highest=highest + margin, simulate=cache(simulate))

    def to_ordinary(self, exponent: int) -> "ForecastPaths":
        """The same paths divided by 2**exponent, see `models.series.magnitude.to_ordinary`."""
        return ForecastPaths(
            count=self.count,
            lowest=scaled_number(self.lowest, -exponent),
            highest=scaled_number(self.highest, -exponent),
            simulate=lambda: to_ordinary(self.simulate(), exponent),
        )

    def from_ordinary(self, exponent: int) -> "ForecastPaths":
        """The same paths multiplied by 2**exponent."""
        return ForecastPaths(
            count=self.count,
            lowest=scaled_number(self.lowest, exponent),
            highest=scaled_number(self.highest, exponent),
            simulate=lambda: from_ordinary(self.simulate(), exponent),
        )

    def mirrored(self) -> "ForecastPaths":
        """The same paths with the opposite sign."""
        return ForecastPaths(
            count=self.count,
            lowest=0.0 - self.highest,
            highest=0.0 - self.lowest,
            simulate=lambda: 0.0 - self.simulate(),
        )
