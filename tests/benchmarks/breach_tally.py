"""Counts breach alerts and breaches, and computes the figures of the benchmark."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from models.signals.breach import SOON_S

SOON_H = SOON_S // 3_600


@dataclass
class Tally:
    """Counts of alerts and breaches."""

    alerts: int = 0
    alerts_followed: int = 0
    breaches: int = 0
    breaches_alerted: int = 0
    #: Breaches in planned maintenance; they are not counted above.
    planned: int = 0
    planned_alerted: int = 0
    #: Breaches after a slow precursor, at the service or at one that it calls.
    preceded: int = 0
    preceded_alerted: int = 0
    gradual: int = 0
    gradual_alerted: int = 0
    ranges: int = 0
    in_range: int = 0
    breaches_in_range: dict[str, list[bool]] = field(default_factory=dict)
    #: Hours from the first alert, and from the first critical alert, to each breach.
    leads_h: list[float] = field(default_factory=list)
    critical_leads_h: list[float] = field(default_factory=list)

    def __add__(self, other: "Tally") -> "Tally":
        both = {one.name: (getattr(self, one.name), getattr(other, one.name)) for one in fields(Tally)}
        return Tally(**{name: a | b if isinstance(a, dict) else a + b for name, (a, b) in both.items()})


def rows_of(group: str, tally: Tally) -> list[dict[str, float | str]]:
    """The figures of one group. Intervals count breaches, because predictions of the same breach are alike."""
    alerts, breaches = (
        tally.alerts_followed / max(tally.alerts, 1),
        tally.breaches_alerted / max(tally.breaches, 1),
    )
    every = tally.breaches + tally.planned
    of_every = (tally.breaches_alerted + tally.planned_alerted) / max(every, 1)
    preceded = tally.preceded_alerted / max(tally.preceded, 1)
    gradual = tally.gradual_alerted / max(tally.gradual, 1)
    in_range = len(tally.breaches_in_range)
    holds = tally.in_range / max(tally.ranges, 1)
    by_breach = statistics.fmean(statistics.fmean(one) for one in tally.breaches_in_range.values() or [[0]])
    measured: list[tuple[str, int, float, str, float | str]] = [
        (
            f"critical alerts that a breach within {SOON_H} h followed",
            tally.alerts,
            alerts,
            wilson(alerts, tally.alerts),
            0.8,
        ),
        (
            "breaches that had a critical alert",
            tally.breaches,
            breaches,
            wilson(breaches, tally.breaches),
            0.8,
        ),
        (
            "the same, breaches in planned maintenance included",
            every,
            of_every,
            wilson(of_every, every),
            "",
        ),
        (
            "breaches after a precursor that had a critical alert",
            tally.preceded,
            preceded,
            wilson(preceded, tally.preceded),
            "",
        ),
        (
            "breaches by own growth that had a critical alert",
            tally.gradual,
            gradual,
            wilson(gradual, tally.gradual),
            0.8,
        ),
        (
            "median lead of critical alerts, h",
            tally.alerts_followed,
            _median(tally.critical_leads_h),
            "",
            "",
        ),
        ("median lead of all alerts, h", len(tally.leads_h), _median(tally.leads_h), "", 3.0),
        ("predictions whose P10 to P90 contains the time", tally.ranges, holds, wilson(holds, in_range), 0.8),
        ("the same, mean over breaches", in_range, by_breach, wilson(by_breach, in_range), 0.8),
    ]
    return [
        {"group": group, "what": what, "n": n, "measured": round(value, 2), "95 %": interval, "must": must}
        for what, n, value, interval, must in measured
    ]


def wilson(share: float, n: int) -> str:
    """95 % interval of a share, by Wilson (1927)."""
    if n == 0:
        return "-"
    z = 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return f"{middle - half:.2f} to {middle + half:.2f}"


def _median(hours: Sequence[float]) -> float:
    return statistics.median(hours) if hours else float("nan")
