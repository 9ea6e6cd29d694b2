"""How wrong the times to breach were, and what that says of the next ones: conformal, by kind of metric.

Simulated courses share what they assume of a fill: that its pace holds on average, that it may stop. Where
queues of a fleet fill faster and faster, all of them come late. So the hours before the breaches that really
came are looked at again, with nothing that was known later, and each edge of the range is moved until it held
as often as it claims. Errors are ratios: to be an hour late matters on two hours and not on twenty.

References:
    Romano, Y., Patterson, E. and Candès, E. (2019). Conformalized quantile regression. NeurIPS.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from core.domain import Breach, Role, Series, TimeRange
from models.forecasters.pool import POOL
from models.forecasters.pool_forecaster import PoolForecaster
from models.forecasters.protocols import FloatArray, History
from models.forecasters.selection import Choice
from models.forecasters.widths import unrest
from models.outlook import PATHS, Case, look_ahead
from models.thresholds import is_upward, threshold_of

#: P10, P50 and P90, as shares.
EDGES = (0.1, 0.5, 0.9)
#: Added to both times before their ratio is taken: within minutes of the breach a ratio says nothing.
SOON_S = 900.0
#: As many breaches of a kind of metric weigh as much as all others together; likewise all against none.
WORTH = 8
#: A value that returns over the threshold within this time is the same breach.
SAME_S = 3 * 3_600
#: How far before a breach looks are taken, and how many steps apart: those of neighbouring hours are alike.
LOOK_BACK_STEPS, APART_STEPS = 24, 3
#: The values before a look that it sees as they came, with nothing left out.
SEEN_STEPS = 36
#: Below this probability nobody is told, so the range is not asked to hold.
TOLD_AT = 0.5

Offsets = tuple[float, float, float]
NONE: Offsets = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastLook:
    """What was said some hours before a breach that came.

    Attributes:
        kind: see `kind_of`.
        breach: which one; looks before the same one resemble one another.
        told_s: P10, P50 and P90 in seconds from then.
        came_s: when it came.
    """

    kind: str
    breach: str
    told_s: Offsets
    came_s: float


@dataclass(frozen=True, slots=True)
class Timing:
    """By what the logarithms of P10, P50 and P90 are to be moved.

    Args:
        by_kind: see `kind_of`; also without the metric, for metrics that never breached.
    """

    by_kind: Mapping[str, Offsets] = field(default_factory=dict)

    def correct(self, breach: Breach, series: Series, case: Case, at: datetime) -> Breach:
        """The same breach with the range that held in the past; `at` is the present."""
        if breach.when is None:
            return breach
        kind = kind_of(series, case)
        moved = self.by_kind.get(kind, self.by_kind.get(_family(kind), NONE))
        told = [
            (moment - at).total_seconds() for moment in (breach.when.p10, breach.when.p50, breach.when.p90)
        ]
        times = (np.maximum(told, 0.0) + SOON_S) * np.exp(moved) - SOON_S
        low, middle, high = np.maximum.accumulate(np.clip(times, 0.0, breach.horizon_s))
        p10, p50, p90 = (at + timedelta(seconds=round(float(seconds))) for seconds in (low, middle, high))
        return replace(breach, when=TimeRange(p10=p10, p50=p50, p90=p90))


def kind_of(series: Series, case: Case) -> str:
    """What resembles one another: breaches of a metric by growth, and those by chance.

    What fills and what is measured by the request are kept apart: one has an inertia, the other has not.
    """
    how = "fill" if case is Case.FILL else "other"
    stock = "stock" if series.role in (Role.CAPACITY, Role.SATURATION) else "flow"
    return f"{how}/{stock}/{series.metric}"


def _family(kind: str) -> str:
    return kind.rpartition("/")[0]


def learn_timing(looks: Sequence[PastLook]) -> Timing:
    """The corrections that would have been right; none where nothing has breached yet."""
    found: dict[str, Offsets] = {}
    for family in sorted({_family(look.kind) for look in looks}):
        mine = [look for look in looks if _family(look.kind) == family]
        found[family] = _offsets(mine, NONE)
        for kind in sorted({look.kind for look in mine}):
            found[kind] = _offsets([look for look in mine if look.kind == kind], found[family])
    return Timing(found)


def _offsets(looks: Sequence[PastLook], otherwise: Offsets) -> Offsets:
    """Quantiles of the log ratios, drawn towards `otherwise` where few breaches are known."""
    breaches = [look.breach for look in looks]
    names, counts = np.unique(breaches, return_counts=True)
    sizes = dict(zip(names.tolist(), counts.tolist(), strict=True))
    # Ten looks before one breach are worth more than one look, and less than ten breaches.
    weights = np.array([1.0 / np.sqrt(sizes[name]) for name in breaches])
    came = np.log(np.array([look.came_s for look in looks]) + SOON_S)
    share = len(names) / (len(names) + WORTH)
    moved = []
    for edge, level in enumerate(EDGES):
        wrong = came - np.log(np.array([look.told_s[edge] for look in looks]) + SOON_S)
        moved.append(share * _quantile(wrong, weights, level) + (1 - share) * otherwise[edge])
    return moved[0], moved[1], moved[2]


def _quantile(values: FloatArray, weights: FloatArray, level: float) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(reached, level)), len(values) - 1)])


def find_breaches(seconds: FloatArray, values: FloatArray, threshold: float, *, upward: bool) -> FloatArray:
    """When the values came to the threshold from the good side.

    Args:
        seconds: epoch seconds of each value, ascending.
        values: smoothed a little, so that one bad sample is no breach.
    """
    over = values >= threshold if upward else values <= threshold
    found: list[float] = []
    last_over = -np.inf
    for index in np.flatnonzero(over[1:] & ~over[:-1]) + 1:
        if seconds[index] - last_over > SAME_S:
            found.append(float(seconds[index]))
        last_over = float(seconds[index])
    return np.array(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastBreaches:
    """What really happened to a series that breached.

    Attributes:
        at_s: epoch seconds of each breach, from `find_breaches`.
        seen: the history's own grid with nothing left out: a look sees its last hours as they came.
        seconds, values: the samples themselves, smoothed a little.
    """

    at_s: tuple[float, ...]
    seen: FloatArray
    seconds: FloatArray
    values: FloatArray


def look_back(
    series: Series, history: History, choice: Choice, past: PastBreaches, *, seed: int
) -> list[PastLook]:
    """What would have been said in the hours before each breach, with nothing known that came later.

    Args:
        history: what was learned from, with incidents left out.
    """
    seconds, values = past.seconds, past.values
    threshold = threshold_of(series)
    if threshold is None:
        return []
    upward = is_upward(series)
    over = values >= threshold if upward else values <= threshold
    fast = {name: share for name, share in choice.weights.items() if name in POOL}
    forecaster = PoolForecaster(fast) if fast else PoolForecaster()
    season = history.seasons[0] if history.seasons else 1
    begin = history.start.timestamp()
    looks: list[PastLook] = []
    for came in past.at_s:
        last = int((came - begin) // history.step_s)
        # From the last whole hour backwards: every distance from it is there alike.
        for known in range(
            min(last, len(history)), max(last, 2 * LOOK_BACK_STEPS) - LOOK_BACK_STEPS, -APART_STEPS
        ):
            now_s = begin + known * history.step_s
            newest = int(np.searchsorted(seconds, now_s)) - 1
            before = int(np.searchsorted(seconds, now_s - 3_600)) - 1
            then = history.until(known)
            newly = past.seen[max(0, known - SEEN_STEPS) : known]
            recent = np.concatenate([then.values[:-SEEN_STEPS], newly])
            if before < 0 or over[newest] or np.isfinite(recent).sum() < LOOK_BACK_STEPS:
                continue
            then = replace(then, values=recent)
            rng = np.random.default_rng([seed, series.series_id % 2**32, int(now_s)])
            yhat = forecaster.fit(then).predict(LOOK_BACK_STEPS)
            errors = choice.errors.at(unrest(then.values, season), known - len(history))
            outlook = look_ahead(
                series,
                then,
                errors.paths(yhat, PATHS, then.bounds, rng),
                level=float(values[newest]),
                an_hour_ago=float(values[before]),
                rng=rng,
            )
            if outlook is None or outlook.breach.when is None or outlook.breach.probability < TOLD_AT:
                continue
            when = outlook.breach.when
            p10, p50, p90 = ((moment - then.end).total_seconds() for moment in (when.p10, when.p50, when.p90))
            looks.append(
                PastLook(
                    kind=kind_of(series, outlook.case),
                    breach=f"{series.series_id} {came:.0f}",
                    told_s=(p10, p50, p90),
                    came_s=came - now_s,
                )
            )
    return looks
