"""From a model's margin to a probability that means what it says."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Calibrator:
    """A never falling step-free curve from margin (log-odds) to probability; outside its knots it is flat."""

    margins: Floats
    probabilities: Floats

    def __call__(self, margins: Floats) -> Floats:
        """Probabilities in [0, 1], same shape as `margins`."""
        return np.asarray(np.interp(margins, self.margins, self.probabilities))


def fit_calibrator(margins: Floats, happened: Floats) -> Calibrator:
    """Isotonic regression on margins of held-out moments.

    The ends are drawn in by the rule of succession, so that nothing is ever surely so or surely not so.

    References:
        Zadrozny, B., Elkan, C. (2002). Transforming classifier scores into accurate multiclass probability
        estimates. KDD.
    """
    fitted = IsotonicRegression(out_of_bounds="clip").fit(margins, happened)
    x = np.asarray(fitted.X_thresholds_, dtype=np.float64)
    y = np.asarray(fitted.y_thresholds_, dtype=np.float64)
    low, high = _ends(margins, happened, x, y)
    return Calibrator(x, np.clip(y, low, high))


def _ends(margins: Floats, happened: Floats, x: Floats, y: Floats) -> tuple[float, float]:
    at_bottom = int(np.sum(margins <= x[y <= y[0]].max()))
    at_top = int(np.sum(margins >= x[y >= y[-1]].min()))
    low = (y[0] * at_bottom + 0.5) / (at_bottom + 1)
    high = (y[-1] * at_top + 0.5) / (at_top + 1)
    return min(low, float(happened.mean())), max(high, float(happened.mean()))


def calibration_error(probabilities: Floats, happened: Floats, bins: int = 10) -> float:
    """Expected calibration error over bins of equal width: mean |said - happened|, weighted by moments.

    References:
        Naeini, M. P., Cooper, G. F., Hauskrecht, M. (2015). Obtaining well calibrated probabilities using Bayesian
        binning. AAAI.
    """
    table = reliability(probabilities, happened, bins)
    total = table[:, 2].sum()
    return float(np.sum(np.abs(table[:, 0] - table[:, 1]) * table[:, 2]) / total) if total else float("nan")


def reliability(probabilities: Floats, happened: Floats, bins: int = 10) -> Floats:
    """The reliability diagram: rows of (mean said, share that happened, count), one for each bin with moments."""
    index = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    count = np.bincount(index, minlength=bins).astype(np.float64)
    said = np.bincount(index, probabilities, minlength=bins)
    true = np.bincount(index, happened, minlength=bins)
    kept = count > 0
    return np.column_stack([said[kept] / count[kept], true[kept] / count[kept], count[kept]])
