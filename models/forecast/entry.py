"""What a bundle of forecasters holds of one series."""

from dataclasses import dataclass

from core.domain import Series
from models.forecast.choice.selection import Choice
from models.forecast.protocols import History


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """All that one series' forecasts are made of.

    Attributes:
        prophet: its fitted state as JSON, where it has a say.
    """

    series: Series
    history: History
    choice: Choice
    prophet: str | None = None
