"""`/forecast`: forecast one series from its stored values."""

import math
from datetime import timedelta

from core.errors import InputError, InsufficientDataError, UnknownSeriesError
from serving.contract.requests import ForecastRequest
from serving.contract.responses import ForecastPoint, ForecastResponse
from serving.endpoints.route import Route, for_tenant
from serving.state.tenants import TenantContext
from serving.state.work import Lane

#: A response stays small and fast; the stored forecasts of the nightly run reach further.
MAX_STEPS = 10_000


def forecast(context: TenantContext, request: ForecastRequest) -> ForecastResponse:
    """Forecast from the newest stored values with the active forecaster.

    Raises:
        UnknownSeriesError: the series is not this tenant's.
        InsufficientDataError: the forecaster has not learned it yet.
        InputError: the horizon has too many steps of this series.
        ModelUnavailableError: no forecaster was trained yet.
    """
    series = context.series(request)
    loaded = context.models.forecaster()
    try:
        history = loaded.model.entry(series.series_id).history
    except UnknownSeriesError as error:
        raise InsufficientDataError(
            f"version {loaded.ref.version} of the forecaster has not learned {series.name} yet; "
            "the next training will, once the series has enough history"
        ) from error
    steps = math.ceil(request.horizon_s / history.step_s)
    if steps > MAX_STEPS:
        raise InputError(
            f"horizon_s: {request.horizon_s} s are {steps} steps of this series; "
            f"ask for at most {MAX_STEPS} steps ({MAX_STEPS * history.step_s} s)"
        )
    now = context.platform.clock.now()
    # One second more than now: the end is exclusive, and the newest sample may have the time of this second.
    recent = context.platform.store.samples.read(history.end, now + timedelta(seconds=1), [series.series_id])
    levels = sorted(set(request.levels))
    prediction = loaded.model.forecast(series.series_id, recent, steps, levels)
    points = tuple(
        ForecastPoint(
            ts=ts,
            yhat=float(prediction.yhat[step]),
            intervals={
                f"{level:g}": (float(prediction.lower[level][step]), float(prediction.upper[level][step]))
                for level in levels
            },
        )
        for step, ts in enumerate(prediction.times())
    )
    return ForecastResponse(
        model=loaded.ref,
        series_id=series.series_id,
        series=series.name,
        unit=series.unit,
        threshold=series.threshold,
        proposed_threshold=series.proposed_threshold if series.threshold is None else None,
        made_at=prediction.made_at,
        points=points,
    )


ROUTE = Route(
    method="POST",
    path="/forecast",
    summary="Forecast one series, with intervals.",
    handler=for_tenant(forecast),
    request=ForecastRequest,
    response=ForecastResponse,
    lane=Lane.MODELS,
)
