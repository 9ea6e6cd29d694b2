"""The capacity view: every resource with a threshold, by when it runs out."""

from datetime import datetime

from core.domain import CAPACITY_DAYS, Role
from core.errors import InsufficientDataError
from models.breach.capacity import Capacity, by_urgency, plan_capacity
from pipelines.common.forecasters import load_forecasters, read_recent
from pipelines.common.parallel import chunked
from pipelines.common.present import present
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform

CHUNK = 200
#: What can run out; errors and latency cross thresholds too, but do not fill up.
_FILLS = (Role.CAPACITY, Role.SATURATION)


def capacity(
    platform: Platform,
    *,
    at: datetime | None = None,
    horizon_days: int = CAPACITY_DAYS,
    progress: Progress = silent,
) -> list[Capacity]:
    """When each resource runs out at its present growth, the most urgent first.

    Raises:
        ModelUnavailableError: no forecasters were trained yet.
    """
    _, bundle = load_forecasters(platform)
    forecasters = bundle.forecasters
    now = present(platform, at)
    ids = [key for key, entry in sorted(forecasters.entries.items()) if entry.series.role in _FILLS]
    found: list[Capacity] = []
    for number, part in enumerate(chunked(ids, CHUNK), start=1):
        recent = read_recent(platform, bundle, part, now)
        for key in part:
            entry = forecasters.entries[key]
            try:
                history = forecasters.present(entry, recent, now)
                _, outlook = bundle.outlook(key, recent, now)
            except InsufficientDataError:
                continue
            one = plan_capacity(
                entry.series,
                history,
                at=now,
                seed=forecasters.parts.seed,
                horizon_days=horizon_days,
                outlook=outlook,
            )
            if one is not None:
                found.append(one)
        progress("capacity", min(number * CHUNK, len(ids)), len(ids))
    return by_urgency(found)
