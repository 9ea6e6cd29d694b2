"""Measures breach alerts on the simulated fleet: the correct ones, the breaches without one, lead times and ranges.

Forecasters are trained once, on the days before the test days. Each moment of the test days is then predicted without
knowledge of what comes later, as in `pipelines.watch.forecast`. The truth of the fleet is used only for the figures.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from breach_tally import SOON_H, Tally, rows_of

from core.arrays import FloatArray
from core.domain import Band, Breach, ModelRef, Role, Series, ServiceEdges, Severity, Signal
from models.breach.backtest import SAME_BREACH_S, PastForecast, backtest_breaches, find_breaches
from models.breach.bundle import BreachBundle
from models.breach.correction import learn_correction
from models.breach.growth import Growth
from models.breach.learn_cascades import learn_cascades
from models.breach.outlook import BREACH_HORIZONS_S, BreachPattern
from models.forecast.bundle import ForecasterBundle
from models.forecast.choice.selection import Plan, select
from models.forecast.entry import Entry
from models.forecast.files import ForecastParts
from models.forecast.history import ServiceCalendar, histories
from models.forecast.recent import recent_of
from models.series.maintenance import is_planned
from models.series.thresholds import threshold_of
from models.signals.breach import (
    BreachContext,
    SeriesOutlook,
    breach_signals,
    disturbed_by_maintenance,
    is_disturbed,
    likely_cascades,
)
from pipelines.bench.failure_fleet import SLOW
from pipelines.common.service_graph import service_graph
from pipelines.learn.past_breaches import FleetBreaches
from pipelines.sources.simulated import SimulatedFleet

END = datetime(2026, 3, 1, tzinfo=UTC)
SERVICES, DAYS, TEST_DAYS = 10, 45, 10
SEEDS = (11, 12, 13, 14)
GROUPS = {Role.CAPACITY: "fills", Role.SATURATION: "fills", Role.LATENCY: "latency", Role.ERRORS: "errors"}
#: Causes that show in the series before its breach. Other causes make it jump, such as a pool that ran out elsewhere.
GRADUAL_CAUSES = {
    "fills": ("disk_full", "memory_leak", "pool_exhaustion", "queue_backlog"),
    "latency": ("latency_creep",),
}
#: A gradual cause begins so long before the start of its incident, and counts so long after its end.
BEFORE_H, AFTER_H = 8, 1
HORIZON_H = 24
#: Interval of watch cycles. With a shorter interval more alerts are too early.
CYCLE = timedelta(minutes=5)
MODEL = ModelRef(name="bench", version=1, run_id="bench")


@dataclass
class Replayed:
    """One series with its state during the test days.

    Attributes:
        samples: from a little before the test days on.
        seconds, level: the same as epoch seconds and smoothed values.
        crossings: times of its breaches.
        alerted_since: time of the first alert; null without an open alert.
        is_critical: whether a critical alert is open: a breach is expected within `SOON_H`.
        critical_at: the moments with an open critical alert.
    """

    entry: Entry
    threshold: float
    samples: pl.DataFrame
    seconds: FloatArray
    level: FloatArray
    crossings: list[datetime]
    gradual_incidents: list[tuple[datetime, datetime]]
    largest_rise: float
    alerted_since: datetime | None = None
    is_critical: bool = False
    critical_at: list[datetime] = field(default_factory=list)

    def count(self, now: datetime) -> int:
        """Number of samples that are known at this time."""
        return int(np.searchsorted(self.seconds, now.timestamp()))

    def known(self, now: datetime) -> FloatArray:
        return self.level[: self.count(now)]

    def was_over(self, now: datetime) -> bool:
        """Whether it was past its threshold shortly before. A return within this time belongs to the same breach."""
        known = self.known(now)
        lately = int(np.searchsorted(self.seconds, now.timestamp() - SAME_BREACH_S))
        return bool((known[lately:] >= self.threshold).any())


def run_fleet(seed: int, tallies: dict[str, Tally], every: timedelta) -> None:
    """Replay the test days of one fleet."""
    fleet = SimulatedFleet(SERVICES, DAYS, seed=seed, end=END)
    start = fleet.end - timedelta(days=TEST_DAYS)
    series = {one.series_id: one for one in fleet.series if group_of(one) is not None}
    edges = service_graph(None, fleet.series)
    samples = fleet.samples.filter(pl.col("series_id").is_in(list(series))).sort("series_id", "ts")
    bundle = _train(fleet, series, edges, samples.filter(pl.col("ts") < start), start, seed)
    replayed = {
        key: _replayed(entry, samples, fleet, start) for key, entry in bundle.forecasters.entries.items()
    }
    alerts: dict[int, Signal] = {}
    last = start + timedelta(hours=TEST_DAYS * 24 - HORIZON_H)
    for number in range((last - start) // every):
        now = start + number * every
        seen = {key: _outlook_of(bundle, one, now, is_open=key in alerts) for key, one in replayed.items()}
        context = BreachContext(now=now, cascades=bundle.cascades, edges=edges, events=fleet.events)
        disturbed = disturbed_by_maintenance(seen, context) - set(likely_cascades(seen, context))
        for signal in breach_signals(seen, alerts, MODEL, context):
            assert signal.series_id is not None
            alerts.pop(signal.series_id, None)
            if signal.ended_at is None:
                alerts[signal.series_id] = signal
        for key, one in replayed.items():
            # Series that maintenance disturbs are not counted.
            tally = None if key in disturbed else tallies[group_of(one.entry.series) or ""]
            alert = alerts.get(key)
            sent = None if alert is None or alert.suppressed_by else alert
            _count(one, seen[key], sent, now, every, tally)
    precursors = _precursors(fleet)
    for one in replayed.values():
        tally = tallies[group_of(one.entry.series) or ""]
        for at in one.crossings:
            if start <= at < last:
                was_critical = any(at - timedelta(hours=SOON_H) <= moment <= at for moment in one.critical_at)
                gradual = any(
                    begin - timedelta(hours=BEFORE_H) <= at <= end + timedelta(hours=AFTER_H)
                    for begin, end in one.gradual_incidents
                )
                if is_disturbed(one.entry.series) and is_planned(
                    one.entry.series.service, at, at, fleet.events
                ):
                    tally.planned += 1
                    tally.planned_alerted += was_critical
                    continue
                tally.breaches += 1
                tally.breaches_alerted += was_critical
                preceded = any(
                    begin <= at <= end + timedelta(hours=AFTER_H)
                    for begin, end in precursors[one.entry.series.service]
                )
                tally.preceded += preceded
                tally.preceded_alerted += preceded and was_critical
                tally.gradual += gradual
                tally.gradual_alerted += gradual and was_critical


def _precursors(fleet: SimulatedFleet) -> dict[str, list[tuple[datetime, datetime]]]:
    """Time ranges of slow precursors, by each service that they may affect. Other breaches cannot be foreseen."""
    slow = [one for one in fleet.truth.precursors if one.cause in SLOW]
    return {
        service: [(one.start, one.until) for one in slow if one.service in (service, *called)]
        for service, called in fleet.truth.depends_on.items()
    }


def _train(
    fleet: SimulatedFleet,
    series: Mapping[int, Series],
    edges: ServiceEdges,
    samples: pl.DataFrame,
    start: datetime,
    seed: int,
) -> BreachBundle:
    """Train as `pipelines.learn.train_forecasters` does, without a database."""
    spans: dict[str, list[tuple[datetime, datetime]]] = {}
    for incident in fleet.truth.incidents:
        if incident.start < start:
            begin = incident.start - timedelta(hours=12)
            spans.setdefault(incident.service, []).append((begin, min(incident.end or start, start)))
    past = histories(
        samples,
        series,
        step_s=3_600,
        end=start,
        steps=24 * (DAYS - TEST_DAYS),
        calendar=ServiceCalendar(exclusions=spans),
    )
    entries = {
        key: Entry(series=series[key], history=history, choice=select(history, Plan(origins=12)))
        for key, history in past.items()
    }
    past_forecasts: list[PastForecast] = []
    past_of = FleetBreaches()
    for entry in entries.values():
        found = past_of.find(entry.series, entry.history, samples)
        if found is not None:
            past_forecasts += backtest_breaches(entry.series, entry.history, entry.choice, found, seed=seed)
    span_s = 86_400.0 * (DAYS - TEST_DAYS)
    return BreachBundle(
        ForecasterBundle(ForecastParts(entries=entries, seed=seed)),
        correction=learn_correction(past_forecasts),
        cascades=learn_cascades(past_of.breaches, series.values(), edges, span_s=span_s, peaks=past_of.peaks),
    )


def group_of(series: Series) -> str | None:
    """The group of the table; null for a series without a threshold, and for CPU, which is harmless at 98 %."""
    if threshold_of(series) is None or series.metric == "cpu_utilization":
        return None
    return GROUPS.get(series.role)


def _replayed(entry: Entry, samples: pl.DataFrame, fleet: SimulatedFleet, start: datetime) -> Replayed:
    threshold = threshold_of(entry.series)
    assert threshold is not None
    mine = samples.filter(
        pl.col("series_id") == entry.series.series_id, pl.col("ts") >= start - timedelta(hours=13)
    )
    seconds = mine["ts"].dt.epoch("s").to_numpy().astype(np.float64)
    level = mine["value"].rolling_median(3, min_samples=1).to_numpy()
    past = entry.history.values
    rises = past[24:] - past[:-24]
    return Replayed(
        entry=entry,
        threshold=threshold,
        samples=mine,
        seconds=seconds,
        level=level,
        crossings=[
            datetime.fromtimestamp(at, UTC) for at in find_breaches(seconds, level, threshold, upward=True)
        ],
        gradual_incidents=[
            (one.start, one.end or fleet.end)
            for one in fleet.truth.incidents
            if one.service == entry.series.service
            and one.type in GRADUAL_CAUSES.get(group_of(entry.series) or "", ())
        ],
        largest_rise=float(np.nanmax(rises)) if np.isfinite(rises).any() else 0.0,
    )


def _outlook_of(bundle: BreachBundle, one: Replayed, now: datetime, *, is_open: bool) -> SeriesOutlook:
    """The outlook as in `pipelines.watch.forecast`; series that are far from their threshold are not predicted."""
    known, series = one.known(now), one.entry.series
    growth = max((known[-1] - known[-1 - 12 * hours]) / hours for hours in (1, 2, 3, 6))
    ahead = known[-1] + max(1.5 * one.largest_rise, 2 * HORIZON_H * growth)
    if known[-1] < one.threshold and ahead < one.threshold and not is_open:
        never = Breach(
            threshold=one.threshold,
            probability=0.0,
            horizon_s=HORIZON_H * 3_600,
            when=None,
            probability_by_horizon_s=dict.fromkeys(BREACH_HORIZONS_S, 0.0),
        )
        return SeriesOutlook(
            series=series,
            pattern=BreachPattern.CLEAR,
            breach=never,
            impact=never,
            impact_since=None,
            growth=Growth(per_hour=0.0, span_s=3_600, usual_per_hour=0.0, weight=0.0),
            level=float(known[-1]),
            band=Band(expected=0.0, lower=0.0, upper=0.0),
        )
    prediction, outlook = bundle.outlook(series.series_id, recent_of(one.samples)[series.series_id], now)
    assert outlook is not None
    return SeriesOutlook.of(series, outlook, prediction)


def _count(
    one: Replayed,
    seen: SeriesOutlook,
    alert: Signal | None,
    now: datetime,
    every: timedelta,
    tally: Tally | None,
) -> None:
    """Compare the alert of one series at one moment with its breaches; with a null tally nothing is counted."""
    one.alerted_since = None if alert is None else one.alerted_since or now
    was_critical = one.is_critical
    one.is_critical = False
    if seen.is_over or one.was_over(now) or tally is None or alert is None or alert.breach is None:
        return
    coming = [at for at in one.crossings if now <= at <= now + timedelta(hours=HORIZON_H)]
    if alert.severity is Severity.CRITICAL:
        one.is_critical = True
        one.critical_at.append(now)
        if not was_critical:
            tally.alerts += 1
            in_time = [at for at in coming[:1] if at <= now + timedelta(hours=SOON_H)]
            tally.alerts_followed += len(in_time)
            tally.critical_leads_h += [_hours(now, at) for at in in_time]
    when = alert.breach.when
    if coming and when is not None:
        holds = when.p10 <= coming[0] <= when.p90
        tally.ranges += 1
        tally.in_range += holds
        name = f"{one.entry.series.series_id} {coming[0]}"
        tally.breaches_in_range.setdefault(name, []).append(holds)
    assert one.alerted_since is not None
    tally.leads_h += [_hours(one.alerted_since, at) for at in coming if at < now + every]


def _hours(since: datetime, until: datetime) -> float:
    return (until - since).total_seconds() / 3_600


def main(seeds: Sequence[int], every: timedelta = CYCLE) -> list[dict[str, float | str]]:
    """Print the table of figures."""
    tallies = {group: Tally() for group in dict.fromkeys(GROUPS.values())}
    for seed in seeds:
        run_fleet(seed, tallies, every)
    tallies["all"] = sum(tallies.values(), Tally())
    rows = [row for group, tally in tallies.items() for row in rows_of(group, tally)]
    print(
        f"Seeds {', '.join(map(str, seeds))}; {SERVICES} services each, {TEST_DAYS} test days, "
        f"a watch cycle every {every // timedelta(minutes=1)} minutes.\n"
    )
    print("| breach on the simulated fleet | what | n | measured | 95 % | must |")
    print("|---|---|---:|---:|---|---:|")
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row.values()) + " |")
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="*", default=SEEDS, help="one fleet each")
    parser.add_argument("--every", type=int, default=CYCLE // timedelta(minutes=1), help="minutes")
    asked = parser.parse_args()
    main(asked.seeds, timedelta(minutes=asked.every))
