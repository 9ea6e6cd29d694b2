"""Load the active forecasters and the samples that they start from."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from core.domain import Event, EventKind, ModelRef, Series
from core.durations import HOUR
from core.resizes import is_resize_of
from models.breach.bundle import BreachBundle
from models.forecast.recent import NOTHING, Recent, recent_of
from models.forecast.resizes import NEAR_S, Resize, measure_resize
from pipelines.common.tenant_platform import Platform

KIND = "forecaster"
#: After this time a model has learned a new size from the values themselves.
RESIZED_WITHIN = timedelta(days=14)


def load_forecasters(
    platform: Platform, stored: Sequence[Series] | None = None
) -> tuple[ModelRef, BreachBundle]:
    """Load the champion, or the challenger while no model has been promoted, with the limits that are stored now.

    Args:
        stored: the series of the tenant, if they have been read.
    Raises:
        ModelUnavailableError: no forecaster has been trained yet.
    """
    model, bundle = platform.models.get_newest(KIND, BreachBundle.from_files)
    return model, bundle.with_limits(platform.store.series.find() if stored is None else stored)


def in_present_sizes(platform: Platform, bundle: BreachBundle, now: datetime) -> BreachBundle:
    """The bundle with histories as the present sizes of disks, volumes and pools would have given them."""
    return with_measured_resizes(platform, bundle, resize_events(platform, now), now)


def resize_events(platform: Platform, now: datetime) -> list[Event]:
    """What may have resized a series in the last two weeks."""
    events = platform.store.events.between(now - RESIZED_WITHIN, now)
    return [one for one in events if one.kind is EventKind.CONFIG_CHANGE and one.metric is not None]


def with_measured_resizes(
    platform: Platform, bundle: BreachBundle, events: Sequence[Event], now: datetime
) -> BreachBundle:
    """The bundle with histories in present sizes; each resize is measured from the values beside it.

    Args:
        events: from `resize_events`.
    """
    near = timedelta(seconds=NEAR_S)
    series = [entry.series for entry in bundle.forecasters.entries.values()]
    found: dict[int, list[Resize]] = {}
    for event in events:
        mine = [one for one in series if is_resize_of(event, one)]
        if not mine:
            continue
        end = min(event.at + near, now)
        samples = platform.store.samples.read(event.at - near, end, [one.series_id for one in mine])
        for one in mine:
            resize = measure_resize(one, event.at, samples)
            if resize is not None and all(known.at != resize.at for known in found.get(one.series_id, ())):
                found.setdefault(one.series_id, []).append(resize)
    return bundle.with_resizes(found)


def read_recent(
    platform: Platform, bundle: BreachBundle, series_ids: Sequence[int], now: datetime
) -> dict[int, Recent]:
    """Read the samples of each of some series since the bundle was trained, or since `now` if that is earlier.

    Two more hours are read, so that the newest level is known even if the bundle was trained a moment ago.
    """
    since = min(now, *(bundle.forecasters.entry(series_id).history.end for series_id in series_ids))
    found = recent_of(platform.store.samples.read(since - 2 * HOUR, now, series_ids))
    return {series_id: found.get(series_id, NOTHING) for series_id in series_ids}
