"""What happened in the time of a replay, from the recorded past: incidents, breaches and alerts of plain rules."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from core.arrays import BoolArray, FloatArray
from core.domain import Incident, Series, Severity
from core.limit_changes import PastLimits
from core.ports import Store
from models.breach.backtest import SAME_BREACH_S, find_breaches
from models.lifecycle.event_matching import LONGEST_WARNING
from models.lifecycle.replay_figures import Truth
from models.series.thresholds import breach_threshold_of, is_past, is_upward, thresholds_over_time
from pipelines.learn.past_breaches import SMOOTH_OVER
from pipelines.processes.parallel import chunked

RECORDED, VIOLATIONS = "recorded incidents", "SLO violations"
#: Series whose samples are read at once.
_AT_ONCE = 200


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
            found = _Crossings.of(one, limits.get(one.series_id, ()), mine)
            if found is None:
                continue
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


@dataclass(frozen=True, slots=True)
class _Crossings:
    """The crossings of the threshold of one series.

    Attributes:
        seconds: epoch seconds of the values, ascending.
        threshold: one for each value where it has changed.
    """

    series: Series
    seconds: FloatArray
    values: FloatArray
    threshold: FloatArray | float

    @classmethod
    def of(cls, series: Series, limits: PastLimits, samples: pl.DataFrame) -> "_Crossings | None":
        """Null for a series without samples or threshold."""
        seconds = samples.get_column("ts").dt.epoch("us").to_numpy() / 1e6
        threshold = thresholds_over_time(series, limits, seconds)
        if samples.is_empty() or threshold is None:
            return None
        return cls(series, seconds, samples.get_column("value").to_numpy(), threshold)

    def _is_past(self, values: FloatArray) -> BoolArray:
        return is_past(values, self.threshold, upward=is_upward(self.series))

    def breaches(self) -> list[datetime]:
        level = pl.Series(self.values).rolling_median(SMOOTH_OVER, min_samples=1).to_numpy()
        return _times(find_breaches(self.seconds, level, self.threshold, upward=is_upward(self.series)))

    def rule_alerts(self) -> list[datetime]:
        """When a rule that compares each value with the threshold begins to fire."""
        past = self._is_past(self.values)
        begins = np.flatnonzero(past & ~np.concatenate([[False], past[:-1]]))
        return _times(self.seconds[begins])

    def violations(self) -> list[Incident]:
        """Each breach as an incident, which ends with the last value over the threshold before the next one."""
        past = self.seconds[self._is_past(self.values)]
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
                    tenant=self.series.tenant,
                    service=self.series.service,
                    type=f"{self.series.metric} over its SLO",
                    severity=Severity.WARNING,
                    start=begin,
                    end=begin + timedelta(seconds=last - first),
                )
            )
        return found


def _times(seconds: FloatArray) -> list[datetime]:
    return [datetime.fromtimestamp(one, UTC) for one in seconds.tolist()]
