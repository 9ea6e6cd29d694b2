"""Plot a predicted breach and a capacity plan.

Matplotlib is imported only when a plot is drawn, because serving and the flows run without it.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.arrays import FloatArray
from core.domain import Series, TimeRange
from core.durations import DAY_S
from core.errors import ConfigurationError
from core.formatting import format_value, format_when
from models.breach.capacity import Capacity
from models.breach.outlook import BreachOutlook
from models.forecast.bundle import Prediction
from models.forecast.protocols import History
from models.series.magnitude import exponents_of, scaled_number, to_ordinary
from models.series.thresholds import breach_threshold_of
from models.words.breach import what_happens

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Days of history in the plot of a breach.
SHOWN_DAYS = 3
#: Values on the y axis, at most.
TICKS = 8
#: Colours of the history, the forecast band, the simulated paths and the threshold.
INK, BAND, FAN, LIMIT = "#1f2933", "#9fb3c8", "#d9822b", "#c23030"


def figure_of(inches: tuple[float, float] = (9, 4)) -> "Figure":
    """Make an empty figure without a window.

    Raises:
        ConfigurationError: Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigurationError("plots need matplotlib; run `pip install matplotlib`") from None
    # Without pyplot: no window, no global state, safe in any thread.
    return Figure(figsize=inches, layout="constrained")


@dataclass(frozen=True, slots=True)
class _Scale:
    """Draws huge and tiny values as multiples of a power of two, because Matplotlib subtracts and divides them.

    Attributes:
        exponent: values are drawn in units of 2**exponent; 0 for values of ordinary size.
    """

    exponent: int

    @classmethod
    def of(cls, *drawn: FloatArray) -> "_Scale":
        """The scale for all of these values."""
        return cls(int(exponents_of(np.concatenate(drawn)[None, :])[0]))

    def drawn(self, values: FloatArray) -> FloatArray:
        """The values as they are drawn."""
        return to_ordinary(values, self.exponent)

    def drawn_number(self, value: float) -> float:
        """One value as it is drawn."""
        return float(to_ordinary(np.array(value), self.exponent))

    def value(self, drawn: float) -> float:
        """The value at a place of the axis."""
        return scaled_number(drawn, self.exponent)


def days_of(moments: Sequence[datetime]) -> FloatArray:
    """Times in the unit of Matplotlib, days since 1970."""
    return np.array([moment.timestamp() / DAY_S for moment in moments])


def plot_breach(
    series: Series, history: History, prediction: Prediction, outlook: BreachOutlook, when: TimeRange | None
) -> "Figure":
    """Plot the history, the forecast band, the simulated paths, the threshold and the time range of the breach.

    Args:
        when: the range of the signal; null: no breach is predicted. It may differ from the simulated paths, because
            a breach that follows from another series is not part of them.
    """
    figure = figure_of()
    axes = figure.add_subplot()
    shown = min(len(history), SHOWN_DAYS * DAY_S // history.step_s)
    past = days_of([history.end - timedelta(seconds=history.step_s * back) for back in range(shown, 0, -1)])
    ahead = days_of(prediction.times())
    measured = history.in_unit(history.values[-shown:])
    scale = _Scale.of(measured, prediction.yhat)
    axes.plot(past, scale.drawn(measured), color=INK, linewidth=1.2, label="measured")
    axes.plot(ahead, scale.drawn(prediction.yhat), color=INK, linewidth=1.2, linestyle="--", label="forecast")
    for level, alpha in ((0.95, 0.35), (0.8, 0.6)):
        low, high = (scale.drawn(edge[level]) for edge in (prediction.lower, prediction.upper))
        axes.fill_between(ahead, low, high, color=BAND, alpha=alpha, label=f"{level:.0%}".replace("%", " %"))
    fan = np.percentile(scale.drawn(outlook.paths()), [10, 50, 90], axis=0)
    path_days = days_of([moment + (outlook.at - history.end) for moment in prediction.times()])
    axes.plot(path_days, fan[1], color=FAN, linewidth=1.5, label="simulated, P50")
    axes.fill_between(path_days, fan[0], fan[2], color=FAN, alpha=0.25, label="simulated, P10 to P90")
    threshold = breach_threshold_of(series)
    if threshold is not None:
        label = format_value(threshold, series.unit)
        axes.axhline(scale.drawn_number(threshold), color=LIMIT, linewidth=1.2, label=label)
    if when is not None:
        _mark(axes, series, when, outlook.at)
    _label(axes, series, scale)
    axes.legend(loc="upper left", fontsize=7, ncols=2)
    return figure


def plot_capacity(resource: Capacity, *, at: datetime) -> "Figure":
    """Plot the worst hour of each past day, its projection, the threshold and the time range in which it is reached."""
    figure = figure_of()
    axes = figure.add_subplot()
    past = days_of([at - timedelta(days=back) for back in reversed(range(len(resource.peaks)))])
    days = days_of([at + timedelta(days=day) for day in range(1, len(resource.fan) + 1)])
    scale = _Scale.of(resource.peaks)
    fan = scale.drawn(resource.fan)
    axes.plot(past, scale.drawn(resource.peaks), color=INK, linewidth=1.2, label="worst hour of the day")
    axes.fill_between(days, fan[:, 0], fan[:, 2], color=FAN, alpha=0.25, label="projection, P10 to P90")
    axes.plot(days, fan[:, 1], color=FAN, label="projection, P50")
    axes.axhline(scale.drawn_number(resource.breach.threshold), color=LIMIT, label="threshold")
    axes.set_title(resource.series.name, loc="left", fontsize=10)
    if resource.runs_out is not None:
        _mark(axes, resource.series, resource.runs_out, at)
    _label(axes, resource.series, scale)
    axes.legend(loc="upper left", fontsize=7)
    return figure


def _mark(axes: "Axes", series: Series, when: TimeRange, at: datetime) -> None:
    """Mark the time range on the x axis, and describe the breach in the title."""
    early, middle, late = (float(day) for day in days_of([when.p10, when.p50, when.p90]))
    axes.axvspan(early, late, ymax=0.04, color=LIMIT, alpha=0.6)
    axes.axvline(middle, color=LIMIT, linewidth=0.8, linestyle=":")
    happens = what_happens(series)
    axes.set_title(f"{happens} {format_when(when, at)}", loc="left", fontsize=10)


def _label(axes: "Axes", series: Series, scale: _Scale) -> None:
    """Format the axes: dates, and values with their unit; ticks of bytes are powers of two apart."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    axes.xaxis_date()
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: format_value(scale.value(value), series.unit))
    )
    low, high = axes.get_ylim()
    if series.unit == "bytes" and high > low:
        axes.yaxis.set_major_locator(MultipleLocator(2.0 ** math.ceil(math.log2((high - low) / TICKS))))


def save(figure: "Figure", path: Path) -> Path:
    """Write a plot, whole or not at all; the suffix of the file sets the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    try:
        figure.savefig(unfinished, dpi=110)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path
