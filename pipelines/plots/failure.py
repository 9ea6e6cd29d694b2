"""Plots of a failure model: its reliability, and SHAP values of all moments, of one moment and of one feature."""

import io
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from core.arrays import FloatArray
from models.failure import FailureBundle
from models.failure.evaluation import features_of
from models.failure.reasons import factors_of
from models.words.failure import BASE_RATE, OTHER_FEATURES
from pipelines.plots.breach_and_capacity import figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Features with a row of their own, and moments in a plot.
TOP, ROWS = 15, 1_500
#: Colours of what raises and of what lowers the risk.
MORE, LESS = "#c23030", "#2f6db5"


def failure_plots(bundle: FailureBundle, frame: pl.DataFrame, *, seed: int = 0) -> dict[str, bytes]:
    """Draw all plots.

    Args:
        frame: moments with the features of the bundle. A sample of them is drawn; the waterfall explains the riskiest.
    Returns:
        name -> PNG, such as "plots/reliability.png"; empty if the bundle has no model.
    """
    if not bundle.parts.boosters or frame.is_empty():
        return {}
    x, values = explained(bundle, frame, seed=seed)
    strongest = int(np.abs(values[:, :-1]).mean(axis=0).argmax())
    riskiest = int(values.sum(axis=1).argmax())
    figures = {
        "reliability": plot_reliability(bundle),
        "beeswarm": plot_beeswarm(bundle, x, values),
        "waterfall": plot_waterfall(bundle, x[riskiest], values[riskiest]),
        "dependence": plot_dependence(bundle, x, values, bundle.names[strongest]),
    }
    return {f"plots/{name}.png": _png(figure) for name, figure in figures.items()}


def explained(bundle: FailureBundle, frame: pl.DataFrame, *, seed: int = 0) -> tuple[np.ndarray, FloatArray]:
    """Features and SHAP values (log-odds, the bias last) of a random sample of at most `ROWS` moments."""
    drawn = frame.sample(min(ROWS, frame.height), seed=seed, shuffle=True)
    x = features_of(bundle.names, drawn)
    return x, bundle.contributions(x)


def plot_reliability(bundle: FailureBundle) -> "Figure":
    """Plot predicted against observed probability for each horizon, on moments held out from fit and calibration."""
    figure = figure_of((6, 5))
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":", label="perfect")
    for horizon_s, rows in sorted(bundle.parts.reliability.items()):
        predicted, observed, count = np.array(rows).T
        axes.plot(predicted, observed, linewidth=1, label=f"within {horizon_s // 3600} h")
        axes.scatter(predicted, observed, s=4 + 60 * np.sqrt(count / count.max()))
    axes.set(xlabel="predicted probability", ylabel="share that failed", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left", fontsize=7)
    return figure


def plot_beeswarm(bundle: FailureBundle, x: np.ndarray, values: FloatArray) -> "Figure":
    """Plot what each of the strongest features adds to the log-odds: one dot a moment, red where its value is high."""
    figure = figure_of((9, 6))
    axes = figure.add_subplot()
    order = np.argsort(-np.abs(values[:, :-1]).mean(axis=0), kind="stable")[:TOP][::-1]
    rng = np.random.default_rng(0)
    for place, column in enumerate(order):
        added, value = values[:, column], x[:, column]
        lowest = np.fmin.reduce(value, initial=np.inf)  # a missing value counts as the lowest
        rank = np.argsort(np.argsort(np.where(np.isnan(value), lowest, value)))
        density = np.histogram(added, 40)[0]
        width = (
            0.38
            * (density[np.digitize(added, np.histogram_bin_edges(added, 40)[1:-1])] / density.max()) ** 0.5
        )
        spread = place + width * rng.uniform(-1, 1, len(added))
        dots = axes.scatter(added, spread, c=rank / max(len(rank) - 1, 1), cmap="coolwarm", s=5, linewidths=0)
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(order)), [bundle.names[column] for column in order], fontsize=8)
    axes.set_xlabel(_adds(bundle))
    figure.colorbar(dots, ax=axes, ticks=[0, 1], label="value of the feature").ax.set_yticklabels(
        ["low", "high"]
    )
    return figure


def plot_waterfall(bundle: FailureBundle, x: np.ndarray, values: FloatArray) -> "Figure":
    """Plot the steps from the base rate to the log-odds of one moment, one bar for each factor.

    Args:
        x, values: features and SHAP values of that moment, one row each.
    """
    figure = figure_of((10, 5))
    axes = figure.add_subplot()
    factors = factors_of(bundle.names, x, values[:-1], float(values[-1]), top=10)
    steps = [one for one in factors if one.name == BASE_RATE] + [
        one for one in factors if one.name == OTHER_FEATURES
    ]
    steps += sorted(
        (one for one in factors if one.name not in (BASE_RATE, OTHER_FEATURES)),
        key=lambda one: abs(one.contribution),
    )
    ends = np.cumsum([one.contribution for one in steps])
    for place, (one, end) in enumerate(zip(steps, ends, strict=True)):
        colour = MORE if one.contribution >= 0 else LESS
        axes.barh(place, one.contribution, left=end - one.contribution, color=colour)
    axes.set_yticks(range(len(steps)), [one.text for one in steps], fontsize=8)
    axes.axvline(float(ends[-1]), color="grey", linewidth=0.8, linestyle=":")
    axes.set_xlabel(
        f"log-odds of a failure within {bundle.parts.alert_horizon_s // 3600} h: {ends[-1]:+z.2f}"
    )
    return figure


def plot_dependence(bundle: FailureBundle, x: np.ndarray, values: FloatArray, name: str) -> "Figure":
    """Plot what one feature adds to the log-odds, by its value; the colour is the feature that interacts most."""
    figure = figure_of((8, 5))
    axes: Axes = figure.add_subplot()
    column = bundle.names.index(name)
    other = _interacting(x, values[:, :-1], column)
    dots = axes.scatter(x[:, column], values[:, column], c=x[:, other], cmap="coolwarm", s=7, linewidths=0)
    figure.colorbar(dots, ax=axes, label=bundle.names[other])
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set(xlabel=name, ylabel=_adds(bundle))
    return figure


def _interacting(x: np.ndarray, values: FloatArray, column: int) -> int:
    """The strong feature that correlates most with the SHAP values of `column` that its own value does not explain."""
    order = np.argsort(x[:, column], kind="stable")
    width = max(5, len(x) // 30)
    smooth = np.convolve(values[order, column], np.ones(width) / width, mode="same")
    unexplained = values[order, column] - smooth
    candidates = [int(c) for c in np.argsort(-np.abs(values).mean(axis=0))[: TOP + 1] if c != column]

    def correlation(candidate: int) -> float:
        other = np.nan_to_num(x[order, candidate])
        return (
            float(abs(np.corrcoef(unexplained, other)[0, 1]))
            if np.ptp(other) > 0 and np.ptp(unexplained) > 0
            else 0.0
        )

    return max(candidates, key=correlation, default=column)


def _adds(bundle: FailureBundle) -> str:
    return f"adds to the log-odds of a failure within {bundle.parts.alert_horizon_s // 3600} h"


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()
