"""What of a history is not over yet, and so may not count as normal: a far excursion at its very end.

A first model is often learned while something breaks, and an incident that counts as normal hides itself, for the tail
of the scores is then made of it. What strayed as far and came back is part of life, and stays: leaving that
out as well made half as many false alarms again on simulated fleets. So does what strays as far on many days.
"""

import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from core.durations import DAY_S

#: Spreads that no ordinary noise reaches, and those at which an excursion that goes that far begins.
FAR, NEAR = 8.0, 3.0
#: On so many days an excursion is still no habit, or on this share of the days, if that is more.
FEW_DAYS, FEW_SHARE = 2, 0.1


def unfinished_excursion(residual: FloatArray, times_s: IntArray) -> BoolArray:
    """Which values belong to an excursion that has not ended, the like of which came on a few days only.

    Args:
        residual: deviations in spreads, signed, one row in order of time; NaN = missing.
        times_s: their epoch seconds, rising.
    Returns:
        Shape of `residual`; all from the first value beyond `NEAR` that leads to one beyond `FAR` without a return.
    """
    marked = np.zeros(residual.shape, dtype=np.bool_)
    days = times_s // DAY_S
    known = np.isfinite(residual)
    few = max(FEW_DAYS, FEW_SHARE * np.unique(days[known]).size)
    for side in (residual, -residual):
        beyond = np.where(known, side, 0.0)
        # A missing value ends nothing.
        returned = np.flatnonzero(known & (beyond <= NEAR))
        start = int(returned[-1]) + 1 if returned.size else 0
        far = beyond > FAR
        if far[start:].any() and np.unique(days[far]).size <= few:
            marked[start:] = True
    return marked
