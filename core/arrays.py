"""The types of NumPy arrays that the code exchanges, and how to repeat one."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
#: What XGBoost reads.
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def repeated(values: FloatArray, count: int) -> FloatArray:
    """The values again and again until there are `count`, as `np.resize`, which takes ten times as long.

    Examples:
        >>> repeated(np.array([1.0, 2.0, 3.0]), 5).tolist()
        [1.0, 2.0, 3.0, 1.0, 2.0]
    """
    return np.take(values, np.arange(count) % len(values))
