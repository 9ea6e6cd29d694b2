"""Texts of signals about series that send no values: "cart: 8 of 8 series: no values for 25 min"."""

from datetime import datetime

from core.domain import Series
from core.entities import title_of
from core.formatting import format_duration


def missing_summary(series: Series, silent: int, of: int, lasted_s: float, *, is_back: bool) -> str:
    """One sentence about one series without values, or about several of its service.

    Args:
        silent: number of series without values; a single one is named.
        of: number of series of the service.
        is_back: whether there are values again.
    """
    who = title_of(series) if silent == 1 else f"{series.service}: {silent} of {of} series"
    return f"{who}: no values for {format_duration(lasted_s)}" + ("" if is_back else ", still missing")


def missing_series(series: Series, since: datetime) -> str:
    """One series of several without values."""
    return f"{series.metric}: no values since {since:%H:%M} UTC"
