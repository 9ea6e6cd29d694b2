"""What of a history was trouble, where nobody said so: far excursions that came on a day or two only.

A first model is often learned while something breaks, and a trouble that counts as normal hides itself: the tail
of the scores would be made of it. What strays as far on more days is a habit of the series, and stays.
"""

import numpy as np

from models.grid import DAY_S, BoolArray, FloatArray, IntArray

#: Spreads that no ordinary noise reaches, and those at which an excursion that goes that far begins and ends.
FAR, NEAR = 8.0, 3.0
#: On so many days an excursion is still no habit, or on this share of the days, if that is more.
FEW_DAYS, FEW_SHARE = 2, 0.1


def isolated_excursions(residual: FloatArray, times_s: IntArray) -> BoolArray:
    """Which values belong to an excursion the like of which came on a few days only.

    Args:
        residual: deviations in spreads, signed, one row in order of time; NaN = missing.
        times_s: their epoch seconds, rising.
    Returns:
        Shape of `residual`; an excursion holds all values beyond `NEAR` on one side around one beyond `FAR`.
    """
    marked = np.zeros(residual.shape, dtype=np.bool_)
    days = times_s // DAY_S
    known = np.isfinite(residual)
    few = max(FEW_DAYS, FEW_SHARE * np.unique(days[known]).size)
    for side in (residual, -residual):
        beyond = np.where(known, side, 0.0)
        far = beyond > FAR
        if not 0 < np.unique(days[far]).size <= few:
            continue
        near = beyond > NEAR
        # A missing value interrupts nothing.
        near |= ~known
        edges = np.flatnonzero(np.diff(near.astype(np.int8), prepend=0, append=0))
        for start, end in edges.reshape(-1, 2):
            if far[start:end].any():
                marked[start:end] = True
    return marked
