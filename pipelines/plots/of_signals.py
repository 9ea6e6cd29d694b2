"""Plot a predicted breach as it was known at a moment. Plots are drawn from the samples and never stored."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from core.domain import Signal, SignalKind
from core.errors import InputError
from pipelines.common.current_time import current_time
from pipelines.common.forecasters import in_present_sizes, load_forecasters, read_recent
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.plots.breach_and_capacity import plot_breach, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_signal(platform: Platform, signal: Signal, *, at: datetime | None = None) -> "Figure":
    """Plot one breach signal: history, forecast band, simulated paths, threshold and the predicted time range.

    Args:
        at: predict from this moment; null: now, or the start of a signal that has ended.
    Raises:
        InputError: the signal is not about a breach, or its series has no threshold any more.
        UnknownSeriesError: the forecasters do not know its series.
        ModelUnavailableError: no forecaster has been trained yet.
        ConfigurationError: matplotlib is not installed.
    """
    if signal.kind is not SignalKind.BREACH or signal.series_id is None:
        raise InputError(
            f"only breach signals have a plot; signal {signal.signal_id} is of kind {signal.kind}"
        )
    _, bundle = load_forecasters(platform)
    entry = bundle.forecasters.entry(signal.series_id)
    now = at or (current_time(platform) if signal.ended_at is None else signal.started_at)
    bundle = in_present_sizes(platform, bundle, now)
    recent = read_recent(platform, bundle, [signal.series_id], now)[signal.series_id]
    prediction, outlook = bundle.outlook(signal.series_id, recent, now)
    if outlook is None:
        raise InputError(f"{entry.series.name} has no threshold any more")
    when = (signal.breach or outlook.breach).when
    return plot_breach(entry.series, bundle.present(signal.series_id, recent, now), prediction, outlook, when)


def save_plots(
    platform: Platform,
    signals: Sequence[Signal],
    folder: Path,
    *,
    at: datetime | None = None,
    progress: Progress = silent,
) -> list[Path]:
    """Save a PNG for each breach signal, named by the id of the signal.

    Returns:
        the files.
    """
    files: list[Path] = []
    for signal in signals:
        files.append(save(plot_signal(platform, signal, at=at), folder / f"{signal.signal_id}.png"))
        progress("plots", len(files), len(signals))
    return files
