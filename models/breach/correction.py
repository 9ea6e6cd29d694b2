"""Corrects predictions of breaches by how well predictions of past breaches held, for each group of metrics.

Simulated paths rest on assumptions: that a fill keeps its mean rate, that it may stop. In a fleet whose queues fill
faster and faster, all predicted times are too late; in a fleet whose errors jump, every step looks like a fill. So
predictions are made again at past moments, with nothing known that came later.

- Times: each quantile of the range is moved until it held as often as it claims before the breaches that came. Errors
  are ratios: to be an hour late matters for a breach in two hours, and not for one in twenty.
- Probabilities: each is multiplied by the ratio of breaches that came to breaches that were expected, if clearly fewer
  came. Only moments that were not selected for a later breach count.

References:
    Romano, Y., Patterson, E. and Candès, E. (2019). Conformalized quantile regression. NeurIPS.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from core.arrays import FloatArray
from core.domain import Breach, Series, TimeRange
from models.breach.backtest import LIKELY_AT, PastForecast, correction_group
from models.breach.outlook import BreachPattern

#: P10, P50 and P90, as shares.
LEVELS = (0.1, 0.5, 0.9)
#: Added to both times before their ratio is taken, because a ratio means nothing within minutes of the breach.
RATIO_OFFSET_S = 900.0
#: So many breaches of a group weigh as much as those of the wider group; likewise those of the wider group against no
#: correction.
PRIOR_BREACHES = 8
#: Normal quantile of the upper limit of a ratio, up to which the prediction is trusted: one in a hundred.
TRUST_QUANTILE = 2.33
#: Alerts begin at this probability, and the range must hold from it on. It is below one half because the paths are
#: cautious: of the breaches predicted at 45 to 50 % within 3 h, 70 % came
#: (see docs/decisions/what-follows-a-breach.md).
ALERT_FROM = 0.47

LogShifts = tuple[float, float, float]
NO_SHIFT: LogShifts = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class BreachCorrection:
    """Corrects the probabilities and the time ranges of breaches.

    Attributes:
        log_time_shifts: by group, added to the logarithms of the times P10, P50 and P90. Groups come from
            `correction_group`; wider groups without the metric serve metrics that never breached.
        probability_factors: by group, factors of the probabilities by horizon in seconds, in [0, 1].
    """

    log_time_shifts: Mapping[str, LogShifts] = field(default_factory=dict)
    probability_factors: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    def correct(self, breach: Breach, series: Series, pattern: BreachPattern, at: datetime) -> Breach:
        """The breach with corrected probabilities and times; unchanged if the series is over its threshold already.

        Args:
            at: the present.
        """
        if pattern is BreachPattern.OVER:
            return breach
        group = correction_group(series, pattern)
        return self._correct_probability(self._correct_time(breach, group, at), group)

    def _correct_time(self, breach: Breach, group: str, at: datetime) -> Breach:
        if breach.when is None:
            return breach
        shifts = self.log_time_shifts.get(group, self.log_time_shifts.get(_wider_group(group), NO_SHIFT))
        predicted_s = [
            (moment - at).total_seconds() for moment in (breach.when.p10, breach.when.p50, breach.when.p90)
        ]
        times = (np.maximum(predicted_s, 0.0) + RATIO_OFFSET_S) * np.exp(shifts) - RATIO_OFFSET_S
        low, middle, high = np.maximum.accumulate(np.clip(times, 0.0, breach.horizon_s))
        p10, p50, p90 = (at + timedelta(seconds=round(float(seconds))) for seconds in (low, middle, high))
        return replace(breach, when=TimeRange(p10=p10, p50=p50, p90=p90))

    def _correct_probability(self, breach: Breach, group: str) -> Breach:
        factors = self.probability_factors.get(group, self.probability_factors.get(_wider_group(group), {}))
        corrected: dict[int, float] = {}
        highest = 0.0
        for horizon_s, probability in sorted(breach.probability_by_horizon_s.items()):
            highest = max(highest, min(1.0, probability * factors.get(horizon_s, 1.0)))
            corrected[horizon_s] = highest
        longest = min(1.0, breach.probability * factors.get(breach.horizon_s, 1.0))
        return replace(breach, probability=max(highest, longest), probability_by_horizon_s=corrected)

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the keys of the previous release; horizons become strings."""
        return {
            "moved": dict(self.log_time_shifts),
            "came_true": {
                group: {str(horizon_s): factor for horizon_s, factor in factors.items()}
                for group, factors in self.probability_factors.items()
            },
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "BreachCorrection":
        """The inverse of `to_json`."""
        return cls(
            log_time_shifts={
                group: (low, middle, high) for group, (low, middle, high) in stored["moved"].items()
            },
            probability_factors={
                group: {int(horizon_s): factor for horizon_s, factor in factors.items()}
                for group, factors in stored["came_true"].items()
            },
        )


def _wider_group(group: str) -> str:
    return group.rpartition("/")[0]


def learn_correction(forecasts: Sequence[PastForecast]) -> BreachCorrection:
    """Learn the corrections that would have been right; none if there are no past forecasts."""
    shifts: dict[str, LogShifts] = {}
    factors: dict[str, Mapping[int, float]] = {}
    before_breaches = [
        one
        for one in forecasts
        if one.selected_by_breach
        and one.predicted_s
        and max(one.probability_by_horizon_s.values()) >= ALERT_FROM
    ]
    of_rises = [
        one
        for one in forecasts
        if not one.selected_by_breach
        and one.pattern is BreachPattern.FILL
        and max(one.probability_by_horizon_s.values()) >= LIKELY_AT
    ]
    for wider in sorted({_wider_group(one.group) for one in forecasts}):
        shifts[wider] = _log_shifts(
            [one for one in before_breaches if _wider_group(one.group) == wider], NO_SHIFT
        )
        factors[wider] = _factors([one for one in of_rises if _wider_group(one.group) == wider], {})
        for group in sorted({one.group for one in forecasts if _wider_group(one.group) == wider}):
            shifts[group] = _log_shifts([one for one in before_breaches if one.group == group], shifts[wider])
            factors[group] = _factors([one for one in of_rises if one.group == group], factors[wider])
    return BreachCorrection(shifts, factors)


def _log_shifts(forecasts: Sequence[PastForecast], otherwise: LogShifts) -> LogShifts:
    """Quantiles of the log ratios of true to predicted time, drawn towards `otherwise` if few breaches are known."""
    true = np.log(
        np.array([one.breach_in_s for one in forecasts if one.breach_in_s is not None]) + RATIO_OFFSET_S
    )
    if not len(true):
        return otherwise
    weights = _weights(forecasts)
    episodes = len({one.episode for one in forecasts})
    share = episodes / (episodes + PRIOR_BREACHES)
    predicted = np.array([one.predicted_s for one in forecasts])
    shifts = []
    for index, level in enumerate(LEVELS):
        wrong = true - np.log(predicted[:, index] + RATIO_OFFSET_S)
        shifts.append(share * _quantile(wrong, weights, level) + (1 - share) * otherwise[index])
    return shifts[0], shifts[1], shifts[2]


def _factors(forecasts: Sequence[PastForecast], otherwise: Mapping[int, float]) -> Mapping[int, float]:
    """Breaches that came for each expected breach, by horizon, as if `PRIOR_BREACHES` more followed `otherwise`.

    The factor is the upper limit of what may be true (of a Poisson rate, by its score), and at most 1: a probability is
    only lowered as far as it was proven wrong.
    """
    if not forecasts:
        return otherwise
    weights = _weights(forecasts)
    factors = {}
    for horizon_s in forecasts[0].probability_by_horizon_s:
        probabilities = np.array([one.probability_by_horizon_s[horizon_s] for one in forecasts])
        expected = PRIOR_BREACHES + float(weights @ probabilities)
        in_time = [one.breach_in_s is not None and one.breach_in_s <= horizon_s for one in forecasts]
        came = PRIOR_BREACHES * otherwise.get(horizon_s, 1.0) + float(weights @ np.array(in_time))
        at_most = came + TRUST_QUANTILE**2 / 2 + TRUST_QUANTILE * math.sqrt(came + TRUST_QUANTILE**2 / 4)
        factors[horizon_s] = min(1.0, at_most / expected)
    return factors


def _weights(forecasts: Sequence[PastForecast]) -> FloatArray:
    """Ten forecasts in one episode count more than one forecast, and less than ten episodes."""
    sizes = Counter(one.episode for one in forecasts)
    return np.array([1.0 / np.sqrt(sizes[one.episode]) for one in forecasts])


def _quantile(values: FloatArray, weights: FloatArray, level: float) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, level)), len(values) - 1)])
