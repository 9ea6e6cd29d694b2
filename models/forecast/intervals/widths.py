"""The width of errors: by step ahead, hour of the day, size of the forecast and variability of the series.

Errors are larger at noon than at night, larger at a thousand requests than at ten, and larger in a week of large
changes. Errors divided by their width are comparable, so that all of them can be pooled. Intervals are then narrow
where errors are small. How strongly the width follows size and variability is learned for each series from its own
errors.

References:
    Lei, J. et al. (2018). Distribution-free predictive inference for regression. JASA 113, section 5.2 (locally
    weighted conformal).
    Davidian, M. and Carroll, R. (1987). Variance function estimation. JASA 82 (widths as powers).
    Best, M. J. and Chakravarti, N. (1990). Active set algorithms for isotonic regression. Math. Programming 47.
"""

import math
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from core.arrays import FloatArray, repeated

#: Powers that are tried: 0 = the width does not follow, 1 = it follows in proportion.
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Prior mean and standard deviation of a power: between 0 and the square root.
POWER_EXPECTED, POWER_SPREAD = 0.25, 0.35
#: Below this share of the usual size a forecast counts as zero, and its errors do not shrink further.
LEAST_SIZE = 0.1
#: The width of a phase is shrunk towards that of all phases as if it had so many more errors of usual size.
PHASE_DOUBT = 10.0
#: Phases of a season with a width of their own: the hours of a day.
PHASES = 24
#: Number of the newest seasons that variability is measured on, and the largest ratio to its usual value.
VARIABILITY_SEASONS = 7
MAX_VARIABILITY_RATIO = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PastErrors:
    """The errors of past forecasts, and what is needed to compare them.

    Attributes:
        errors: actual - yhat, (k, horizon); NaN = unknown.
        yhat: the forecasts, of the same shape.
        origins: number of known values at each origin, ascending, length k.
        known: number of values known now.
        size: usual size of the values; NaN if some are below zero, because errors do not grow with such values.
        variability: of the series at each origin, length k; NaN = unknown.
        now: the variability now; NaN = unknown.
    """

    errors: FloatArray
    yhat: FloatArray
    origins: tuple[int, ...]
    known: int
    size: float = float("nan")
    variability: FloatArray = field(default_factory=lambda: np.zeros(0))
    now: float = float("nan")

    def before(self, row: int) -> "PastErrors":
        """The errors that were known at origin `row`."""
        return replace(
            self,
            errors=self.errors[:row],
            yhat=self.yhat[:row],
            origins=self.origins[:row],
            known=self.origins[row],
            variability=self.variability[:row],
            now=float(self.variability[row]) if len(self.variability) else float("nan"),
        )

    def newest(self, count: int) -> "PastErrors":
        """The errors of the newest `count` origins."""
        first = len(self.origins) - count
        return replace(
            self,
            errors=self.errors[first:],
            yhat=self.yhat[first:],
            origins=self.origins[first:],
            variability=self.variability[first:],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """The width of an error.

    Attributes:
        scale: by step ahead, length h, not falling.
        profile: factor by step of the season; the first is for the next value.
        grows: power by which the width follows the size of the forecast, 0 to 1.
        size: the usual size.
        follows: power by which the width follows the variability of the series, 0 to 1.
        calm: the variability when this was learned.
    """

    scale: FloatArray
    profile: FloatArray = field(default_factory=lambda: np.ones(1))
    grows: float = 0.0
    size: float = float("nan")
    follows: float = 0.0
    calm: float = float("nan")

    def at(self, now: float, steps: int = 0) -> "Widths":
        """The widths at another time.

        Args:
            now: the variability then; NaN = unknown, and the width does not change.
            steps: how many steps later; negative = earlier.
        """
        factor = float(relative_variability(now, np.array([self.calm]))[0]) ** self.follows
        return replace(self, scale=self.scale * factor, profile=np.roll(self.profile, -steps))

    def around(self, yhat: FloatArray) -> FloatArray:
        """The width at each step of a forecast; beyond the learned steps it grows like that of a random walk."""
        known, steps = len(self.scale), len(yhat)
        scale = self.scale[:steps]
        if steps > known:
            beyond = np.sqrt(np.arange(known + 1, steps + 1) / known)
            scale = np.concatenate([scale, self.scale[-1] * beyond])
        return scale * repeated(self.profile, steps) * relative_size(yhat, self.size) ** self.grows


def relative_size(yhat: FloatArray, size: float) -> FloatArray:
    """The size of a forecast divided by the usual size, at least `LEAST_SIZE`; 1 if there is no usual size."""
    if not size > 0:
        return np.ones_like(yhat)
    return np.maximum(np.abs(yhat) / size, LEAST_SIZE)


def variability(values: FloatArray, season: int) -> float:
    """Mean absolute change from one season to the next over the newest seasons; NaN = unknown.

    Args:
        values: up to the moment of interest; NaN = missing.
    """
    recent = values[-VARIABILITY_SEASONS * season :]
    changes = np.abs(recent[season:] - recent[:-season])
    known = np.isfinite(changes)
    return float(changes[known].mean()) if known.any() else float("nan")


def relative_variability(now: float, then: FloatArray) -> FloatArray:
    """The variability now divided by that at earlier moments; 1 where one of them is unknown.

    Args:
        now, then: from `variability`.
    """
    known = then[np.isfinite(then)]
    usual = float(np.mean(known)) if len(known) else 0.0
    if not np.isfinite(now) or usual <= 0:
        return np.ones(len(then))
    low, high = usual / MAX_VARIABILITY_RATIO, usual * MAX_VARIABILITY_RATIO
    filled = np.clip(np.where(np.isfinite(then), then, usual), low, high)
    return np.asarray(np.clip(now, low, high) / filled, dtype=np.float64)


def learn_widths(past: PastErrors, *, floor: float, season: int) -> tuple[Widths, FloatArray]:
    """Learn the widths of past errors.

    Args:
        floor: the least width, such as the resolution of the values.
        season: the shortest one, in steps.
    Returns:
        The widths, and the errors divided by them.
    """
    bigger = relative_size(past.yhat, past.size)
    worse = (
        relative_variability(past.now, past.variability)
        if len(past.variability)
        else np.ones(len(past.errors))
    )
    follows, grows = _powers(past, bigger, worse)
    errors = past.errors * (worse**follows)[:, None] / bigger**grows
    scale = _by_step(errors, floor)
    phases = (np.array(past.origins)[:, None] + np.arange(errors.shape[1])) % season
    profile = _by_phase(np.abs(errors / scale), phases, season)
    errors = errors / profile[phases]
    scale = _by_step(errors, floor)
    widths = Widths(
        scale=scale,
        profile=np.roll(profile, -past.known),
        grows=grows,
        size=past.size,
        follows=follows,
        calm=past.now,
    )
    return widths, errors / scale


def _powers(past: PastErrors, bigger: FloatArray, worse: FloatArray) -> tuple[float, float]:
    """The powers `follows` and `grows` with the largest posterior, for Laplace errors and a normal prior."""
    known = np.isfinite(past.errors)
    worth = effective_count(past.errors, past.origins)
    best, chosen = -np.inf, (0.0, 0.0)
    for follows, grows in product(
        POWERS if (worse != 1).any() else (0.0,), POWERS if (bigger != 1).any() else (0.0,)
    ):
        width = bigger**grows / (worse**follows)[:, None]
        errors = np.abs(past.errors) / width
        scale = _by_step(errors, float(np.finfo(np.float64).tiny))
        likely = -float(np.mean((np.log(width * scale) + errors / scale)[known]))
        odd = sum((power - POWER_EXPECTED) ** 2 for power in (follows, grows))
        if worth * likely - odd / (2 * POWER_SPREAD**2) > best:
            best, chosen = worth * likely - odd / (2 * POWER_SPREAD**2), (follows, grows)
    return chosen


def effective_count(errors: FloatArray, origins: tuple[int, ...]) -> float:
    """The number of independent errors with the same information: neighbours are correlated and windows overlap.

    References:
        Bayley, G. V. and Hammersley, J. M. (1946). The effective number of independent observations in an
        autocorrelated time series. Supplement to the JRSS 8(2).
    """
    alike = step_correlation(errors)
    span = origins[-1] - origins[0] + errors.shape[1]
    return float(max(2.0, span * (1 - alike) / (1 + alike)))


def step_correlation(errors: FloatArray) -> float:
    """Correlation of the errors of two neighbouring steps, 0 to 1; 0.9 if it is unknown."""
    first, second = errors[:, :-1].ravel(), errors[:, 1:].ravel()
    both = np.isfinite(first) & np.isfinite(second)
    if int(both.sum()) < 3:
        return 0.9
    first, second = first[both] - first[both].mean(), second[both] - second[both].mean()
    own, next_ = float(np.dot(first, first)), float(np.dot(second, second))
    product = own * next_
    # The product of two squares may overflow or vanish.
    size = math.sqrt(product) if 0.0 < product < math.inf else math.sqrt(own) * math.sqrt(next_)
    return float(np.clip(np.dot(first, second) / size, 0.0, 0.995)) if size > 0 else 0.9


def _by_phase(sizes: FloatArray, phases: np.ndarray, season: int) -> FloatArray:
    """Size of errors by step of the season, relative to all steps, smoothed and shrunk towards 1; length `season`."""
    known = np.isfinite(sizes)
    usual = float(sizes[known].mean())
    parts = min(PHASES, season)
    if parts < 3 or usual <= 0:
        return np.ones(season)
    part = np.arange(season) * parts // season
    place = part[phases[known]]
    # Steps inside one hour have similar errors, so they count as one.
    alike = season // parts
    total = np.bincount(place, sizes[known], parts) / alike
    count = np.bincount(place, minlength=parts) / alike
    total, count = _around_the_clock(total), _around_the_clock(count)
    by_part = (total + PHASE_DOUBT * usual) / (count + PHASE_DOUBT) / usual
    return np.asarray(by_part[part], dtype=np.float64)


def _around_the_clock(by_part: FloatArray) -> FloatArray:
    return 0.25 * np.roll(by_part, 1) + 0.5 * by_part + 0.25 * np.roll(by_part, -1)


def _by_step(errors: FloatArray, floor: float) -> FloatArray:
    """Mean absolute error by step ahead, not falling."""
    known = np.isfinite(errors)
    size = np.where(known, np.abs(errors), 0.0).sum(axis=0)
    count = known.sum(axis=0)
    by_step = np.divide(size, count, out=np.full(errors.shape[1], np.nan), where=count > 0)
    return np.maximum(_not_falling(by_step), floor)


def _not_falling(by_step: FloatArray) -> FloatArray:
    """Isotonic regression; unknown steps are interpolated."""
    steps = np.arange(len(by_step))
    known = np.isfinite(by_step)
    filled = np.interp(steps, steps[known], by_step[known])
    # Pool adjacent violators. It is written out because scikit-learn takes longer to import than this to run.
    level: list[float] = []
    weight: list[int] = []
    for value in filled:
        level.append(float(value))
        weight.append(1)
        while len(level) > 1 and level[-2] > level[-1]:
            total = weight[-2] + weight[-1]
            level[-2] = (level[-2] * weight[-2] + level[-1] * weight[-1]) / total
            weight[-2] = total
            del level[-1], weight[-1]
    return np.repeat(level, weight)
