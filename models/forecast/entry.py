"""What a bundle of forecasters stores of one series."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.domain import Series
from models.forecast.choice.selection import Choice
from models.forecast.protocols import History
from models.forecast.states import Arrays


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Everything that the forecasts of one series need.

    Attributes:
        states: name of a member -> its fitted state; members that are not there are fitted for each forecast.
    """

    series: Series
    history: History
    choice: Choice
    states: Mapping[str, Arrays] = field(default_factory=dict)
