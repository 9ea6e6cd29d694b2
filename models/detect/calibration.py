"""From a raw score of any scale to a p-value that means the same for every series and detector.

The p-value of a score is the share of normal scores at least as high (split conformal). Beyond the scores
seen, where that share would stay at 1/(n+1), an exponential tail fitted to the highest of them goes on.

References:
    Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World (conformal p-values).
    Laxhammar (2014), Conformal anomaly detection. Siffer et al. (2017), Anomaly detection in streams with
    extreme value theory, KDD (the tail).
"""

from dataclasses import dataclass

import numpy as np

from core.arrays import FloatArray
from core.errors import InsufficientDataError

#: Shares of normal scores at or above a knot. Between knots log p is interpolated.
LEVELS = np.array(
    [
        1.0,
        0.9,
        0.8,
        0.7,
        0.6,
        0.5,
        0.4,
        0.3,
        0.2,
        0.15,
        0.1,
        0.07,
        0.05,
        0.03,
        0.02,
        0.01,
        0.005,
        0.002,
        0.001,
        0.0005,
    ]
)
#: The tail is fitted to the scores above this share, and starts at the rarest level with 5 scores above it.
TAIL = 0.05
MIN_SCORES = 20
#: -log10 p at which the score is a half: one in ten thousand.
HALF = 4.0
#: -log10 p goes no further: beyond, p would no longer be a number above 0.
MOST = 300.0


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A distribution of normal scores in constant memory.

    Attributes:
        knots: scores at `LEVELS`, rising, float64.
        surprise: -log10 p at the knots, rising.
        slope: rise of -log10 p per unit of score beyond the last knot.
    """

    knots: FloatArray
    surprise: FloatArray
    slope: float

    def surprise_of(self, scores: FloatArray) -> FloatArray:
        """-log10 p of raw scores, 0 to 300; NaN stays NaN."""
        inside = np.interp(scores, self.knots, self.surprise)
        with np.errstate(over="ignore"):  # a constant history makes the slope steep; the end is held at MOST
            beyond = np.maximum(scores - self.knots[-1], 0.0) * self.slope
        result: FloatArray = np.where(np.isnan(scores), np.nan, np.minimum(inside + beyond, MOST))
        return result

    def p_value(self, scores: FloatArray) -> FloatArray:
        """Range (0, 1]; NaN stays NaN."""
        result: FloatArray = 10.0 ** -self.surprise_of(scores)
        return result


def calibrate(normal: FloatArray) -> Calibration:
    """Learn the distribution of scores of normal values; NaN is left out.

    Raises:
        InsufficientDataError: fewer than 20 scores.
    """
    known = np.sort(normal[np.isfinite(normal)])
    n = known.size
    if n < MIN_SCORES:
        raise InsufficientDataError(f"calibration needs {MIN_SCORES} scores, got {n}")
    levels = LEVELS[LEVELS * n >= 5]
    # The rank counts the new score itself among the n + 1, hence never p = 0.
    knots = known[np.clip(np.ceil((1 - levels) * (n + 1)).astype(int) - 1, 0, n - 1)]
    # Equal scores share the largest p among them: a constant history never makes anything look rare by
    # itself.
    knots, first = np.unique(knots, return_index=True)
    surprise = -np.log10(levels[first])
    top = known[int((1 - TAIL) * n) :]
    excess = float(np.mean(top - top[0]))
    floor = 1e-3 * (float(known[-1] - known[0]) + abs(float(known[-1])) + 1e-12)
    return Calibration(knots, surprise, 1.0 / (np.log(10.0) * max(excess, floor)))


def score_of(surprise: FloatArray) -> FloatArray:
    """-log10 p as a score in [0, 1): p = 1 is 0, p = 0.0001 is a half, and it never saturates."""
    score: FloatArray = surprise / (surprise + HALF)
    return score
