"""Load the active forecasters and the samples that they start from."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from core.domain import ModelRef
from core.durations import HOUR
from core.errors import ModelUnavailableError
from models.breach.bundle import BreachBundle
from pipelines.common.tenant_platform import Platform


def load_forecasters(platform: Platform) -> tuple[ModelRef, BreachBundle]:
    """Load the champion, or the challenger while no model has been promoted, with the limits that are stored now.

    Raises:
        ModelUnavailableError: no forecaster has been trained yet.
    """
    try:
        model, files = platform.registry.load("forecaster")
    except ModelUnavailableError:
        model, files = platform.registry.load("forecaster", "challenger")
    return model, BreachBundle.from_files(files).with_limits(platform.store.series.find())


def read_recent(
    platform: Platform, bundle: BreachBundle, series_ids: Sequence[int], now: datetime
) -> pl.DataFrame:
    """Read the samples of some series since the bundle was trained, or since `now` if that is earlier.

    Two more hours are read, so that the newest level is known even if the bundle was trained a moment ago.
    """
    since = min(now, *(bundle.forecasters.entry(series_id).history.end for series_id in series_ids))
    return platform.store.samples.read(since - 2 * HOUR, now, series_ids)
