"""What a failure model does, as pictures: reliability, and SHAP values from above, of one moment, of one feature."""

import io
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from models.failure import FailureBundle
from models.failure.calibration import Floats
from models.failure.evaluation import features_of
from models.failure.reasons import BASE, REST, factors_of
from pipelines.plots.breach_and_capacity import figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Features told by name; rows in a picture.
TOP, ROWS = 15, 1_500
MORE, LESS = "#c23030", "#2f6db5"


def failure_plots(bundle: FailureBundle, frame: pl.DataFrame, *, seed: int = 0) -> dict[str, bytes]:
    """All pictures as PNG: "plots/reliability.png" and so on; none where nothing was learned.

    Args:
        frame: moments with the bundle's features; some of them are drawn, and the riskiest one told in full.
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


def explained(bundle: FailureBundle, frame: pl.DataFrame, *, seed: int = 0) -> tuple[np.ndarray, Floats]:
    """Features and SHAP values (log-odds, the bias last) of at most `ROWS` moments, drawn by chance."""
    drawn = frame.sample(min(ROWS, frame.height), seed=seed, shuffle=True)
    x = features_of(bundle.names, drawn)
    return x, bundle.contributions(x)


def plot_reliability(bundle: FailureBundle) -> "Figure":
    """Said against happened for each horizon, on moments held out from the model and from its calibration."""
    figure = figure_of((6, 5))
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":", label="as said")
    for horizon_s, rows in sorted(bundle.parts.reliability.items()):
        said, happened, count = np.array(rows).T
        axes.plot(said, happened, linewidth=1, label=f"within {horizon_s // 3600} h")
        axes.scatter(said, happened, s=4 + 60 * np.sqrt(count / count.max()))
    axes.set(xlabel="probability that was said", ylabel="share that failed", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left", fontsize=7)
    return figure


def plot_beeswarm(bundle: FailureBundle, x: np.ndarray, values: Floats) -> "Figure":
    """What each of the strongest features adds to the log-odds, a dot a moment; red where its value is high."""
    figure = figure_of((9, 6))
    axes = figure.add_subplot()
    order = np.argsort(-np.abs(values[:, :-1]).mean(axis=0), kind="stable")[:TOP][::-1]
    rng = np.random.default_rng(0)
    for place, column in enumerate(order):
        added, value = values[:, column], x[:, column]
        rank = np.argsort(np.argsort(np.nan_to_num(value, nan=np.nanmin(value) if len(value) else 0.0)))
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


def plot_waterfall(bundle: FailureBundle, x: np.ndarray, values: Floats) -> "Figure":
    """From the base rate to the log-odds of one moment, reason by reason, in words.

    Args:
        x, values: one row of each.
    """
    figure = figure_of((10, 5))
    axes = figure.add_subplot()
    factors = factors_of(bundle.names, x, values[:-1], float(values[-1]), top=10)
    steps = [one for one in factors if one.name == BASE] + [one for one in factors if one.name == REST]
    steps += sorted(
        (one for one in factors if one.name not in (BASE, REST)), key=lambda one: abs(one.contribution)
    )
    ends = np.cumsum([one.contribution for one in steps])
    for place, (one, end) in enumerate(zip(steps, ends, strict=True)):
        colour = MORE if one.contribution >= 0 else LESS
        axes.barh(place, one.contribution, left=end - one.contribution, color=colour)
    axes.set_yticks(range(len(steps)), [one.text for one in steps], fontsize=8)
    axes.axvline(float(ends[-1]), color="grey", linewidth=0.8, linestyle=":")
    axes.set_xlabel(f"log-odds of a failure within {bundle.parts.alert_horizon_s // 3600} h: {ends[-1]:+.2f}")
    return figure


def plot_dependence(bundle: FailureBundle, x: np.ndarray, values: Floats, name: str) -> "Figure":
    """What one feature adds to the log-odds, by its value; coloured by the feature that changes this most."""
    figure = figure_of((8, 5))
    axes: Axes = figure.add_subplot()
    column = bundle.names.index(name)
    other = _partner(x, values[:, :-1], column)
    dots = axes.scatter(x[:, column], values[:, column], c=x[:, other], cmap="coolwarm", s=7, linewidths=0)
    figure.colorbar(dots, ax=axes, label=bundle.names[other])
    axes.axhline(0, color="grey", linewidth=0.8)
    axes.set(xlabel=name, ylabel=_adds(bundle))
    return figure


def _partner(x: np.ndarray, values: Floats, column: int) -> int:
    """The strong feature that goes most with what the dependence on `column` alone leaves open."""
    order = np.argsort(x[:, column], kind="stable")
    width = max(5, len(x) // 30)
    smooth = np.convolve(values[order, column], np.ones(width) / width, mode="same")
    left = values[order, column] - smooth
    candidates = [int(c) for c in np.argsort(-np.abs(values).mean(axis=0))[: TOP + 1] if c != column]

    def goes_with(candidate: int) -> float:
        other = np.nan_to_num(x[order, candidate])
        return float(abs(np.corrcoef(left, other)[0, 1])) if np.ptp(other) > 0 and np.ptp(left) > 0 else 0.0

    return max(candidates, key=goes_with, default=column)


def _adds(bundle: FailureBundle) -> str:
    return f"adds to the log-odds of a failure within {bundle.parts.alert_horizon_s // 3600} h"


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()
