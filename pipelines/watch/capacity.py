"""Predict when each resource with a threshold runs out."""

from datetime import datetime

from core.domain import CAPACITY_DAYS, Role
from core.errors import InsufficientDataError
from models.breach.capacity import Capacity, by_urgency, plan_capacity
from pipelines.common.current_time import current_time
from pipelines.common.forecasters import in_present_sizes, load_forecasters, read_recent
from pipelines.common.progress import Progress, silent
from pipelines.common.series_ends import ended_series, read_ends
from pipelines.common.tenant_platform import Platform
from pipelines.processes.parallel import chunked

#: Series whose samples are read at once.
CHUNK = 200
#: Only these can run out. Errors and latency cross thresholds too, but they do not fill up.
_ROLES_THAT_FILL = (Role.CAPACITY, Role.SATURATION)


def capacity(
    platform: Platform,
    *,
    at: datetime | None = None,
    horizon_days: int = CAPACITY_DAYS,
    progress: Progress = silent,
) -> list[Capacity]:
    """Predict when each resource runs out at its present growth; the most urgent come first.

    A resource without enough history is left out, and so is one whose sender ended it.

    Args:
        at: the present; null: now, or the end of the data if that is earlier.
        horizon_days: how far ahead to predict.
    Raises:
        ModelUnavailableError: no forecaster has been trained yet.
    """
    _, bundle = load_forecasters(platform)
    now = current_time(platform, at)
    bundle = in_present_sizes(platform, bundle, now)
    forecasters = bundle.forecasters
    ended = ended_series(platform.store, read_ends(platform.store, now), now)
    ids = [
        key
        for key, entry in sorted(forecasters.entries.items())
        if entry.series.role in _ROLES_THAT_FILL and key not in ended
    ]
    resources: list[Capacity] = []
    for number, part in enumerate(chunked(ids, CHUNK), start=1):
        recent = read_recent(platform, bundle, part, now)
        for key in part:
            entry = forecasters.entries[key]
            try:
                history = bundle.present(key, recent[key], now)
                _, outlook = bundle.outlook(key, recent[key], now)
            except InsufficientDataError:
                continue
            resource = plan_capacity(
                entry.series,
                history,
                at=now,
                seed=forecasters.parts.seed,
                horizon_days=horizon_days,
                outlook=outlook,
            )
            if resource is not None:
                resources.append(resource)
        progress("capacity", min(number * CHUNK, len(ids)), len(ids))
    return by_urgency(resources)
