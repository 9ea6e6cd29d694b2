"""What was said of breaches and what came, and the figures that follow."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from models.signals.breach import SOON_S

SOON_H = SOON_S // 3_600


@dataclass
class Tally:
    """What was said and what came."""

    said: int = 0
    said_and_came: int = 0
    came: int = 0
    came_and_said: int = 0
    #: Breaches in planned maintenance, which are not among those above.
    planned: int = 0
    planned_and_said: int = 0
    #: Of those that came, while something was going wrong slowly, here or in a service that is called.
    announced: int = 0
    announced_and_said: int = 0
    crept: int = 0
    crept_and_said: int = 0
    ranges: int = 0
    in_range: int = 0
    breaches_in_range: dict[str, list[bool]] = field(default_factory=dict)
    #: Hours before each breach since which an alert told of it, and since which it was said to be within `SOON_H`.
    leads_h: list[float] = field(default_factory=list)
    said_leads_h: list[float] = field(default_factory=list)

    def __add__(self, other: "Tally") -> "Tally":
        both = {one.name: (getattr(self, one.name), getattr(other, one.name)) for one in fields(Tally)}
        return Tally(**{name: a | b if isinstance(a, dict) else a + b for name, (a, b) in both.items()})


def rows_of(group: str, tally: Tally) -> list[dict[str, float | str]]:
    """The figures of one group; intervals count breaches, for looks before the same breach are alike."""
    said, came = tally.said_and_came / max(tally.said, 1), tally.came_and_said / max(tally.came, 1)
    every = tally.came + tally.planned
    of_every = (tally.came_and_said + tally.planned_and_said) / max(every, 1)
    announced = tally.announced_and_said / max(tally.announced, 1)
    crept = tally.crept_and_said / max(tally.crept, 1)
    breaches = len(tally.breaches_in_range)
    holds = tally.in_range / max(tally.ranges, 1)
    by_breach = statistics.fmean(statistics.fmean(one) for one in tally.breaches_in_range.values() or [[0]])
    measured: list[tuple[str, int, float, str, float | str]] = [
        (f"said within {SOON_H} h, and it comes", tally.said, said, wilson(said, tally.said), 0.8),
        ("comes, and was said", tally.came, came, wilson(came, tally.came), 0.8),
        (
            "the same, with those in planned maintenance",
            every,
            of_every,
            wilson(of_every, every),
            "",
        ),
        (
            "comes after a precursor, and was said",
            tally.announced,
            announced,
            wilson(announced, tally.announced),
            "",
        ),
        ("comes by its own growth, and was said", tally.crept, crept, wilson(crept, tally.crept), 0.8),
        (
            f"median lead of what was said within {SOON_H} h, h",
            tally.said_and_came,
            _median(tally.said_leads_h),
            "",
            "",
        ),
        ("median lead of the alert, h", len(tally.leads_h), _median(tally.leads_h), "", 3.0),
        ("P10 to P90 holds the time, of looks", tally.ranges, holds, wilson(holds, breaches), 0.8),
        ("the same, mean over breaches", breaches, by_breach, wilson(by_breach, breaches), 0.8),
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
