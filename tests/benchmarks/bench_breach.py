"""Time to breach on the simulated fleet: does what is said come, is what comes said, how early, in the range?

The fleet's truth is used only to judge. Forecasters are trained once, on what lies before the judged days;
from then on each hour is judged with nothing later known, as `pipelines.forecast` does it.
"""

import math
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from core.domain import Breach, Role, Series
from models.breach_timing import PastLook, find_breaches, learn_timing, look_back
from models.forecasters.bundle import Entry, ForecasterBundle
from models.forecasters.history import histories
from models.forecasters.protocols import FloatArray
from models.forecasters.selection import Plan, select
from models.outlook import Outlook, look_ahead
from models.thresholds import threshold_of
from pipelines.forecast import DROP_BELOW, RAISE_AT
from pipelines.sources.simulated import SimulatedFleet
from pipelines.train.past_breaches import find_past_breaches

END = datetime(2026, 3, 1, tzinfo=UTC)
SERVICES, DAYS, JUDGED_DAYS = 10, 45, 10
SEEDS = (11, 12, 13, 14)
#: Errors jump when something else has failed: their own past says nothing before, so little of them can be said.
GROUPS = {Role.CAPACITY: "fills", Role.SATURATION: "fills", Role.LATENCY: "latency", Role.ERRORS: "errors"}
#: What shows in a series before its breach; all else makes it jump, such as a pool that ran out elsewhere.
CREEPS = {
    "fills": ("disk_full", "memory_leak", "pool_exhaustion", "queue_backlog"),
    "latency": ("latency_creep",),
}
#: A creep begins so long before people call it an incident.
BEFORE_H, AFTER_H = 8, 1
SOON_H = 3
LOOK_H = 24


@dataclass
class Tally:
    """What was said and what came."""

    said: int = 0
    said_and_came: int = 0
    came: int = 0
    came_and_said: int = 0
    crept: int = 0
    crept_and_said: int = 0
    ranges: int = 0
    in_range: int = 0
    in_plain_range: int = 0
    breaches_in_range: dict[str, list[bool]] = field(default_factory=dict)
    leads_h: list[float] = field(default_factory=list)


def judge(seed: int, tallies: dict[str, Tally]) -> None:
    """Walk through the judged days of one fleet hour by hour."""
    fleet = SimulatedFleet(SERVICES, DAYS, seed=seed, end=END)
    start = fleet.end - timedelta(days=JUDGED_DAYS)
    series = {one.series_id: one for one in fleet.series if group_of(one) is not None}
    samples = fleet.samples.filter(pl.col("series_id").is_in(list(series))).sort("series_id", "ts")
    spans: dict[str, list[tuple[datetime, datetime]]] = {}
    for incident in fleet.truth.incidents:
        if incident.start < start:
            begin = incident.start - timedelta(hours=12)
            spans.setdefault(incident.service, []).append((begin, min(incident.end or start, start)))
    past = histories(
        samples.filter(pl.col("ts") < start),
        series,
        step_s=3_600,
        end=start,
        steps=24 * (DAYS - JUDGED_DAYS),
        exclusions=spans,
    )
    entries = {
        key: Entry(series=series[key], history=history, choice=select(history, Plan(origins=12)))
        for key, history in past.items()
    }
    looks: list[PastLook] = []
    counts: Counter[str] = Counter()
    for entry in entries.values():
        found = find_past_breaches(entry.series, entry.history, samples.filter(pl.col("ts") < start), counts)
        if found is not None:
            looks += look_back(entry.series, entry.history, entry.choice, found, seed=seed)
    bundle = ForecasterBundle(entries, seed=seed, timing=learn_timing(looks))
    for key, entry in entries.items():
        mine = samples.filter(pl.col("series_id") == key)
        creeps = [
            (one.start, one.end or fleet.end)
            for one in fleet.truth.incidents
            if one.service == entry.series.service
            and one.type in CREEPS.get(group_of(entry.series) or "", ())
        ]
        _walk(bundle, entry, mine, start, tallies[group_of(entry.series) or ""], creeps)


def group_of(series: Series) -> str | None:
    """Which table row a series counts for; null where it has no threshold, and CPU, which is no harm at 98 %."""
    if threshold_of(series) is None or series.metric == "cpu_utilization":
        return None
    return GROUPS.get(series.role)


