"""Turns the margin of a model into a calibrated probability: of moments at 30 %, 30 % are followed by a failure."""

from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression

from core.arrays import FloatArray

#: Beyond the outermost blocks the curve goes this share of the way to 0 or 1 over this distance of the margin, so that
#: the order of moments is kept.
END_SHARE, END_MARGIN = 0.02, 20.0


@dataclass(frozen=True)
class Calibrator:
    """A strictly rising curve from margin (log-odds) to probability, so that different margins stay different."""

    margins: FloatArray
    probabilities: FloatArray

    def __call__(self, margins: FloatArray) -> FloatArray:
        """Probabilities in [0, 1], same shape as `margins`."""
        return np.asarray(np.interp(margins, self.margins, self.probabilities))


def fit_calibrator(margins: FloatArray, happened: FloatArray) -> Calibrator:
    """Fit a centred isotonic regression on margins of held-out moments.

    Plain isotonic regression is flat over each of its blocks. Moments that the model distinguishes become equal, and
    alarms begin in groups. Here the value of each block holds at its centre, with straight lines between the centres.
    No probability reaches 0 or 1: the lowest is the smallest that the rule of succession gives for any number of the
    lowest moments, and the highest is found likewise.

    Args:
        margins: log-odds of each moment.
        happened: 1 where the failure came, else 0.

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
    x = np.concatenate([[centres[0] - END_MARGIN], centres, [centres[-1] + END_MARGIN]])
    y = np.concatenate([[values[0] * (1 - END_SHARE)], values, [values[-1] + END_SHARE * (1 - values[-1])]])
    return Calibrator(x, y)


def _succession(happened: FloatArray) -> FloatArray:
    """Share of failures among the first, the first two, ... moments, with Jeffreys' prior."""
    return np.asarray((np.cumsum(happened) + 0.5) / np.arange(2, len(happened) + 2))


def calibration_error(probabilities: FloatArray, happened: FloatArray, bins: int = 10) -> float:
    """Expected calibration error over bins of equal width: mean |predicted - observed|, weighted by moments.

    Args:
        probabilities: in [0, 1].
        happened: 1 where the failure came, else 0.
        bins: number of bins.
    Returns:
        In [0, 1], 0 is perfect; NaN without moments.

    References:
        Naeini, M. P., Cooper, G. F., Hauskrecht, M. (2015). Obtaining well calibrated probabilities using Bayesian
        binning. AAAI.
    """
    table = reliability(probabilities, happened, bins)
    total = table[:, 2].sum()
    return float(np.sum(np.abs(table[:, 0] - table[:, 1]) * table[:, 2]) / total) if total else float("nan")


def reliability(probabilities: FloatArray, happened: FloatArray, bins: int = 10) -> FloatArray:
    """The reliability diagram: rows of (mean predicted, observed share, count), one for each bin with moments."""
    index = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    count = np.bincount(index, minlength=bins).astype(np.float64)
    predicted = np.bincount(index, probabilities, minlength=bins)
    true = np.bincount(index, happened, minlength=bins)
    kept = count > 0
    return np.column_stack([predicted[kept] / count[kept], true[kept] / count[kept], count[kept]])
