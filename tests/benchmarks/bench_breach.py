"""Time to breach on the simulated fleet: does what is said come, is what comes said, how early, in the range?

The fleet's truth is used only to judge. Forecasters are trained once, on what lies before the judged days;
from then on each hour is judged with nothing later known, as `pipelines.forecast` does it.
"""

import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from models.forecasters.bundle import Entry, ForecasterBundle
from models.forecasters.history import histories
from models.forecasters.protocols import FloatArray
from models.forecasters.selection import Plan, select
from models.outlook import Outlook, look_ahead, threshold_of
from pipelines.forecast import DROP_BELOW, RAISE_AT
from pipelines.sources.simulated import SimulatedFleet

END = datetime(2026, 3, 1, tzinfo=UTC)
SERVICES, DAYS, JUDGED_DAYS = 10, 45, 10
SEEDS = (11, 12)
#: What fills up. Errors jump when something else has failed: their own past says nothing before.
FILLS = ("memory_used_bytes", "disk_used_bytes", "db_connections", "queue_depth")
SOON_H = 3
LOOK_H = 24


@dataclass
class Tally:
    """What was said and what came."""

    said: int = 0
    said_and_came: int = 0
    came: int = 0
    came_and_said: int = 0
    ranges: int = 0
    in_range: int = 0
    leads_h: list[float] = field(default_factory=list)


def judge(seed: int, tally: Tally) -> None:
    """Walk through the judged days of one fleet hour by hour."""
    fleet = SimulatedFleet(SERVICES, DAYS, seed=seed, end=END)
    start = fleet.end - timedelta(days=JUDGED_DAYS)
    series = {one.series_id: one for one in fleet.series if one.metric in FILLS}
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
    bundle = ForecasterBundle(entries, seed=seed)
    for key, entry in entries.items():
        mine = samples.filter(pl.col("series_id") == key)
        _walk(bundle, entry, mine, start, tally)


def _walk(
    bundle: ForecasterBundle, entry: Entry, samples: pl.DataFrame, start: datetime, tally: Tally
) -> None:
    threshold = threshold_of(entry.series)
    assert threshold is not None
    recent = samples.filter(pl.col("ts") >= start - timedelta(hours=8))
    level = recent.with_columns(pl.col("value").rolling_median(3, min_samples=1))
    ts, values = level["ts"].to_list(), level["value"].to_numpy()
    crossings = _crossings(ts, values, threshold)
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
            tally.ranges += 1
            tally.in_range += outlook.breach.when.p10 <= coming[0] <= outlook.breach.when.p90
        tally.leads_h += [
            (at - opened).total_seconds() / 3_600
            for at in crossings
            if opened is not None and now <= at < now + timedelta(hours=1)
        ]
    last = start + timedelta(hours=JUDGED_DAYS * 24 - LOOK_H)
    for at in crossings:
        if start <= at < last:
            tally.came += 1
            tally.came_and_said += any(at - timedelta(hours=SOON_H) <= moment <= at for moment in said)


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


def _crossings(ts: list[datetime], values: FloatArray, threshold: float) -> list[datetime]:
    """When the smoothed value came from below to over; one that returns within three hours is the same."""
    over = values >= threshold
    found: list[datetime] = []
    for index in np.flatnonzero(over[1:] & ~over[:-1]) + 1:
        if not found or ts[index] - found[-1] > timedelta(hours=3):
            found.append(ts[index])
    return found


def main() -> list[dict[str, float | str]]:
    """Print a table of the promises and what was measured."""
    tally = Tally()
    for seed in SEEDS:
        judge(seed, tally)
    share = tally.said_and_came / max(tally.said, 1), tally.came_and_said / max(tally.came, 1)
    lead = statistics.median(tally.leads_h) if tally.leads_h else float("nan")
    rows: list[dict[str, float | str]] = [
        {
            "what": f"said within {SOON_H} h, and it comes",
            "n": tally.said,
            "measured": round(share[0], 2),
            "must": 0.8,
        },
        {"what": "comes, and was said", "n": tally.came, "measured": round(share[1], 2), "must": 0.8},
        {
            "what": "median lead of the alert, h",
            "n": len(tally.leads_h),
            "measured": round(lead, 1),
            "must": 3.0,
        },
        {
            "what": "P10 to P90 holds the time",
            "n": tally.ranges,
            "measured": round(tally.in_range / max(tally.ranges, 1), 2),
            "must": 0.8,
        },
    ]
    print("| breach on the simulated fleet | n | measured | must |")
    print("|---|---|---|---|")
    for row in rows:
        print(f"| {row['what']} | {row['n']} | {row['measured']} | {row['must']} |")
    return rows


if __name__ == "__main__":
    main()
