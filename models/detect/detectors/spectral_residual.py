"""Spectral residual: what stands out of the average spectrum of the last values, as the eye sees it.

Each value is judged by a transform of it and the values before it alone, so no later value is ever looked at.

References:
    Ren et al. (2019), Time-series anomaly detection service at Microsoft, KDD (section 3.2; the window is extended
    by their estimated points). Hou and Zhang (2007), Saliency detection: a spectral residual approach, CVPR.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from core.arrays import FloatArray
from models.detect.protocols import Arrays, require_points

#: Values that the transform sees.
WINDOW = 64
#: The paper's: width of the mean over the log spectrum, points that the window is extended by.
SPECTRUM_MEAN = 3
EXTENDED = 5
_CHUNK = 4096


@dataclass(frozen=True, slots=True, eq=False)
class FittedSpectralResidual:
    """The values that the next transform still sees."""

    recent: FloatArray

    def score(self, values: FloatArray) -> FloatArray:
        """Saliency of each value over the mean of the window's, less 1; range [-1, inf)."""
        known = np.concatenate([self.recent, values])
        last = np.maximum.accumulate(np.where(np.isnan(known), 0, np.arange(known.size)))
        filled = known[last]
        windows = (
            np.lib.stride_tricks.sliding_window_view(filled, WINDOW)[-values.size :] if values.size else None
        )
        scores = np.full(values.size, np.nan)
        if windows is not None:
            for first in range(0, values.size, _CHUNK):
                scores[first : first + _CHUNK] = _saliency(windows[first : first + _CHUNK])
        scores[np.isnan(values)] = np.nan
        return scores

    def update(self, values: FloatArray) -> "FittedSpectralResidual":
        known = np.concatenate([self.recent, values[np.isfinite(values)]])
        return FittedSpectralResidual(known[known.size - WINDOW :])

    def to_arrays(self) -> Arrays:
        return {"recent": self.recent}


def _saliency(windows: FloatArray) -> FloatArray:
    """How much the last value of each window stands out, (n,)."""
    # Where the course before the value was going: the value itself must not bend what it is held against.
    before = windows[:, -EXTENDED - 2 : -1]
    gradient = (before[:, -1:] - before[:, :-1]) / np.arange(EXTENDED, 0, -1)
    estimate = before[:, 1] + gradient.mean(axis=1) * EXTENDED
    extended = np.concatenate([windows, np.repeat(estimate[:, None], EXTENDED, axis=1)], axis=1)
    spectrum = np.fft.fft(extended, axis=1)
    amplitude = np.abs(spectrum)
    log = np.log(np.maximum(amplitude, 1e-12))
    sums = np.cumsum(np.pad(log, ((0, 0), (SPECTRUM_MEAN, 0)), mode="edge"), axis=1)
    mean = (sums[:, SPECTRUM_MEAN:] - sums[:, :-SPECTRUM_MEAN]) / SPECTRUM_MEAN
    phase = spectrum / np.maximum(amplitude, 1e-12)
    saliency = np.abs(np.fft.ifft(np.exp(log - mean) * phase, axis=1))[:, : windows.shape[1]]
    usual = saliency[:, :-1].mean(axis=1)
    result: FloatArray = (saliency[:, -1] - usual) / np.maximum(usual, 1e-9)
    return result


@dataclass(frozen=True, slots=True)
class SpectralResidual:
    """Needs no more history than its window."""

    name: ClassVar[str] = "spectral_residual"
    min_points: ClassVar[int] = WINDOW

    def fit(self, values: FloatArray) -> FittedSpectralResidual:
        """See `models.detect.protocols.Detector.fit`."""
        return FittedSpectralResidual(require_points(values, self.min_points, self.name)[-WINDOW:])

    def from_arrays(self, arrays: Arrays) -> FittedSpectralResidual:
        return FittedSpectralResidual(arrays["recent"])
