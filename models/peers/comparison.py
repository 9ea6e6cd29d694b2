"""Compares each replica with its peers at the same moments: how far it is from their median, and for how long.

A replica is an outlier while all of these hold:

- Its relative distance from the median of the others is beyond its own usual distance, which the last days show.
  Unequal replicas are compared as multiples of their usual share of the work.
- The excess is large beside the spread of the others (leave-one-out, by the median absolute deviation), beside its own
  usual spread, and beside the rare distances of its peers, because values may have heavy tails.
- The excess is large enough that a person would care about it.
- Only a minority differs. Two halves of a service that differ have no outlier.

References:
    Hampel (1974), The influence curve and its role in robust estimation, JASA 69.
    Rosner (1983), Percentage points for a generalized ESD many-outlier procedure, Technometrics 25.
    Leys et al. (2013), Detecting outliers: use absolute deviation around the median, J. Exp. Soc. Psychology 49.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from core.arrays import BoolArray, FloatArray
from core.domain import Direction
from models.series.magnitude import bounded
from models.series.robust import MAD_TO_SIGMA, mad_sigma, median, quantile_of_sorted, sorted_rows

#: Fewer replicas are not compared: of three, the median of the other two is between them, and their spread unknown.
MIN_REPLICAS = 4
#: So many hours of a day, and so many of them are known before a replica has a usual distance.
DAY, ENOUGH_PAST = 24, 12
#: A replica without a past is compared after so many values: a new one warms up.
WARM_UP = 6
#: Replicas are compared as multiples of their usual share of the work, if it is at least this part of the median one.
LEAST_FACTOR = 0.1
#: The least excess, as a share of the level of the peers. A replica without a past may be permanently different.
LEAST_EXCESS, LEAST_EXCESS_WITHOUT_PAST = 0.5, 1.0
#: Probability that a normal value is beyond the bound. With few peers their spread is uncertain, so Student's
#: distribution makes the bound wider. The spread is that of many moments; they count as so many independent ones.
BEYOND, MOMENTS = 1e-4, 6
#: Distances that the peers have in one of a hundred moments are usual, and a little more is, too.
RARE, LITTLE_MORE = 0.99, 1.3
#: An outlier in 3 of 4 steps, or in two successive steps at twice the bound, opens a finding. It stays open while the
#: excess is at least this share of the bound, and ends after three steps below it.
OPENS, OF_STEPS, FAR = 3, 4, 2.0
HOLDS, CLOSES = 0.7, 3
#: More than this share of the replicas is no minority.
MINORITY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The replicas of a group beside their peers, rows = replicas, columns = times; NaN = cannot be compared.

    Attributes:
        expected: the value of each replica if it were as far from its peers as usual.
        sigma: usual spread of the difference from that, in the unit of the values.
        strength: excess in units of the bound: 1 and more above the peers, -1 and less below them.
    """

    expected: FloatArray
    sigma: FloatArray
    strength: FloatArray


@dataclass(frozen=True, slots=True)
class OutlierEpisode:
    """One replica differs from its peers, from the step `first` to the step `last`; `side` is 1 above them, else -1."""

    first: int
    last: int
    peak: int
    side: int
    is_open: bool


