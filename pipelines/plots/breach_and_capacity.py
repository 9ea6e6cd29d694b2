"""A breach as a picture: history, band, fan, limit, and the range on the time axis. Needs matplotlib.

Matplotlib is imported when a plot is drawn: serving and the flows do without it.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.domain import Series, TimeRange
from core.errors import ConfigurationError
from core.formatting import format_value, format_when
from models.breach.capacity import Capacity
from models.breach.outlook import BreachOutlook
from models.forecast.bundle import Prediction
from models.forecast.protocols import FloatArray, History
from models.series.thresholds import is_upward, threshold_of
from models.words.breach import what_happens

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_DAYS = 3
TICKS = 8
INK, BAND, FAN, LIMIT = "#1f2933", "#9fb3c8", "#d9822b", "#c23030"


def figure_of(inches: tuple[float, float] = (9, 4)) -> "Figure":
    """An empty figure without a window, to draw on.

    Raises:
        ConfigurationError: Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigurationError("plots need matplotlib: pip install matplotlib") from None
    # Without pyplot: no window, no global state, safe in any thread.
    return Figure(figsize=inches, layout="constrained")


def _days(moments: Sequence[datetime]) -> FloatArray:
    """Times in Matplotlib's own unit, days since 1970."""
    return np.array([moment.timestamp() / 86_400 for moment in moments])


def plot_breach(
    series: Series, history: History, prediction: Prediction, outlook: BreachOutlook, when: TimeRange | None
) -> "Figure":
    """History, forecast band, the fan of simulated courses, the limit, and when it is reached.

    Args:
        when: as it was said; what another breach brings about is not among the series' own courses.
    """
    figure = figure_of()
    axes = figure.add_subplot()
    shown = min(len(history), SHOWN_DAYS * 86_400 // history.step_s)
    past = _days([history.end - timedelta(seconds=history.step_s * back) for back in range(shown, 0, -1)])
    ahead = _days(prediction.times())
    axes.plot(past, history.values[-shown:], color=INK, linewidth=1.2, label="measured")
    axes.plot(ahead, prediction.yhat, color=INK, linewidth=1.2, linestyle="--", label="forecast")
    axes.fill_between(
        ahead, prediction.lower[0.95], prediction.upper[0.95], color=BAND, alpha=0.35, label="95 %"
    )
    axes.fill_between(
        ahead, prediction.lower[0.8], prediction.upper[0.8], color=BAND, alpha=0.6, label="80 %"
    )
    fan = np.percentile(outlook.paths, [10, 50, 90], axis=0)
    onwards = _days([moment + (outlook.at - history.end) for moment in prediction.times()])
    axes.plot(onwards, fan[1], color=FAN, linewidth=1.5, label="course, P50")
    axes.fill_between(onwards, fan[0], fan[2], color=FAN, alpha=0.25, label="courses, P10 to P90")
    threshold = threshold_of(series)
    if threshold is not None:
        axes.axhline(threshold, color=LIMIT, linewidth=1.2, label=format_value(threshold, series.unit))
    if when is not None:
        _mark(axes, series, when, outlook.at)
    _label(axes, series)
    axes.legend(loc="upper left", fontsize=7, ncols=2)
    return figure


def plot_capacity(found: Capacity, *, at: datetime) -> "Figure":
    """The worst hours of the past days, their fan up to 90 days ahead, the threshold, and when it is reached."""
    figure = figure_of()
    axes = figure.add_subplot()
    past = _days([at - timedelta(days=back) for back in reversed(range(len(found.peaks)))])
    days = _days([at + timedelta(days=day) for day in range(1, len(found.fan) + 1)])
    axes.plot(past, found.peaks, color=INK, linewidth=1.2, label="worst hour of the day")
    axes.fill_between(
        days, found.fan[:, 0], found.fan[:, 2], color=FAN, alpha=0.25, label="as days go, P10 to P90"
    )
    axes.plot(days, found.fan[:, 1], color=FAN, label="as days go, P50")
    axes.axhline(found.breach.threshold, color=LIMIT, label="threshold")
    axes.set_title(found.series.name, loc="left", fontsize=10)
    if found.runs_out is not None:
        _mark(axes, found.series, found.runs_out, at)
    _label(axes, found.series)
    axes.legend(loc="upper left", fontsize=7)
    return figure


def _mark(axes: "Axes", series: Series, when: TimeRange, at: datetime) -> None:
    """The range on the time axis, and what happens then as the title."""
    early, middle, late = (float(day) for day in _days([when.p10, when.p50, when.p90]))
    axes.axvspan(early, late, ymax=0.04, color=LIMIT, alpha=0.6)
    axes.axvline(middle, color=LIMIT, linewidth=0.8, linestyle=":")
    happens = what_happens(series, upward=is_upward(series))
    axes.set_title(f"{happens} {format_when(when, at)}", loc="left", fontsize=10)


def _label(axes: "Axes", series: Series) -> None:
    """Dates below, and values beside as people read them, bytes at even steps of theirs."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    axes.xaxis_date()
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_value(value, series.unit)))
    low, high = axes.get_ylim()
    if series.unit == "bytes" and high > low:
        axes.yaxis.set_major_locator(MultipleLocator(2.0 ** math.ceil(math.log2((high - low) / TICKS))))


def save(figure: "Figure", path: Path) -> Path:
    """Write a plot; the suffix decides the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path
