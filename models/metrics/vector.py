"""Vectors of PromQL at many times at once, and the operations that recipes need.

References:
    https://prometheus.io/docs/prometheus/latest/querying/operators/
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.arrays import BoolArray, FloatArray, IntArray
from models.metrics.raw_samples import Selected
from models.metrics.recipe import Aggregate

#: Sorted labels and their values, without empty ones.
Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Vector:
    """Series and their values at some times.

    Attributes:
        keys: the labels of each series; no two are equal.
        values: (series, times).
        present: where a series has a value; it may be NaN.
    """

    keys: Sequence[Key]
    values: FloatArray
    present: BoolArray

    def above(self, least: float) -> "Vector":
        """Without the values that are not above this one."""
        with np.errstate(invalid="ignore"):
            return Vector(self.keys, self.values, self.present & (self.values > least))

    def below(self, most: float) -> "Vector":
        """Without the values that are not below this one."""
        with np.errstate(invalid="ignore"):
            return Vector(self.keys, self.values, self.present & (self.values < most))

    def both(self, other: "Vector") -> "Vector":
        """`self and other`."""
        known = dict(zip(other.keys, other.present, strict=True))
        kept = [at for at, key in enumerate(self.keys) if key in known]
        keys = [self.keys[at] for at in kept]
        others = np.array([known[key] for key in keys], dtype=bool).reshape(len(keys), self.values.shape[1])
        return Vector(keys, self.values[kept], self.present[kept] & others)

    def divided_by(self, other: "Vector") -> "Vector":
        """`self / other`."""
        mine, theirs = self.both(other), other.both(self)
        place = {key: at for at, key in enumerate(theirs.keys)}
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            ratio = mine.values / theirs.values[[place[key] for key in mine.keys]].reshape(mine.values.shape)
        return Vector(mine.keys, ratio, mine.present)

    def or_zero_of(self, other: "Vector") -> "Vector":
        """`self or other * 0`."""
        with np.errstate(invalid="ignore"):
            zero = Vector(other.keys, other.values * 0, other.present)
        places = {key: at for at, key in enumerate(self.keys)}
        keys = [*self.keys, *(key for key in zero.keys if key not in places)]
        values = np.full((len(keys), self.values.shape[1]), np.nan)
        present = np.zeros(values.shape, dtype=bool)
        for vector in (zero, self):
            at = {key: place for place, key in enumerate(keys)}
            rows = [at[key] for key in vector.keys]
            values[rows] = np.where(vector.present, vector.values, values[rows])
            present[rows] |= vector.present
        return Vector(keys, values, present)

    def unless(self, other: "Vector", on: Sequence[str] | None = None) -> "Vector":
        """`self unless other`, or `self unless on (...) other`."""
        taken: dict[Key, BoolArray] = {}
        for key, present in zip(other.keys, other.present, strict=True):
            part = _part(key, on)
            taken[part] = taken[part] | present if part in taken else present
        left = [
            present & ~taken[part] if (part := _part(key, on)) in taken else present
            for key, present in zip(self.keys, self.present, strict=True)
        ]
        return Vector(self.keys, self.values, np.array(left, dtype=bool).reshape(self.present.shape))


def key_of(labels: Mapping[str, str], kept: Sequence[str]) -> Key:
    """Those of the labels that are kept and not empty."""
    return tuple((name, labels[name]) for name in sorted(kept) if labels.get(name))


def aggregated(selected: Selected, keys: Sequence[Key], how: Aggregate) -> Vector:
    """One series for each key, from all rows of `selected` that have it, as `sum by (...)`.

    Rows are added in their order, as Prometheus does.
    """
    places: dict[Key, int] = {}
    group = np.array([places.setdefault(key, len(places)) for key in keys], dtype=np.int64)
    shape = (len(places), selected.values.shape[1])
    counts, values = np.zeros(shape), np.full(shape, np.nan)
    total = np.zeros(shape)
    for rows in _rounds(group):
        at, given = group[rows], selected.present[rows]
        counts[at] += given
        if how in (Aggregate.SUM, Aggregate.AVG):
            with np.errstate(invalid="ignore", over="ignore"):
                total[at] += np.where(given, selected.values[rows], 0.0)
        else:
            given_values = np.where(given, selected.values[rows], np.nan)
            best = np.fmin if how is Aggregate.MIN else np.fmax
            values[at] = best(values[at], given_values)
    present = counts > 0
    match how:
        case Aggregate.SUM:
            values = total
        case Aggregate.AVG:
            values = np.divide(total, counts, out=values, where=present)
        case Aggregate.COUNT:
            values = counts
    return Vector(list(places), values, present)


def _rounds(group: IntArray) -> list[IntArray]:
    """Rows such that each round has at most one row of each group, and a group's rows come in their order."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
    rank = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.append(starts, len(ordered))))
    by_rank = np.argsort(rank, kind="stable")
    return np.split(order[by_rank], np.cumsum(np.bincount(rank))[:-1]) if len(rank) else []


def _part(key: Key, on: Sequence[str] | None) -> Key:
    return key if on is None else tuple(pair for pair in key if pair[0] in on)
