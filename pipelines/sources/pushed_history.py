"""What is kept of pushed metrics for longer than their raw samples: sizes of wholes, and values of single replicas."""

from collections.abc import Mapping, Sequence

import numpy as np

from core.arrays import FloatArray, IntArray
from core.durations import HOUR_S
from core.errors import InputError
from core.pushed import PushedRepository, PushedSamples
from models.metrics.evaluate import selected_by
from models.metrics.raw_samples import NAME
from models.metrics.recipe import Term
from models.metrics.size_changes import STABLE_S
from pipelines.sources.pushed_span import Stored, moment, stored_samples


class SizeHistory:
    """The raw samples of sizes, thinned, for as long as a size must have been the same before it changes.

    Of each step only the extremes and the last sample are kept. `max_over_time` and `min_over_time` of whole steps are
    the same with them.
    """

    def __init__(self, kept: PushedRepository, step_s: int) -> None:
        self._kept = kept
        self._step_s = step_s

    def before(self, start: int) -> Stored:
        """What the changes since `start` are compared with."""
        return stored_samples(self._kept, start - self._step_s - STABLE_S, start)

    def record(self, raw: Stored, terms: Sequence[Term], start: int, end: int) -> None:
        """Keep the sizes of the times from `start` to `end`, and remove those that no later time needs."""
        ids = _series_of(raw.labels, terms)
        after_ms, end_ms = (start - self._step_s) * 1000, end * 1000
        samples = raw.samples
        chosen = (
            np.isin(samples.series_ids, ids)
            & (samples.times_ms > after_ms)
            & (samples.times_ms <= end_ms)
            & ~np.isnan(samples.values)
        )
        steps = -(-samples.times_ms[chosen] // (self._step_s * 1000))
        thin = np.flatnonzero(chosen)[
            extremes_and_last(
                samples.series_ids[chosen], steps, samples.times_ms[chosen], samples.values[chosen]
            )
        ]
        columns = (samples.series_ids[thin], samples.times_ms[thin], samples.values[thin])
        keep(self._kept, Stored(PushedSamples(*columns), raw.labels), start - self._step_s, end)
        forget(self._kept, end - 2 * self._step_s - STABLE_S)


def keep(repository: PushedRepository, found: Stored, after: int, end: int) -> None:
    """Add the samples of the times in (after, end] and the labels of their series.

    What a computation kept that failed later is not added again. The labels of known series are stored again once an
    hour, which shows that the series still exists.
    """
    samples = found.samples
    kept = repository.extent(moment(after + 0.001), moment(end))
    if kept is not None:
        new_ones = samples.times_ms > round(kept.last.timestamp() * 1000)
        columns = (samples.series_ids[new_ones], samples.times_ms[new_ones], samples.values[new_ones])
        samples = PushedSamples(*columns)
    ids = np.unique(samples.series_ids).tolist()
    is_full_hour = end // HOUR_S > after // HOUR_S
    known: Mapping[int, object] = {} if is_full_hour else repository.labels(ids)
    new = {one: found.labels[one] for one in ids if one not in known}
    repository.add(new, samples, moment(end))


def forget(repository: PushedRepository, before: float) -> None:
    """Remove the samples before that time, and the series that have none any more."""
    repository.forget(moment(before))
    unseen_since = moment(before - HOUR_S)
    repository.forget_series(unseen_since, keep=(), keep_since=unseen_since)


def _series_of(labels: Mapping[int, Mapping[str, str]], terms: Sequence[Term]) -> list[int]:
    """The series that one of these terms selects."""
    of_metric: dict[str, list[int]] = {}
    for series_id, one in labels.items():
        of_metric.setdefault(one[NAME], []).append(series_id)
    found: set[int] = set()
    for term in terms:
        ids = of_metric.get(term.metric, [])
        try:
            selected = selected_by(term, [labels[one] for one in ids])
        except InputError:
            continue  # an invalid regular expression; the signal itself is rejected with the reason
        found.update(one for one, fits in zip(ids, selected.tolist(), strict=True) if fits)
    return sorted(found)


def extremes_and_last(ids: IntArray, steps: IntArray, times_ms: IntArray, values: FloatArray) -> IntArray:
    """Which samples are the highest, the lowest or the newest one of their series and step; without NaN."""
    chosen: set[int] = set()
    for key in (times_ms, values, -values):
        order = np.lexsort((times_ms, key, steps, ids))
        changes = (np.diff(ids[order]) != 0) | (np.diff(steps[order]) != 0)
        chosen.update(order[np.append(changes, True)[: len(order)]].tolist())
    return np.array(sorted(chosen), dtype=np.int64)