def _walk(
    bundle: ForecasterBundle,
    entry: Entry,
    samples: pl.DataFrame,
    start: datetime,
    tally: Tally,
    creeps: Sequence[tuple[datetime, datetime]],
) -> None:
    threshold = threshold_of(entry.series)
    assert threshold is not None
    recent = samples.filter(pl.col("ts") >= start - timedelta(hours=8))
    level = recent.with_columns(pl.col("value").rolling_median(3, min_samples=1))
    ts, values = level["ts"].to_list(), level["value"].to_numpy()
    seconds = np.array([moment.timestamp() for moment in ts])
    crossings = [
        datetime.fromtimestamp(at, UTC) for at in find_breaches(seconds, values, threshold, upward=True)
    ]
    opened: datetime | None = None
    soon_since: datetime | None = None
    said: list[datetime] = []
    for hour in range((JUDGED_DAYS * 24) - LOOK_H):
        now = start + timedelta(hours=hour)
        known = level.filter(pl.col("ts") < now)
        now_level, before = _level(known, now), _level(known, now - timedelta(hours=1))
        if now_level >= threshold:
            opened = soon_since = None
            continue
        if opened is None and not _within_reach(known["value"].to_numpy(), entry, now_level, threshold):
            soon_since = None
            continue
        outlook = _look(bundle, entry, recent.filter(pl.col("ts") < now), now, now_level, before)
        probability, soon = outlook.breach.probability, outlook.by_horizon_h[SOON_H]
        if opened is None and probability >= RAISE_AT:
            opened = now
        elif opened is not None and probability < DROP_BELOW:
            opened = None
        if soon >= RAISE_AT and soon_since is None:
            soon_since = now
            tally.said += 1
            tally.said_and_came += any(now <= at <= now + timedelta(hours=SOON_H) for at in crossings)
        elif soon < DROP_BELOW:
            soon_since = None
        if soon_since is not None:
            said.append(now)
        coming = [at for at in crossings if now <= at <= now + timedelta(hours=LOOK_H)]
        if opened is not None and coming and outlook.breach.when is not None:
            corrected = bundle.timing.correct(outlook.breach, entry.series, outlook.case, now)
            holds = _holds(corrected, coming[0])
            tally.ranges += 1
            tally.in_range += holds
            tally.in_plain_range += _holds(outlook.breach, coming[0])
            name = f"{entry.series.series_id} {coming[0]}"
            tally.breaches_in_range.setdefault(name, []).append(holds)
        tally.leads_h += [
            (at - opened).total_seconds() / 3_600
            for at in crossings
            if opened is not None and now <= at < now + timedelta(hours=1)
        ]
    last = start + timedelta(hours=JUDGED_DAYS * 24 - LOOK_H)
    for at in crossings:
        if start <= at < last:
            was_said = any(at - timedelta(hours=SOON_H) <= moment <= at for moment in said)
            tally.came += 1
            tally.came_and_said += was_said
            crept = any(
                begin - timedelta(hours=BEFORE_H) <= at <= end + timedelta(hours=AFTER_H)
                for begin, end in creeps
            )
            tally.crept += crept
            tally.crept_and_said += crept and was_said


def _within_reach(recent: FloatArray, entry: Entry, level: float, threshold: float) -> bool:
    """False where neither its largest rise of a day nor twice its growth of now reaches the threshold.

    It spares the bench most of its time: nothing would be said there.
    """
    past = entry.history.values
    rises = past[24:] - past[:-24]
    largest = float(np.nanmax(rises)) if np.isfinite(rises).any() else 0.0
    growth = max(
        (level - recent[-1 - 12 * hours]) / hours for hours in (1, 2, 3, 6) if len(recent) > 12 * hours
    )
    return level + max(1.5 * largest, 2 * LOOK_H * growth) >= threshold


def _look(
    bundle: ForecasterBundle, entry: Entry, recent: pl.DataFrame, now: datetime, level: float, before: float
) -> Outlook:
    key = entry.series.series_id
    prediction = bundle.forecast(key, recent, at=now)
    rng = np.random.default_rng([bundle.seed, key % 2**32, int(now.timestamp())])
    found = look_ahead(
        entry.series,
        bundle.present(entry, recent, now),
        bundle.paths(prediction),
        level=level,
        an_hour_ago=before,
        rng=rng,
    )
    assert found is not None
    return found


def _level(known: pl.DataFrame, at: datetime) -> float:
    return float(known.filter(pl.col("ts") < at)["value"][-1])


def _holds(breach: Breach, came: datetime) -> bool:
    return breach.when is not None and breach.when.p10 <= came <= breach.when.p90


def wilson(share: float, n: int) -> str:
    """95 % interval of a share, by Wilson (1927)."""
    if n == 0:
        return "-"
    z = 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return f"{middle - half:.2f} to {middle + half:.2f}"


def rows_of(group: str, tally: Tally) -> list[dict[str, float | str]]:
    """The figures of one group; intervals count breaches, for looks before the same breach are alike."""
    said, came = tally.said_and_came / max(tally.said, 1), tally.came_and_said / max(tally.came, 1)
    crept = tally.crept_and_said / max(tally.crept, 1)
    breaches = len(tally.breaches_in_range)
    holds, plain = tally.in_range / max(tally.ranges, 1), tally.in_plain_range / max(tally.ranges, 1)
    by_breach = statistics.fmean(statistics.fmean(one) for one in tally.breaches_in_range.values() or [[0]])
    lead = statistics.median(tally.leads_h) if tally.leads_h else float("nan")
    measured: list[tuple[str, int, float, str, float | str]] = [
        (f"said within {SOON_H} h, and it comes", tally.said, said, wilson(said, tally.said), 0.8),
        ("comes, and was said", tally.came, came, wilson(came, tally.came), 0.8),
        ("comes by its own growth, and was said", tally.crept, crept, wilson(crept, tally.crept), 0.8),
        ("median lead of the alert, h", len(tally.leads_h), lead, "", 3.0),
        ("P10 to P90 holds the time, of hours", tally.ranges, holds, wilson(holds, breaches), 0.8),
        ("the same, mean over breaches", breaches, by_breach, wilson(by_breach, breaches), 0.8),
        ("the same without past breaches, of hours", tally.ranges, plain, wilson(plain, breaches), ""),
    ]
    return [
        {"group": group, "what": what, "n": n, "measured": round(value, 2), "95 %": interval, "must": must}
        for what, n, value, interval, must in measured
    ]


def main(seeds: Sequence[int]) -> list[dict[str, float | str]]:
    """Print a table of the promises and what was measured."""
    tallies = {group: Tally() for group in dict.fromkeys(GROUPS.values())}
    for seed in seeds:
        judge(seed, tallies)
    rows = [row for group, tally in tallies.items() for row in rows_of(group, tally)]
    print(f"Seeds {', '.join(map(str, seeds))}; {SERVICES} services each, {JUDGED_DAYS} judged days.\n")
    print("| breach on the simulated fleet | what | n | measured | 95 % | must |")
    print("|---|---|---:|---:|---|---:|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row.values()) + " |")
    return rows


if __name__ == "__main__":
    main([int(one) for one in sys.argv[1:]] or SEEDS)
