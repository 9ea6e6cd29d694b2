"""How wide errors are: by the step ahead, the hour of the day, the size of the forecast and the unrest of the series.

An error at night is not one at noon, one at a thousand requests not one at ten, one in a restless week not one in
a calm one. Errors divided by their width are alike, so that all of them can be pooled, and intervals are narrow where
errors are small instead of as wide everywhere as they must be somewhere. How far the width follows size and unrest is
learned for each series from its own errors.

References:
    Lei, J. et al. (2018). Distribution-free predictive inference for regression. JASA 113, section 5.2 (locally
    weighted conformal).
    Davidian, M. and Carroll, R. (1987). Variance function estimation. JASA 82 (widths as powers).
    Best, M. J. and Chakravarti, N. (1990). Active set algorithms for isotonic regression. Math. Programming 47.
"""

from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from core.arrays import FloatArray

#: Powers that are tried: 0 = the width does not follow, 1 = it follows in proportion.
POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: What is assumed of a power before any error is seen, and its spread: between not at all and the root of it.
POWER_EXPECTED, POWER_SPREAD = 0.25, 0.35
#: Below this share of the usual size a forecast is as good as zero, and its errors do not shrink with it.
LEAST_SIZE = 0.1
#: The width of a phase is drawn towards that of all phases as if so many of its errors had been like those of all.
PHASE_DOUBT = 10.0
#: Phases of a season that are told apart: the hours of a day.
PHASES = 24
#: Seasons over which unrest is measured, and how far one stretch may differ from all of them.
UNREST_OVER = 7
UNREST_REACH = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PastErrors:
    """How wrong past forecasts were, and what is needed to compare them.

    Attributes:
        errors: actual - yhat, (k, horizon); NaN = unknown.
        told: yhat, of the same shape.
        origins: how many values were known each time, ascending, length k.
        known: how many are known now.
        size: usual size of the values; NaN where they go below zero, and so have no size to grow with.
        unrest: of the series at each origin, length k. now: the same now. NaN = unknown.
    """

    errors: FloatArray
    told: FloatArray
    origins: tuple[int, ...]
    known: int
    size: float = float("nan")
    unrest: FloatArray = field(default_factory=lambda: np.zeros(0))
    now: float = float("nan")

    def before(self, row: int) -> "PastErrors":
        """What was known when origin `row` was."""
        return replace(
            self,
            errors=self.errors[:row],
            told=self.told[:row],
            origins=self.origins[:row],
            known=self.origins[row],
            unrest=self.unrest[:row],
            now=float(self.unrest[row]) if len(self.unrest) else float("nan"),
        )

    def newest(self, count: int) -> "PastErrors":
        """Only the newest `count` origins."""
        first = len(self.origins) - count
        return replace(
            self,
            errors=self.errors[first:],
            told=self.told[first:],
            origins=self.origins[first:],
            unrest=self.unrest[first:],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Widths:
    """The width of an error.

    Attributes:
        scale: by step ahead, length h, not falling.
        profile: by step of the season, as a factor; first = the next value.
        grows: power by which it follows the size of the forecast, 0 to 1. size: the usual size.
        follows: power by which it follows the unrest of the series, 0 to 1. calm: `unrest` when this was learned.
    """

    scale: FloatArray
    profile: FloatArray = field(default_factory=lambda: np.ones(1))
    grows: float = 0.0
    size: float = float("nan")
    follows: float = 0.0
    calm: float = float("nan")

    def at(self, now: float, steps: int = 0) -> "Widths":
        """The same for another time.

        Args:
            now: its `unrest`; NaN = unknown, and nothing follows.
            steps: how many steps later it is; negative = earlier.
        """
        factor = float(follow(now, np.array([self.calm]))[0]) ** self.follows
        return replace(self, scale=self.scale * factor, profile=np.roll(self.profile, -steps))

    def around(self, yhat: FloatArray) -> FloatArray:
        """The width at each step of a forecast; beyond the steps it was learned for it grows like a random walk's."""
        known, steps = len(self.scale), len(yhat)
        scale = self.scale[:steps]
        if steps > known:
            beyond = np.sqrt(np.arange(known + 1, steps + 1) / known)
            scale = np.concatenate([scale, self.scale[-1] * beyond])
        return scale * np.resize(self.profile, steps) * relative_size(yhat, self.size) ** self.grows


def relative_size(yhat: FloatArray, size: float) -> FloatArray:
    """The size of a forecast by the usual one, at least `LEAST_SIZE`; 1 where there is no usual one."""
    if not size > 0:
        return np.ones_like(yhat)
    return np.maximum(np.abs(yhat) / size, LEAST_SIZE)


def unrest(values: FloatArray, season: int) -> float:
    """Mean change from one season to the next over the last ones; NaN where it is unknown.

    Args:
        values: up to the moment that is meant; NaN = missing.
    """
    recent = values[-UNREST_OVER * season :]
    changes = np.abs(recent[season:] - recent[:-season])
    known = np.isfinite(changes)
    return float(changes[known].mean()) if known.any() else float("nan")


def follow(now: float, then: FloatArray) -> FloatArray:
    """How restless it is now by how restless it was; 1 where one of them is unknown.

    Args:
        now, then: `unrest`.
    """
    known = then[np.isfinite(then)]
    usual = float(np.mean(known)) if len(known) else 0.0
    if not np.isfinite(now) or usual <= 0:
        return np.ones(len(then))
    low, high = usual / UNREST_REACH, usual * UNREST_REACH
    filled = np.clip(np.where(np.isfinite(then), then, usual), low, high)
    return np.asarray(np.clip(now, low, high) / filled, dtype=np.float64)


def learn_widths(past: PastErrors, *, floor: float, season: int) -> tuple[Widths, FloatArray]:
    """The widths of past errors, and the errors divided by them.

    Args:
        floor: the least width that makes sense, such as the resolution of the values.
        season: the shortest one, in steps.
    """
    bigger = relative_size(past.told, past.size)
    worse = follow(past.now, past.unrest) if len(past.unrest) else np.ones(len(past.errors))
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
    """The powers under which the errors are likeliest, as if they were Laplace's, given what is expected of powers."""
    known = np.isfinite(past.errors)
    worth = independent(past.errors, past.origins)
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


def independent(errors: FloatArray, origins: tuple[int, ...]) -> float:
    """How many independent errors these are worth, for neighbours resemble one another and windows overlap.

    References:
        Bayley, G. V. and Hammersley, J. M. (1946). The effective number of independent observations in an
        autocorrelated time series. Supplement to the JRSS 8(2).
    """
    alike = neighbours(errors)
    span = origins[-1] - origins[0] + errors.shape[1]
    return float(max(2.0, span * (1 - alike) / (1 + alike)))


def neighbours(errors: FloatArray) -> float:
    """Correlation of the errors of two neighbouring steps, 0 to 1; high where it is unknown."""
    first, second = errors[:, :-1].ravel(), errors[:, 1:].ravel()
    both = np.isfinite(first) & np.isfinite(second)
    if int(both.sum()) < 3:
        return 0.9
    first, second = first[both] - first[both].mean(), second[both] - second[both].mean()
    size = float(np.sqrt(np.dot(first, first) * np.dot(second, second)))
    return float(np.clip(np.dot(first, second) / size, 0.0, 0.995)) if size > 0 else 0.9


def _by_phase(sizes: FloatArray, phases: np.ndarray, season: int) -> FloatArray:
    """How much larger errors are at each step of the season than over all of it, smooth and shrunk; length `season`."""
    known = np.isfinite(sizes)
    usual = float(sizes[known].mean())
    parts = min(PHASES, season)
    if parts < 3 or usual <= 0:
        return np.ones(season)
    part = np.arange(season) * parts // season
    place = part[phases[known]]
    # Steps inside one hour are alike, so they count as one.
    alike = season // parts
    total = np.bincount(place, sizes[known], parts) / alike
    count = np.bincount(place, minlength=parts) / alike
    total, count = _around_the_clock(total), _around_the_clock(count)
    by_part = (total + PHASE_DOUBT * usual) / (count + PHASE_DOUBT) / usual
    return np.asarray(by_part[part], dtype=np.float64)


def _around_the_clock(by_part: FloatArray) -> FloatArray:
    return 0.25 * np.roll(by_part, 1) + 0.5 * by_part + 0.25 * np.roll(by_part, -1)


def _by_step(errors: FloatArray, floor: float) -> FloatArray:
    """Mean size by step ahead, not falling with it."""
    known = np.isfinite(errors)
    size = np.where(known, np.abs(errors), 0.0).sum(axis=0)
    count = known.sum(axis=0)
    by_step = np.divide(size, count, out=np.full(errors.shape[1], np.nan), where=count > 0)
    return np.maximum(_not_falling(by_step), floor)


def _not_falling(by_step: FloatArray) -> FloatArray:
    """The best non-falling fit; what is unknown is bridged."""
    steps = np.arange(len(by_step))
    known = np.isfinite(by_step)
    filled = np.interp(steps, steps[known], by_step[known])
    # Pool adjacent violators, written out because scikit-learn's takes longer to import than to run.
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
