"""`/forecast`: how one series will go on from what is stored of it."""

import math
from datetime import timedelta

from core.errors import InputError, InsufficientDataError, UnknownSeriesError
from serving.contract.requests import ForecastRequest
from serving.contract.responses import ForecastAnswer, ForecastPoint
from serving.state.tenants import TenantContext

#: Answers stay readable and quick; a longer look ahead is what the nightly forecasts are for.
MAX_STEPS = 10_000


def forecast(room: TenantContext, request: ForecastRequest) -> ForecastAnswer:
    """Forecast from the newest stored values, by the champion forecaster.

    Raises:
        UnknownSeriesError: the series is not this tenant's.
        InsufficientDataError: the forecaster has not learned it yet.
        InputError: the horizon is too long for the steps of this series.
        ModelUnavailableError: no forecaster was trained yet.
    """
    series = room.series(request)
    loaded = room.models.get("forecaster")
    try:
        history = loaded.bundle.entry(series.series_id).history
    except UnknownSeriesError as error:
        raise InsufficientDataError(
            f"version {loaded.ref.version} has not learned to forecast {series.name} yet"
        ) from error
    steps = math.ceil(request.horizon_s / history.step_s)
    if steps > MAX_STEPS:
        raise InputError(
            f"horizon_s: {request.horizon_s} s are {steps} steps of this series; ask for at most {MAX_STEPS}"
        )
    now = room.platform.clock.now()
    # Seconds after now as well, for the end is exclusive and the newest sample may be this very second's.
    recent = room.platform.store.samples.read(history.end, now + timedelta(seconds=1), [series.series_id])
    levels = sorted(set(request.levels))
    prediction = loaded.bundle.forecast(series.series_id, recent, steps, levels)
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
    return ForecastAnswer(
        model=loaded.ref,
        series_id=series.series_id,
        series=series.name,
        unit=series.unit,
        threshold=series.threshold,
        made_at=prediction.made_at,
        points=points,
    )
