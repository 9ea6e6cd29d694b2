"""From a model's margin to a probability that means what it says."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

Floats = NDArray[np.float64]


#: Beyond the outermost blocks the curve goes this share of the way to 0 or 1 over so much margin: the order stays.
TILT, TILT_OVER = 0.02, 20.0


@dataclass(frozen=True)
class Calibrator:
    """A rising curve from margin (log-odds) to probability: what the model told apart stays apart."""

    margins: Floats
    probabilities: Floats

    def __call__(self, margins: Floats) -> Floats:
        """Probabilities in [0, 1], same shape as `margins`."""
        return np.asarray(np.interp(margins, self.margins, self.probabilities))


def fit_calibrator(margins: Floats, happened: Floats) -> Calibrator:
    """Centred isotonic regression on margins of held-out moments.

    Plain isotonic regression is flat over each of its blocks, so that moments which the model can tell apart become
    equal, and alarms come in lumps; here each block's value holds at its centre, with lines between the centres. The
    ends are drawn in, so that nothing is ever surely so or surely not so: nothing is believed less likely than the rule
    of succession says of the lowest moments, however many of them are taken, nor more likely than of the highest.

    References:
        Zadrozny, B., Elkan, C. (2002). Transforming classifier scores into accurate multiclass probability
        estimates. KDD.
        Oron, A. P., Flournoy, N. (2017). Centered isotonic regression: point and interval estimation for dose-response
        studies. Statistics in Biopharmaceutical Research 9.
    """
    fitted = IsotonicRegression(out_of_bounds="clip").fit_transform(margins, happened)
    ascending = happened[np.argsort(margins, kind="stable")]
    low, high = _succession(ascending).min(), _succession(ascending[::-1]).max()
    # Blocks that are drawn in to the same value are one block.
    values, block = np.unique(np.clip(fitted, low, high), return_inverse=True)
    centres = np.bincount(block, margins) / np.bincount(block)
    x = np.concatenate([[centres[0] - TILT_OVER], centres, [centres[-1] + TILT_OVER]])
    y = np.concatenate([[values[0] * (1 - TILT)], values, [values[-1] + TILT * (1 - values[-1])]])
    return Calibrator(x, y)


def _succession(happened: Floats) -> Floats:
    """The share that happened of the first, the first two, and so on, as if half of one more had (Jeffreys' prior)."""
    return np.asarray((np.cumsum(happened) + 0.5) / np.arange(2, len(happened) + 2))


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
