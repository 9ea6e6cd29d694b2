"""Joins anomalous values that belong together to one episode, with start, end, peak and shape."""

from dataclasses import dataclass

import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from core.domain import Shape

#: Anomalous values that are closer than this may belong to one episode; `_divided` decides.
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
        unusual = first + np.flatnonzero(
            _unusual(surprise[first : last + 1], anomalous[first : last + 1], deviation[first : last + 1])
        )
        for begins, ends in _divided(times_s, unusual, step_s):
            # The value that began the episode belongs to it, also where only its averages deviate.
            start = first if begins == unusual[0] else begins
            if not anomalous[start : ends + 1].any():
                continue
            peak = start + int(np.nanargmax(surprise[start : ends + 1]))
            shape = name_shape(
                times_s[start : ends + 1],
                deviation[start : ends + 1],
                deviation[max(0, start - (ends - start + 1)) : start],
            )
            episodes.append(Episode(start, ends, peak, shape))
        i = j
    return episodes


def _unusual(surprise: FloatArray, anomalous: BoolArray, deviation: FloatArray) -> BoolArray:
    """The values of an episode that are unusual by themselves, if any of them is far away.

    Averages stay high for a while after an incident has ended. This echo is no part of the episode.
    """
    far = np.abs(deviation)
    if np.nanmax(far) >= PLAIN_SIGMA:
        return np.asarray(far >= USUAL_SIGMA)
    return np.asarray(anomalous | (surprise >= GOES_ON))


def _divided(times_s: IntArray, unusual: IntArray, step_s: int) -> list[tuple[int, int]]:
    """The first and the last row of each deviation among the unusual values of an episode.

    A quiet time that is as long as what came before it divides two deviations: nobody would say of a busy minute, a
    quarter of an hour ago, that it has lasted since. What comes a third time within `JOIN_S` flaps, and is one.

    Args:
        unusual: rows, rising, at least one.
    """
    times = times_s[unusual]
    gaps = np.flatnonzero(np.diff(times) > step_s)
    ends = np.append(gaps, len(unusual) - 1)
    begins = np.append(0, gaps + 1)
    parts = [(int(begins[0]), int(ends[0]))]
    for begin, end in zip(begins[1:].tolist(), ends[1:].tolist(), strict=True):
        before, last = parts[-1]
        lasted_s = times[last] - times[before] + step_s
        flaps = int(np.sum(times[begin] - times[ends[ends < begin]] <= JOIN_S)) > 1
        if flaps or times[begin] - times[last] - step_s < lasted_s:
            parts[-1] = before, end
        else:
            parts.append((begin, end))
    return [(int(unusual[begin]), int(unusual[end])) for begin, end in parts]


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
