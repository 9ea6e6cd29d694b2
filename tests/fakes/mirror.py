"""Mirror images of series: `about - x` of a resource that fills is one that runs out."""

from dataclasses import replace
from datetime import datetime

import numpy as np

from core.arrays import FloatArray
from core.domain import Breach, Direction, Series
from models.breach.capacity import Capacity
from models.breach.growth import Present
from models.breach.outlook import BreachOutlook
from models.forecast.paths import ForecastPaths
from models.forecast.protocols import Bounds, History
from models.series.thresholds import threshold_of

#: Metrics of the same disk.
HIGH_IS_BAD, LOW_IS_BAD = "disk_used_bytes", "disk_free_bytes"


class SameId(Series):
    """A series with the id of the used space, so that both get the same random numbers."""

    def _id(self) -> int:
        return Series(
            tenant=self.tenant, service=self.service, metric=HIGH_IS_BAD, labels=self.labels
        ).series_id


def with_same_id(series: Series) -> Series:
    """The series with the id of the used space."""
    return SameId(**{name: getattr(series, name) for name in Series.__dataclass_fields__})


def mirrored_series(series: Series, about: float, *, declared: bool = False) -> Series:
    """The series that is worse the lower it is, with the mirrored threshold as SLO threshold.

    Args:
        declared: it keeps its name, and people have declared its direction.
    """
    threshold = threshold_of(series)
    slo = None if threshold is None else about - threshold
    if declared:
        return replace(series, direction=Direction.DOWN_IS_BAD, limit=None, slo_threshold=slo)
    return replace(series, metric=LOW_IS_BAD, limit=None, slo_threshold=slo)


def mirrored_history(history: History, about: float) -> History:
    """The history of `about - x`."""
    lower, upper = history.bounds.lower, history.bounds.upper
    bounds = Bounds(
        lower=None if upper is None else about - upper, upper=None if lower is None else about - lower
    )
    return replace(history, values=about - history.values, bounds=bounds)


def mirrored_present(present: Present, about: float) -> Present:
    return Present(
        at=present.at, level=about - present.level, level_an_hour_ago=about - present.level_an_hour_ago
    )


def mirrored_paths(paths: ForecastPaths, about: float) -> ForecastPaths:
    """The paths of `about - x`."""
    return ForecastPaths(
        count=paths.count,
        lowest=about - paths.highest,
        highest=about - paths.lowest,
        simulate=lambda: about - paths.simulate(),
    )


def mirrored_outlook(outlook: BreachOutlook, about: float) -> BreachOutlook:
    """The outlook of `about - x`."""
    return replace(
        outlook,
        breach=_mirrored_breach(outlook.breach, about),
        impact=_mirrored_breach(outlook.impact, about),
        growth=outlook.growth.mirrored(),
        level=about - outlook.level,
        paths=lambda: about - outlook.paths(),
    )


def mirrored_capacity(capacity: Capacity, about: float) -> Capacity:
    """The plan of `about - x`."""
    return replace(
        capacity,
        level=about - capacity.level,
        per_day=-capacity.per_day,
        breach=_mirrored_breach(capacity.breach, about),
        peaks=about - capacity.peaks,
        fan=about - capacity.fan[:, ::-1],
    )


def _mirrored_breach(breach: Breach, about: float) -> Breach:
    return replace(breach, threshold=about - breach.threshold)


def times_of(breach: Breach, at: datetime) -> FloatArray | None:
    """Hours until P10, P50 and P90; null if no path crosses."""
    if breach.when is None:
        return None
    return np.array(
        [(one - at).total_seconds() / 3_600 for one in (breach.when.p10, breach.when.p50, breach.when.p90)]
    )
