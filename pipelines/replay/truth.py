"""What happened in the time of a replay, from the recorded past: incidents, breaches and alerts of plain rules."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from core.arrays import FloatArray
from core.domain import Incident, Series, Severity
from core.limit_changes import PastLimits
from core.ports import Store
from models.breach.backtest import SAME_BREACH_S, find_breaches
from models.lifecycle.event_matching import LONGEST_WARNING
from models.lifecycle.replay_figures import Truth
from models.series.thresholds import breach_threshold_of, is_past, is_upward, thresholds_over_time
from pipelines.processes.parallel import chunked

RECORDED, VIOLATIONS = "recorded incidents", "SLO violations"
#: Series whose samples are read at once.
_AT_ONCE = 200
#: The level is the median of so many samples, as where breaches are learned from.
_SMOOTH_OVER = 3


def truth_of(past: Store, series: Sequence[Series], start: datetime, end: datetime) -> Truth:
    """What happened in [start, end).

    Args:
        past: the store whose past was replayed.
        series: with the thresholds by which breaches count.
    """
    breaches: dict[str, dict[int, list[datetime]]] = {}
    rules: list[tuple[str, datetime]] = []
    violations: list[Incident] = []
    watched = [one for one in series if breach_threshold_of(one) is not None]
    for part in chunked(watched, _AT_ONCE):
        ids = [one.series_id for one in part]
        samples = past.samples.read(start, end, ids)
        limits = past.limit_changes.past_limits(ids)
        for one in part:
            mine = samples.filter(pl.col("series_id") == one.series_id, pl.col("value").is_finite()).sort(
                "ts"
            )
            if mine.is_empty():
                continue
            found = _Crossings(one, limits.get(one.series_id, ()), mine)
            if times := found.breaches():
                breaches.setdefault(one.metric, {})[one.series_id] = times
            rules += [(one.service, at) for at in found.rule_alerts()]
            if one.slo_threshold is not None:
                violations += found.violations()
    recorded = [
        one for one in past.incidents.between(start, end + LONGEST_WARNING) if start <= one.start < end
    ]
    return Truth(
        source=RECORDED if recorded else VIOLATIONS,
        incidents=recorded or sorted(violations, key=lambda one: (one.start, one.service, one.type)),
        breaches=breaches,
        threshold_alerts=sorted(rules),
    )


class _Crossings:
    """The crossings of the threshold of one series."""

    def __init__(self, series: Series, limits: PastLimits, samples: pl.DataFrame) -> None:
        self._series = series
        self._values = samples.get_column("value").to_numpy()
        self._seconds = samples.get_column("ts").dt.epoch("us").to_numpy() / 1e6
        threshold = thresholds_over_time(series, limits, self._seconds)
        assert threshold is not None  # noqa: S101 - only series with a threshold come here
        self._threshold = threshold
        self._upward = is_upward(series)

    def breaches(self) -> list[datetime]:
        level = pl.Series(self._values).rolling_median(_SMOOTH_OVER, min_samples=1).to_numpy()
        return _times(find_breaches(self._seconds, level, self._threshold, upward=self._upward))

    def rule_alerts(self) -> list[datetime]:
        """When a rule that compares each value with the threshold begins to fire."""
        past = is_past(self._values, self._threshold, upward=self._upward)
        begins = np.flatnonzero(past & ~np.concatenate([[False], past[:-1]]))
        return _times(self._seconds[begins])

    def violations(self) -> list[Incident]:
        """Each breach as an incident, which ends with the last value over the threshold before the next one."""
        past = self._seconds[is_past(self._values, self._threshold, upward=self._upward)]
        found = []
        for begin in self.breaches():
            first = begin.timestamp()
            last = first
            for at in past[past >= first]:
                if at - last > SAME_BREACH_S:
                    break
                last = float(at)
            found.append(
                Incident(
                    tenant=self._series.tenant,
                    service=self._series.service,
                    type=f"{self._series.metric} over its SLO",
                    severity=Severity.WARNING,
                    start=begin,
                    end=begin + timedelta(seconds=last - first),
                )
            )
        return found


def _times(seconds: FloatArray) -> list[datetime]:
    return [datetime.fromtimestamp(one, UTC) for one in seconds.tolist()]
