"""Joins anomalous values that belong together to one episode, with start, end, peak and shape."""

from dataclasses import dataclass

import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from core.domain import Shape

#: Anomalous values that are closer than this belong to one episode.
JOIN_S = 1800
#: An episode continues while values are at least this surprising (-log10 p): one in a hundred.
GOES_ON = 2.0
#: If a value of an episode is at least this many sigma away, the episode ends at its last value beyond the second
#: number.
PLAIN_SIGMA, USUAL_SIGMA = 6.0, 3.0
#: A spike ends within this time.
SPIKE_S = 900
#: What stays so far away for so long is no spike: a dead exporter must not wait until it lasts longer than one.
PLAIN_S = 300


@dataclass(frozen=True, slots=True)
class Episode:
    """One episode.

    Attributes:
        first, last, peak: indices into the scored values; `last` belongs to the episode.
    """

    first: int
    last: int
    peak: int
    shape: Shape


def stays_open_s(step_s: int) -> int:
    """For how many seconds after its last value an episode may continue."""
    return max(JOIN_S, 2 * step_s)


def find_episodes(
    times_s: IntArray,
    surprise: FloatArray,
    anomalous: BoolArray,
    deviation: FloatArray,
    step_s: int,
) -> list[Episode]:
    """The episodes of one series, in the order of time.

    Args:
        times_s: epoch seconds, shape (n,), rising.
        surprise: -log10 p, shape (n,).
        anomalous: where an episode starts, shape (n,).
        deviation: signed, in sigma, shape (n,).
        step_s: seconds between values.
    """
    episodes: list[Episode] = []
    n = times_s.size
    i = 0
    while i < n:
        if not anomalous[i]:
            i += 1
            continue
        first = last = i
        j = i + 1
        while j < n and times_s[j] - times_s[last] <= stays_open_s(step_s):
            if anomalous[j] or surprise[j] >= GOES_ON:
                last = j
            j += 1
        last = _trim_echo(deviation, first, last)
        peak = first + int(np.nanargmax(surprise[first : last + 1]))
        shape = name_shape(
            times_s[first : last + 1],
            deviation[first : last + 1],
            deviation[max(0, first - (last - first + 1)) : first],
        )
        episodes.append(Episode(first, last, peak, shape))
        i = j
    return episodes


def _trim_echo(deviation: FloatArray, first: int, last: int) -> int:
    """The last value that is unusual by itself, if any value of the episode is far away.

    Averages stay high for a while after an incident has ended. This echo is no part of the episode.
    """
    far = np.abs(deviation[first : last + 1])
    if not np.nanmax(far) >= PLAIN_SIGMA:
        return last
    return first + int(np.flatnonzero(far >= USUAL_SIGMA)[-1])


def last_beginning(times_s: IntArray, surprise: FloatArray, deviation: FloatArray, step_s: int) -> int:
    """Where the deviation of the last of these values of an episode began.

    A quiet time that is longer than what came before it divides two deviations, although they are near to each other.

    Args:
        times_s, surprise, deviation, step_s: as in `find_episodes`, at least one value.
    """
    side = np.sign(deviation[-1])
    # What averages remember of an earlier deviation is quiet, as in `_trim_echo`.
    plain = abs(deviation[-1]) >= PLAIN_SIGMA
    unusual = np.flatnonzero(side * deviation >= USUAL_SIGMA if plain else surprise >= GOES_ON)
    times = times_s[unusual]
    began = 0
    for place in np.flatnonzero(np.diff(times) > step_s).tolist():
        if times[place + 1] - times[place] - step_s > times[place] - times[began] + step_s:
            began = place + 1
    return int(unusual[began]) if unusual.size else 0


def _is_plain(deviation: FloatArray) -> bool:
    """Whether all values are far away, on the same side."""
    return bool(np.all(deviation >= PLAIN_SIGMA) or np.all(deviation <= -PLAIN_SIGMA))


def name_shape(times_s: IntArray, deviation: FloatArray, before: FloatArray) -> Shape:
    """The shape of an episode.

    Args:
        times_s: epoch seconds of the episode, rising.
        deviation: of the episode, signed, in sigma.
        before: deviations just before the episode.
    """
    known = deviation[np.isfinite(deviation)]
    if known.size == 0:
        return Shape.MISSING
    lasted_s = times_s[-1] - times_s[0]
    if lasted_s <= SPIKE_S and not (lasted_s >= PLAIN_S and _is_plain(known)):
        return Shape.POINT_SPIKE
    if known.size >= 6 and float(np.ptp(known)) < 1e-6 * (1.0 + abs(float(known[0]))):
        return Shape.STUCK
    same_side = max(float(np.mean(known > 0)), float(np.mean(known < 0)))
    if same_side < 0.8:
        return Shape.VARIANCE_CHANGE
    third = max(1, known.size // 3)
    early, late = float(np.median(np.abs(known[:third]))), float(np.median(np.abs(known[-third:])))
    return Shape.SLOW_DRIFT if late > 1.5 * early else Shape.LEVEL_SHIFT
