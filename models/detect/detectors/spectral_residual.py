"""Spectral residual: how far a value stands out of the average spectrum of the last values.

The score of a value depends only on it and on the values before it.

References:
    Ren et al. (2019), Time-series anomaly detection service at Microsoft, KDD (section 3.2; the window is extended
    by their estimated points). Hou and Zhang (2007), Saliency detection: a spectral residual approach, CVPR.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import FloatArray
from models.detect.protocols import Arrays, require_points
from models.series.magnitude import bounded
from models.series.robust import least_spread

#: Number of values that are transformed.
WINDOW = 64
#: From the paper: width of the mean over the log spectrum, and number of points that extend the window.
SPECTRUM_MEAN = 3
EXTENDED = 5
_CHUNK = 4096
#: An amplitude below this share of the largest one is rounding.
_ROUNDING = 2.0**-43


@dataclass(frozen=True, slots=True, eq=False)
class FittedSpectralResidual:
    """The last values.

    Attributes:
        recent: shape (WINDOW,).
        least: amplitudes below this are nothing, shape ().
    """

    recent: FloatArray
    least: FloatArray

    def score(self, values: FloatArray) -> FloatArray:
        """Saliency of each value over the mean of its window, less 1; range [-1, inf)."""
        known = np.concatenate([self.recent, bounded(values)])
        last = np.maximum.accumulate(np.where(np.isnan(known), 0, np.arange(known.size)))
        filled = known[last]
        windows = (
            np.lib.stride_tricks.sliding_window_view(filled, WINDOW)[-values.size :] if values.size else None
        )
        scores = np.full(values.size, np.nan)
        if windows is not None:
            for first in range(0, values.size, _CHUNK):
                scores[first : first + _CHUNK] = _saliency(windows[first : first + _CHUNK], float(self.least))
        scores[np.isnan(values)] = np.nan
        return scores

    def update(self, values: FloatArray) -> "FittedSpectralResidual":
        known = np.concatenate([self.recent, bounded(values[np.isfinite(values)])])
        return FittedSpectralResidual(known[known.size - WINDOW :], self.least)

    def to_arrays(self) -> Arrays:
        return {"recent": self.recent, "least": self.least}


def _saliency(windows: FloatArray, least: float) -> FloatArray:
    """How much the last value of each window stands out, shape (n,)."""
    # The estimate follows the values before the last one, which must not change what it is compared with.
    before = windows[:, -EXTENDED - 2 : -1]
    gradient = (before[:, -1:] - before[:, :-1]) / np.arange(EXTENDED, 0, -1)
    estimate = before[:, 1] + gradient.mean(axis=1) * EXTENDED
    extended = np.concatenate([windows, np.repeat(estimate[:, None], EXTENDED, axis=1)], axis=1)
    spectrum = np.fft.fft(extended, axis=1)
    amplitude = np.abs(spectrum)
    floor = np.maximum(_ROUNDING * amplitude.max(axis=1, keepdims=True), least)
    log = np.log(np.maximum(amplitude, floor))
    sums = np.cumsum(np.pad(log, ((0, 0), (SPECTRUM_MEAN, 0)), mode="edge"), axis=1)
    mean = (sums[:, SPECTRUM_MEAN:] - sums[:, :-SPECTRUM_MEAN]) / SPECTRUM_MEAN
    phase = spectrum / np.maximum(amplitude, floor)
    saliency = np.abs(np.fft.ifft(np.exp(log - mean) * phase, axis=1))[:, : windows.shape[1]]
    usual = saliency[:, :-1].mean(axis=1)
    result: FloatArray = (saliency[:, -1] - usual) / np.maximum(usual, 1e-9)
    return result


@dataclass(frozen=True, slots=True)
class SpectralResidual:
    """It needs no more history than its window.

    Attributes:
        least_spread: see `models.detect.protocols.Detector`.
    """

    least_spread: float = 0.0
    name: ClassVar[str] = "spectral_residual"
    min_points: ClassVar[int] = WINDOW

    def fit(self, values: FloatArray) -> FittedSpectralResidual:
        """See `models.detect.protocols.Detector.fit`."""
        known = require_points(values, self.min_points, self.name)
        least = max(self.least_spread, float(least_spread(known)))
        return FittedSpectralResidual(known[-WINDOW:], np.array(least))

    def from_arrays(self, arrays: Arrays) -> FittedSpectralResidual:
        return FittedSpectralResidual(arrays["recent"], arrays.get("least", np.array(1e-12)))
