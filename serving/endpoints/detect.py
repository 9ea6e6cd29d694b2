"""`/detect` and `/detect_batch`: score values with the active detector of their tenant.

The level of a detector follows the values, so each value is scored after the stored values before it. Posted values
are not stored here: the same request to the same store and model version gets the same response.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
from starlette.responses import Response

from core.domain import Series
from core.errors import ForewarnError, InputError, InsufficientDataError, UnknownSeriesError
from models.detect.series_model import PointScore
from serving.contract.errors import response_to
from serving.contract.requests import DetectBatchRequest, DetectRequest, Point
from serving.contract.responses import DetectResponse, ScoredPoint, respond
from serving.endpoints.route import Batching, Call, Route, for_tenant
from serving.state.jobs import FleetDetector, Stored
from serving.state.loaded_models import LoadedModel
from serving.state.runtime import Runtime
from serving.state.tenants import TenantContext
from serving.state.work import Lane

#: How far back stored values count: one half-life of the detector's level (`models/baseline/residuals.py`).
LOOKBACK = timedelta(days=1)

Loaded = LoadedModel[FleetDetector]


@dataclass(frozen=True, slots=True)
class _SeriesValues:
    """Values of one series, in the order of time, and the position of each in the response."""

    series: Series
    points: Sequence[Point]
    positions: Sequence[int]


@dataclass(frozen=True, slots=True)
class _CheckedRequest:
    """One request whose series belong to this tenant and whose times are valid.

    Attributes:
        size: how many values it has.
    """

    values: Sequence[_SeriesValues]
    size: int


def detect(context: TenantContext, request: DetectRequest) -> DetectResponse:
    """Score the values of one request.

    Raises:
        UnknownSeriesError: one of the series is not this tenant's.
        InputError: a time lies in the future, or twice in one series.
        ModelUnavailableError: no detector was trained yet.
    """
    (response,) = detect_each(context, [request])
    if isinstance(response, ForewarnError):
        raise response
    return response


def detect_each(
    context: TenantContext, requests: Sequence[DetectRequest]
) -> list[DetectResponse | ForewarnError]:
    """Score several requests of one tenant with one read of the stored values.

    Returns:
        A response or an error for each request, in order. A wrong request does not affect the others.
    """
    outcomes: list[_CheckedRequest | ForewarnError] = []
    for request in requests:
        try:
            outcomes.append(_checked(context, request))
        except ForewarnError as error:
            outcomes.append(error)
    checked = [one for one in outcomes if isinstance(one, _CheckedRequest)]
    try:
        loaded = context.models.detector()
        stored = _stored_values(context, loaded, [values for one in checked for values in one.values])
    except ForewarnError as error:
        return [one if isinstance(one, ForewarnError) else error for one in outcomes]
    return [one if isinstance(one, ForewarnError) else _response(loaded, one, stored) for one in outcomes]


def detect_batch(context: TenantContext, request: DetectBatchRequest) -> DetectResponse:
    """Score time ranges of many series; the results are in the order of the request.

    Raises:
        UnknownSeriesError: one of the series is not this tenant's.
        InputError: a time lies in the future, or twice in one series.
        ModelUnavailableError: no detector was trained yet.
    """
    values: list[_SeriesValues] = []
    size = 0
    for given in request.series:
        context.require_not_future(*given.points)
        positions = range(size, size + len(given.points))
        values.append(_in_time_order(context.series(given), given.points, positions))
        size += len(given.points)
    loaded = context.models.detector()
    return _response(loaded, _CheckedRequest(values, size), _stored_values(context, loaded, values))


def detect_latest(context: TenantContext, limit: int) -> list[tuple[Series, ScoredPoint]]:
    """Score the newest stored value of each series that the detector has learned; at most `limit` series.

    Raises:
        ModelUnavailableError: no detector was trained yet.
    """
    loaded = context.models.detector()
    known = {series.series_id: series for series in context.platform.store.series.find()}
    newest = context.platform.store.samples.latest().head(limit)
    values = [
        _SeriesValues(known[series_id], [Point(ts=ts, value=value)], [position])
        for position, (series_id, ts, value) in enumerate(newest.iter_rows())
        if series_id in known and series_id in loaded.model.models
    ]
    stored = _stored_values(context, loaded, values)
    loaded = _with_limits(loaded, values)
    return [(one.series, _scores(loaded, one, stored)[0]) for one in values]


def _with_limits(loaded: Loaded, values: Sequence[_SeriesValues]) -> Loaded:
    """The detector with the limits that are stored now, which may have changed since its training."""
    return replace(loaded, model=loaded.model.with_limits(one.series for one in values))


def _checked(context: TenantContext, request: DetectRequest) -> _CheckedRequest:
    context.require_not_future(*request.observations)
    by_series: dict[int, tuple[Series, list[int]]] = {}
    for position, observation in enumerate(request.observations):
        series = context.series(observation)
        by_series.setdefault(series.series_id, (series, []))[1].append(position)
    values = [
        _in_time_order(series, [request.observations[position] for position in positions], positions)
        for series, positions in by_series.values()
    ]
    return _CheckedRequest(values, len(request.observations))


def _in_time_order(series: Series, points: Sequence[Point], positions: Iterable[int]) -> _SeriesValues:
    ordered = sorted(zip(points, positions, strict=True), key=lambda pair: pair[0].ts)
    for (earlier, _), (later, _) in pairwise(ordered):
        if earlier.ts == later.ts:
            raise InputError(
                f"{series.name} has two values at {later.ts.isoformat()}; send one value per time"
            )
    return _SeriesValues(series, [point for point, _ in ordered], [position for _, position in ordered])


def _stored_values(
    context: TenantContext, loaded: Loaded, values: Sequence[_SeriesValues]
) -> Mapping[int, Stored]:
    """The stored values before those of the requests, by series: one read for all series."""
    learned = [one for one in values if one.series.series_id in loaded.model.models]
    if not learned:
        return {}
    start = min(one.points[0].ts for one in learned) - LOOKBACK
    end = max(one.points[0].ts for one in learned)
    wanted = np.unique([one.series.series_id for one in learned])
    frame = context.platform.store.samples.read(start, end, wanted.tolist())
    ids = frame["series_id"].to_numpy()
    times_s = frame["ts"].to_physical().to_numpy() // 1_000_000
    stored = frame["value"].to_numpy()
    # The frame is sorted by series: the rows of each series are a slice.
    edges = np.searchsorted(ids, [wanted, wanted + 1])
    return {
        int(series_id): (times_s[first:last], stored[first:last])
        for series_id, first, last in zip(wanted, *edges, strict=True)
    }


def _response(loaded: Loaded, request: _CheckedRequest, stored: Mapping[int, Stored]) -> DetectResponse:
    loaded = _with_limits(loaded, request.values)
    results: list[ScoredPoint | None] = [None] * request.size
    for values in request.values:
        scored = _scores(loaded, values, stored)
        for position, point in zip(values.positions, scored, strict=True):
            results[position] = point
    return DetectResponse(model=loaded.ref, results=tuple(point for point in results if point is not None))


def _just_before(stored: Stored | None, values: _SeriesValues) -> Stored | None:
    """Those of the stored values that lie within `LOOKBACK` before the first value."""
    if stored is None:
        return None
    at_s = values.points[0].ts.timestamp()
    begin, end = np.searchsorted(stored[0], [at_s - LOOKBACK.total_seconds(), at_s])
    return stored[0][begin:end], stored[1][begin:end]


def _scores(loaded: Loaded, values: _SeriesValues, stored: Mapping[int, Stored]) -> list[ScoredPoint]:
    series = values.series
    before = _just_before(stored.get(series.series_id), values)
    times = [point.ts for point in values.points]
    numbers = [point.value for point in values.points]
    try:
        scores = loaded.model.score_points(series.series_id, times, numbers, before)
    except (UnknownSeriesError, InsufficientDataError):
        # The series exists and the model has not learned it yet: the score is null, never 0.
        note = f"version {loaded.ref.version} has not learned this series"
        return [_unscored(series, point, note) for point in values.points]
    return [_scored(series, point, score) for point, score in zip(values.points, scores, strict=True)]


def _scored(series: Series, point: Point, score: PointScore) -> ScoredPoint:
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


def detect_calls(runtime: Runtime, calls: Sequence[Call]) -> list[Response]:
    """The responses to the calls of one batch, tenant by tenant: no model or store sees the data of another tenant."""
    runtime.metrics.batch_size.observe(len(calls))
    responses: dict[int, Response] = {}
    by_tenant: dict[str, list[int]] = {}
    for position, call in enumerate(calls):
        by_tenant.setdefault(call.tenant_name, []).append(position)
    for tenant, positions in by_tenant.items():
        requests = [calls[position].request_as(DetectRequest) for position in positions]
        outcomes = detect_each(runtime.context(tenant), requests)
        for position, outcome in zip(positions, outcomes, strict=True):
            if isinstance(outcome, ForewarnError):
                responses[position] = response_to(outcome)
            else:
                runtime.metrics.points.inc(len(outcome.results))
                responses[position] = respond(outcome)
    return [responses[position] for position in range(len(calls))]


def _observations(call: Call) -> int:
    return len(call.request_as(DetectRequest).observations)


ROUTE = Route(
    method="POST",
    path="/detect",
    summary="Score one value or several values.",
    handler=for_tenant(detect),
    request=DetectRequest,
    response=DetectResponse,
    lane=Lane.MODELS,
    # About a tenth of a second of work, so that a large request does not hold up the small ones.
    batching=Batching(run=detect_calls, weigh=_observations, most=2_000),
)
BATCH_ROUTE = Route(
    method="POST",
    path="/detect_batch",
    summary="Score many series over time ranges.",
    handler=for_tenant(detect_batch),
    request=DetectBatchRequest,
    response=DetectResponse,
    lane=Lane.MODELS,
)
