"""From a raw score of any scale to a p-value that means the same for every series and detector.

The p-value of a score is the share of normal scores that are at least as high (split conformal). Beyond the highest
score of the history, this share would stay at 1/(n+1). There it is continued by an exponential tail, which is fitted to
the highest scores.

References:
    Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World (conformal p-values).
    Laxhammar (2014), Conformal anomaly detection. Siffer et al. (2017), Anomaly detection in streams with
    extreme value theory, KDD (the tail).
"""

from dataclasses import dataclass

import numpy as np

from core.arrays import FloatArray
from core.errors import InsufficientDataError

#: Shares of normal scores at or above each knot. Between the knots, log p is interpolated.
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
#: The largest -log10 p. Beyond it, p would not be a float above 0.
MOST = 300.0
#: The steepest tail of a score that counts standard deviations, in -log10 p per standard deviation: that of a normal
#: distribution at 23 standard deviations. If all scores of a history are equal, nothing else bounds the slope.
STEEPEST = 10.0


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
        with np.errstate(over="ignore"):  # `MOST` bounds the result
            beyond = np.maximum(scores - self.knots[-1], 0.0) * self.slope
        result: FloatArray = np.where(np.isnan(scores), np.nan, np.minimum(inside + beyond, MOST))
        return result

    def p_value(self, scores: FloatArray) -> FloatArray:
        """Range (0, 1]; NaN stays NaN."""
        result: FloatArray = 10.0 ** -self.surprise_of(scores)
        return result


def calibrate(normal: FloatArray, *, max_slope: float = np.inf) -> Calibration:
    """Learn the distribution of the scores of normal values.

    Args:
        normal: scores, shape (n,); NaN is left out.
        max_slope: the steepest rise of -log10 p per unit of score beyond the highest score, > 0.
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
    # Equal scores share the largest p among them. So a constant history alone makes no score look rare.
    knots, first = np.unique(knots, return_index=True)
    surprise = -np.log10(levels[first])
    top = known[int((1 - TAIL) * n) :]
    excess = float(np.mean(top - top[0]))
    floor = 1e-3 * (float(known[-1] - known[0]) + abs(float(known[-1])))
    least = max(excess, floor, float(np.finfo(np.float64).tiny))
    return Calibration(knots, surprise, min(1.0 / (np.log(10.0) * least), max_slope))


def score_of(surprise: FloatArray) -> FloatArray:
    """-log10 p as a score in [0, 1): p = 1 gives 0, and p = 0.0001 gives a half."""
    score: FloatArray = surprise / (surprise + HALF)
    return score
