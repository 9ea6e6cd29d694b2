"""The types of NumPy arrays that the code exchanges."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
#: What XGBoost reads.
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