def compare(
    recent: FloatArray, past: FloatArray, *, least: float, direction: Direction, needs_past: bool = False
) -> Comparison:
    """Compare each replica with the others.

    Scaling all values together with `least`, or negating them together with `direction`, gives the same strengths
    (negated); the order of the replicas does not matter.

    Args:
        recent: shape (replicas, steps), NaN = missing.
        past: one value an hour, shape (replicas, 24 * days), up to an hour before `recent`.
        least: the least difference that a person would care about, in the unit of the values, > 0.
        direction: which side is bad.
        needs_past: replicas without a past cannot be compared.
    """
    recent, past = bounded(recent), bounded(past)
    factor = _factors(past, least)
    center, level, distance = _distances(recent, factor, least)
    _, _, before = _distances(past, factor, least)
    has_past = (~np.isnan(before)).sum(axis=1) >= ENOUGH_PAST
    before = np.where(has_past[:, None], before, np.nan)
    usual = np.nan_to_num(median(before))
    low, high = _usual_range(before, usual)
    off, off_before = np.abs(distance - usual[:, None]), np.abs(before - usual[:, None])
    sigma = _spread(off, off_before, mad_sigma(before, usual))
    peers = (~np.isnan(recent)).sum(axis=0) - 1
    bound = student.isf(BEYOND, np.maximum(MOMENTS * peers, 1)) * sigma
    bound = np.fmax(bound, LITTLE_MORE * _rare(np.concatenate([off_before, off], axis=1))[:, None])
    bound = np.maximum(bound, np.where(has_past, LEAST_EXCESS, LEAST_EXCESS_WITHOUT_PAST)[:, None])
    # The variation of a replica that is usually far from its peers is larger than theirs.
    above = (distance - high[:, None]) / np.maximum(bound, LEAST_EXCESS * np.abs(high)[:, None])
    below = (low[:, None] - distance) / np.maximum(bound, LEAST_EXCESS * np.abs(low)[:, None])
    strength = np.zeros_like(distance)
    if direction is not Direction.DOWN_IS_BAD:
        strength = np.where(above > 0, above, strength)
    if direction is not Direction.UP_IS_BAD:
        strength = np.where(below > 0, -below, strength)
    seen = np.cumsum(~np.isnan(recent), axis=1) + np.where(has_past, WARM_UP, 0)[:, None]
    comparable = ~np.isnan(distance) & (seen > WARM_UP) & (peers >= MIN_REPLICAS - 1)
    if needs_past:
        comparable &= has_past[:, None]
    strength = np.where(comparable, strength, np.nan)
    crowded = (np.abs(strength) >= 1).sum(axis=0) > np.maximum(1, (peers + 1) // MINORITY)
    return Comparison(
        expected=factor * (center + usual[:, None] * level),
        sigma=factor * level * sigma,
        strength=np.where(crowded, 0.0, strength),
    )


def outlier_episodes(strength: FloatArray) -> list[OutlierEpisode]:
    """When one replica differed from its peers.

    Args:
        strength: of one replica, shape (steps,); NaN = cannot be compared.

    Examples:
        >>> outlier_episodes(np.array([0.0, 1.2, 1.1, 1.3, 0.8, 0.1, 0.0, 0.2]))
        [OutlierEpisode(first=1, last=4, peak=3, side=1, is_open=False)]
    """
    found = [one for side in (1, -1) for one in _episodes_of_side(np.nan_to_num(strength * side), side)]
    return sorted(found, key=lambda one: one.first)


def others_median(values: FloatArray) -> FloatArray:
    """For each row and column the median of the other rows in that column; NaN where there are none.

    Examples:
        >>> others_median(np.array([[1.0], [2.0], [9.0]])).ravel().tolist()
        [5.5, 5.0, 1.5]
    """
    order = np.argsort(values, axis=0, kind="stable")
    ranks = np.argsort(order, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    others = (~np.isnan(values)).sum(axis=0) - 1
    picked = []
    for index in ((others - 1) // 2, others // 2):
        inside = np.clip(index + (index >= ranks), 0, len(values) - 1)
        picked.append(np.take_along_axis(ordered, inside, axis=0))
    middle = picked[0] + (picked[1] - picked[0]) / 2
    result: FloatArray = np.where(np.isnan(values) | (others < 1), np.nan, middle)
    return result


def _factors(past: FloatArray, least: float) -> FloatArray:
    """The usual value of each replica as a multiple of the median replica, shape (replicas, 1); 1 where it is unknown.

    Without it, the median would move when one of several unequal replicas fails, and all others would differ from it.
    """
    center = median(past.T)
    ratios = past * np.sign(center) / np.maximum(np.abs(center), least / LEAST_EXCESS)
    usual = median(ratios)
    known = ((~np.isnan(ratios)).sum(axis=1) >= ENOUGH_PAST) & (usual >= LEAST_FACTOR)
    result: FloatArray = np.where(known, usual, 1.0)[:, None]
    return result


def _distances(
    values: FloatArray, factor: FloatArray, least: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Median of the others, the level that distances are relative to, and the distances from the median.

    Values, medians and levels are divided by the factor of the replica. The level is the size of the median, or more
    where it is near 0.
    """
    center = others_median(values / factor)
    level = np.maximum(np.abs(center), least / factor / LEAST_EXCESS)
    return center, level, (values / factor - center) / level


def _usual_range(before: FloatArray, usual: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The lowest and the highest usual distance of each replica at this time of day.

    A nightly job on one host makes it differ every night. At least two days must show it.
    """
    days = before.reshape(len(before), -1, DAY)
    near = np.concatenate(
        [days[:, :, :4], days[:, :, -1:]], axis=2
    )  # the two hours of `recent`, and one around
    lowest = np.fmin.reduce(near, axis=2, initial=np.inf)
    highest = np.fmax.reduce(near, axis=2, initial=-np.inf)
    lowest, highest = (np.where(np.isfinite(one), one, np.nan) for one in (lowest, highest))
    repeated = (~np.isnan(lowest)).sum(axis=1) >= 2
    low = np.where(repeated, np.fmin(usual, median(lowest)), usual)
    high = np.where(repeated, np.fmax(usual, median(highest)), usual)
    return low, high


def _spread(off: FloatArray, off_before: FloatArray, own: FloatArray) -> FloatArray:
    """The largest of four usual spreads: of the peers now, in the window and in the past, and the replica's own."""
    # The spread of three peers at one moment is very uncertain, so the last moments count together.
    padded = np.pad(MAD_TO_SIGMA * others_median(off), ((0, 0), (OF_STEPS - 1, 0)), constant_values=np.nan)
    now = median(np.lib.stride_tricks.sliding_window_view(padded, OF_STEPS, axis=1))
    before = MAD_TO_SIGMA * median(others_median(off_before))
    steady = np.fmax(np.fmax(median(now), before), own)
    result: FloatArray = np.fmax(now, steady[:, None])
    return np.nan_to_num(result)


def _rare(off: FloatArray) -> FloatArray:
    """The distance that a usual peer has in one of a hundred moments."""
    ordered, counts = sorted_rows(off)
    rare = quantile_of_sorted(ordered, counts, RARE)
    return np.nan_to_num(others_median(rare[:, None])[:, 0])


def _episodes_of_side(strength: FloatArray, side: int) -> list[OutlierEpisode]:
    """Episodes above the peers; `strength` is negated for those below them."""
    outlier: BoolArray = strength >= 1
    far, holds = strength >= FAR, strength >= HOLDS
    found: list[OutlierEpisode] = []
    first: int | None = None
    last = 0
    for step in range(len(strength)):
        if first is None:
            start = max(step - OF_STEPS + 1, last + 1 if found else 0)
            steps = np.flatnonzero(outlier[start : step + 1]) + start
            if far[step] and step > start and far[step - 1]:
                first, last = step - 1, step
            elif outlier[step] and len(steps) >= OPENS:
                first, last = int(steps[0]), step
        elif holds[step]:
            last = step
        elif step - last >= CLOSES:
            found.append(_episode(strength, first, last, side, is_open=False))
            first = None
    if first is not None:
        found.append(_episode(strength, first, last, side, is_open=True))
    return found


def _episode(strength: FloatArray, first: int, last: int, side: int, *, is_open: bool) -> OutlierEpisode:
    peak = first + int(np.argmax(strength[first : last + 1]))
    return OutlierEpisode(first, last, peak, side, is_open)
