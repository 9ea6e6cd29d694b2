"""`/detect` and `/detect_batch`: values against the champion detector of their tenant.

A detector's level follows the values, so each value is judged after the stored ones before it. What is posted
is not stored here: the same question to the same store and version gets the same answer.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.domain import Series
from core.errors import ForewarnError, InputError, InsufficientDataError, UnknownSeriesError
from serving.contract.requests import DetectBatchRequest, DetectRequest, Point
from serving.contract.responses import DetectAnswer, ScoredPoint
from serving.state.loaded_models import LoadedModel
from serving.state.tenants import TenantContext

#: How far back the values before count: one half-life of the detector's level (`models/baseline/residuals.py`).
CONTEXT = timedelta(days=1)

#: Stored values of one series: epoch seconds and values, in the order of time.
Stored = tuple[NDArray[np.int64], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Values of one series, in the order of time, and where in the answer each belongs."""

    series: Series
    points: Sequence[Point]
    positions: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Question:
    """One request, resolved: its series are this tenant's and its times make sense."""

    stretches: Sequence[_Stretch]
    size: int


def detect_each(room: TenantContext, requests: Sequence[DetectRequest]) -> list[DetectAnswer | ForewarnError]:
    """Judge several requests of one tenant: the stored values that they need are read at once.

    Returns:
        An answer to each, in order, or why there is none; one that is wrong does not touch the others.
    """
    asked: list[_Question | ForewarnError] = []
    for request in requests:
        try:
            asked.append(_question(room, request))
        except ForewarnError as error:
            asked.append(error)
    questions = [one for one in asked if isinstance(one, _Question)]
    try:
        loaded = room.models.get("detector")
        contexts = _contexts(room, loaded, [stretch for one in questions for stretch in one.stretches])
    except ForewarnError as error:
        return [one if isinstance(one, ForewarnError) else error for one in asked]
    return [one if isinstance(one, ForewarnError) else _answer(loaded, one, contexts) for one in asked]


def detect_batch(room: TenantContext, request: DetectBatchRequest) -> DetectAnswer:
    """Judge stretches of many series, answered series by series in the order they were sent.

    Raises:
        UnknownSeriesError: one of the series is not this tenant's.
        InputError: a time lies in the future, or twice in one series.
        ModelUnavailableError: no detector was trained yet.
    """
    stretches: list[_Stretch] = []
    size = 0
    for given in request.series:
        room.require_not_future(*given.points)
        stretches.append(_stretch(room.series(given), given.points, range(size, size + len(given.points))))
        size += len(given.points)
    loaded = room.models.get("detector")
    return _answer(loaded, _Question(stretches, size), _contexts(room, loaded, stretches))


def detect_latest(room: TenantContext, limit: int) -> list[tuple[Series, ScoredPoint]]:
    """The newest stored value of each series that the detector has learned, judged; at most `limit` series.

    Raises:
        ModelUnavailableError: no detector was trained yet.
    """
    loaded = room.models.get("detector")
    known = {series.series_id: series for series in room.platform.store.series.find()}
    newest = room.platform.store.samples.latest().head(limit)
    stretches = [
        _Stretch(known[series_id], [Point(ts=ts, value=value)], [position])
        for position, (series_id, ts, value) in enumerate(newest.iter_rows())
        if series_id in known and series_id in loaded.bundle.models
    ]
    contexts = _contexts(room, loaded, stretches)
    return [(stretch.series, _judged(loaded, stretch, contexts)[0]) for stretch in stretches]


def _question(room: TenantContext, request: DetectRequest) -> _Question:
    room.require_not_future(*request.observations)
    by_series: dict[int, tuple[Series, list[int]]] = {}
    for position, observation in enumerate(request.observations):
        series = room.series(observation)
        by_series.setdefault(series.series_id, (series, []))[1].append(position)
    stretches = [
        _stretch(series, [request.observations[position] for position in positions], positions)
        for series, positions in by_series.values()
    ]
    return _Question(stretches, len(request.observations))


