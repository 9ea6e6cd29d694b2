"""The forecasters in use, and the samples that they start from."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl

from core.domain import ModelRef
from core.errors import ModelUnavailableError
from models.breach.bundle import BreachBundle
from pipelines.common.tenant_platform import Platform

HOUR = timedelta(hours=1)


def load_forecasters(platform: Platform) -> tuple[ModelRef, BreachBundle]:
    """The champion, or the challenger while nothing has been promoted yet.

    Raises:
        ModelUnavailableError: nothing was trained yet.
    """
    try:
        model, files = platform.registry.load("forecaster")
    except ModelUnavailableError:
        model, files = platform.registry.load("forecaster", "challenger")
    return model, BreachBundle.from_files(files)


def read_recent(
    platform: Platform, bundle: BreachBundle, series_ids: Sequence[int], now: datetime
) -> pl.DataFrame:
    """The samples since the bundle was made, or since `now` if that was before; the two hours before give the newest
    level even when that is now."""
    since = min(now, *(bundle.forecasters.entry(series_id).history.end for series_id in series_ids))
    return platform.store.samples.read(since - 2 * HOUR, now, series_ids)
