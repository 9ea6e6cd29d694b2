"""How wrong what was said of breaches proved, and what that says of the next ones: by kind of metric.

Simulated courses share what they assume of a fill: that its pace holds on average, that it may stop. Where queues of a
fleet fill faster and faster, all of them come late; where errors jump and never creep, every step looks like a fill.
So moments of the past are looked at again, with nothing that was known later.

- Times: each edge of the range is moved until it held as often as it claims before the breaches that came. Errors are
  ratios: to be an hour late matters on two hours and not on twenty.
- Probabilities: each is multiplied by how many breaches came for each that was expected, where that was clearly fewer,
  at moments that were not chosen for what came after them.

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

from core.domain import Breach, Series, TimeRange
from models.breach.backtest import LIKELY_AT, PastForecast, kind_of
from models.breach.outlook import BreachPattern
from models.forecast.protocols import FloatArray

#: P10, P50 and P90, as shares.
EDGES = (0.1, 0.5, 0.9)
#: Added to both times before their ratio is taken: within minutes of the breach a ratio says nothing.
SOON_S = 900.0
#: As many breaches of a kind of metric weigh as much as all others together; likewise all against none.
WORTH = 8
#: Normal quantile of the limit up to which doubt speaks for what was said: one in a hundred.
DOUBT = 2.33
#: From this probability on people are told, and the range is asked to hold. Below one half, for courses are timid: of
#: what they told at 45 to 50 % within 3 h, 70 % came (see docs/decisions/what-follows-a-breach.md).
ALERT_FROM = 0.47

Offsets = tuple[float, float, float]
NONE: Offsets = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class BreachCorrection:
    """By what probabilities and ranges of breaches are to be corrected.

    Args:
        moved: by what the logarithms of P10, P50 and P90 are moved, by kind (see `kind_of`), and by kind without the
            metric for metrics that never breached.
        came_true: by what probabilities are multiplied, by horizon in seconds; likewise by kind.
    """

    moved: Mapping[str, Offsets] = field(default_factory=dict)
    came_true: Mapping[str, Mapping[int, float]] = field(default_factory=dict)

    def correct(self, breach: Breach, series: Series, pattern: BreachPattern, at: datetime) -> Breach:
        """The same breach with the probabilities and the range that held in the past; `at` is the present."""
        if pattern is BreachPattern.OVER:
            return breach
        kind = kind_of(series, pattern)
        return self._likely(self._timed(breach, kind, at), kind)

    def _timed(self, breach: Breach, kind: str, at: datetime) -> Breach:
        if breach.when is None:
            return breach
        moved = self.moved.get(kind, self.moved.get(_family(kind), NONE))
        told = [
            (moment - at).total_seconds() for moment in (breach.when.p10, breach.when.p50, breach.when.p90)
        ]
        times = (np.maximum(told, 0.0) + SOON_S) * np.exp(moved) - SOON_S
        low, middle, high = np.maximum.accumulate(np.clip(times, 0.0, breach.horizon_s))
        p10, p50, p90 = (at + timedelta(seconds=round(float(seconds))) for seconds in (low, middle, high))
        return replace(breach, when=TimeRange(p10=p10, p50=p50, p90=p90))

    def _likely(self, breach: Breach, kind: str) -> Breach:
        came = self.came_true.get(kind, self.came_true.get(_family(kind), {}))
        shares: dict[int, float] = {}
        highest = 0.0
        for horizon_s, told in sorted(breach.probability_by_horizon_s.items()):
            highest = shares[horizon_s] = max(highest, min(1.0, told * came.get(horizon_s, 1.0)))
        longest = min(1.0, breach.probability * came.get(breach.horizon_s, 1.0))
        return replace(breach, probability=max(highest, longest), probability_by_horizon_s=shares)

    def to_json(self) -> dict[str, Any]:
        """As JSON has it: keys are strings."""
        return {
            "moved": dict(self.moved),
            "came_true": {
                kind: {str(horizon_s): ratio for horizon_s, ratio in ratios.items()}
                for kind, ratios in self.came_true.items()
            },
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "BreachCorrection":
        """What `to_json` gave."""
        return cls(
            moved={kind: (low, middle, high) for kind, (low, middle, high) in told["moved"].items()},
            came_true={
                kind: {int(horizon_s): ratio for horizon_s, ratio in ratios.items()}
                for kind, ratios in told["came_true"].items()
            },
        )


def _family(kind: str) -> str:
    return kind.rpartition("/")[0]


def learn_correction(looks: Sequence[PastForecast]) -> BreachCorrection:
    """The corrections that would have been right; none where nothing was looked at."""
    moved: dict[str, Offsets] = {}
    came_true: dict[str, Mapping[int, float]] = {}
    told = [look for look in looks if look.chosen and look.told_s and max(look.told.values()) >= ALERT_FROM]
    tried = [
        look
        for look in looks
        if not look.chosen and look.pattern is BreachPattern.FILL and max(look.told.values()) >= LIKELY_AT
    ]
    for family in sorted({_family(look.kind) for look in looks}):
        moved[family] = _offsets([look for look in told if _family(look.kind) == family], NONE)
        came_true[family] = _ratios([look for look in tried if _family(look.kind) == family], {})
        for kind in sorted({look.kind for look in looks if _family(look.kind) == family}):
            moved[kind] = _offsets([look for look in told if look.kind == kind], moved[family])
            came_true[kind] = _ratios([look for look in tried if look.kind == kind], came_true[family])
    return BreachCorrection(moved, came_true)


def _offsets(looks: Sequence[PastForecast], otherwise: Offsets) -> Offsets:
    """Quantiles of the log ratios, drawn towards `otherwise` where few breaches are known."""
    came = np.log(np.array([look.came_s for look in looks if look.came_s is not None]) + SOON_S)
    if not len(came):
        return otherwise
    weights = _weights(looks)
    episodes = len({look.episode for look in looks})
    share = episodes / (episodes + WORTH)
    told = np.array([look.told_s for look in looks])
    moved = []
    for edge, level in enumerate(EDGES):
        wrong = came - np.log(told[:, edge] + SOON_S)
        moved.append(share * _quantile(wrong, weights, level) + (1 - share) * otherwise[edge])
    return moved[0], moved[1], moved[2]


def _ratios(looks: Sequence[PastForecast], otherwise: Mapping[int, float]) -> Mapping[int, float]:
    """Breaches that came for each that was expected, by horizon, as if `WORTH` more had come as `otherwise` says.

    Of what may be true the most (the upper limit of a Poisson rate, by its score), and at most 1: a probability is
    taken back as far as it was proven wrong.
    """
    if not looks:
        return otherwise
    weights = _weights(looks)
    ratios = {}
    for horizon_s in looks[0].told:
        expected = WORTH + float(weights @ np.array([look.told[horizon_s] for look in looks]))
        in_time = [look.came_s is not None and look.came_s <= horizon_s for look in looks]
        came = WORTH * otherwise.get(horizon_s, 1.0) + float(weights @ np.array(in_time))
        at_most = came + DOUBT**2 / 2 + DOUBT * math.sqrt(came + DOUBT**2 / 4)
        ratios[horizon_s] = min(1.0, at_most / expected)
    return ratios


def _weights(looks: Sequence[PastForecast]) -> FloatArray:
    """Ten looks at one episode are worth more than one look, and less than ten episodes."""
    sizes = Counter(look.episode for look in looks)
    return np.array([1.0 / np.sqrt(sizes[look.episode]) for look in looks])


def _quantile(values: FloatArray, weights: FloatArray, level: float) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, level)), len(values) - 1)])