def _stretch(series: Series, points: Sequence[Point], positions: Iterable[int]) -> _Stretch:
    ordered = sorted(zip(points, positions, strict=True), key=lambda pair: pair[0].ts)
    for (earlier, _), (later, _) in pairwise(ordered):
        if earlier.ts == later.ts:
            raise InputError(f"{series.name} has two values at {later.ts.isoformat()}")
    return _Stretch(series, [point for point, _ in ordered], [position for _, position in ordered])


def _contexts(
    room: TenantContext, loaded: LoadedModel, stretches: Sequence[_Stretch]
) -> Mapping[int, Stored]:
    """The stored values around the stretches, by series: one read, however many there are."""
    learned = [stretch for stretch in stretches if stretch.series.series_id in loaded.bundle.models]
    if not learned:
        return {}
    start = min(stretch.points[0].ts for stretch in learned) - CONTEXT
    end = max(stretch.points[0].ts for stretch in learned)
    wanted = np.unique([stretch.series.series_id for stretch in learned])
    frame = room.platform.store.samples.read(start, end, wanted.tolist())
    ids = frame["series_id"].to_numpy()
    times_s = frame["ts"].to_physical().to_numpy() // 1_000_000
    values = frame["value"].to_numpy()
    # Sorted by series: each one's rows are a slice.
    edges = np.searchsorted(ids, [wanted, wanted + 1])
    return {
        int(series_id): (times_s[first:last], values[first:last])
        for series_id, first, last in zip(wanted, *edges, strict=True)
    }


def _answer(loaded: LoadedModel, question: _Question, contexts: Mapping[int, Stored]) -> DetectAnswer:
    results: list[ScoredPoint | None] = [None] * question.size
    for stretch in question.stretches:
        scored = _judged(loaded, stretch, contexts)
        for position, point in zip(stretch.positions, scored, strict=True):
            results[position] = point
    return DetectAnswer(model=loaded.ref, results=tuple(point for point in results if point is not None))


def _before(stored: Stored | None, first: datetime) -> Stored | None:
    """Of the stored values, those of the day before `first`."""
    if stored is None:
        return None
    at_s = first.timestamp()
    begin, end = np.searchsorted(stored[0], [at_s - CONTEXT.total_seconds(), at_s])
    return stored[0][begin:end], stored[1][begin:end]


def _judged(loaded: LoadedModel, stretch: _Stretch, contexts: Mapping[int, Stored]) -> list[ScoredPoint]:
    series = stretch.series
    context = _before(contexts.get(series.series_id), stretch.points[0].ts)
    times = [point.ts for point in stretch.points]
    values = [point.value for point in stretch.points]
    try:
        scores = loaded.bundle.score_points(series.series_id, times, values, context)
    except (UnknownSeriesError, InsufficientDataError):
        # The series is there and the model has not learned it yet: not scorable is null, never 0.
        note = f"version {loaded.ref.version} has not learned this series"
        return [_unscored(series, point, note) for point in stretch.points]
    return [_scored(series, point, score) for point, score in zip(stretch.points, scores, strict=True)]


def _scored(series: Series, point: Point, score: Any) -> ScoredPoint:
    return ScoredPoint(
        series_id=series.series_id,
        series=series.name,
        ts=point.ts,
        value=point.value,
        band=score.band,
        score=score.score,
        p_value=score.p_value,
        deviation_sigma=score.deviation_sigma,
        is_anomaly=score.is_anomaly,
        suppressed_by=next((one.name for one in score.filters if not one.passed), None),
        filters=score.filters,
        detectors=score.detectors,
    )


def _unscored(series: Series, point: Point, note: str) -> ScoredPoint:
    return ScoredPoint(
        series_id=series.series_id,
        series=series.name,
        ts=point.ts,
        value=point.value,
        band=None,
        score=None,
        p_value=None,
        deviation_sigma=None,
        is_anomaly=False,
        note=note,
    )
