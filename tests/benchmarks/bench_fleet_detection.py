"""Detection on the simulated fleet, where the truth is known: learned from 30 days, judged on the 15 after.

Two ways to count. Strictly, a signal is right if it overlaps an incident of its service, and an incident is found if a
signal overlaps it. Leniently, a signal on a cause that is already at work, whether it led to an incident or stopped by
itself, is right too; so is one on what a service feels while another that it depends on is down, for which no incident
of its own is written down; and an incident is found by a signal of the twelve hours before it. That is what a warning
is for, but a reader should see what it is worth: signals that only a cause or only a dependency makes right are counted
in columns of their own.

Beside it the two simplest ways, with the same budget, episodes and filters: how far a value is from the mean of the
history in its standard deviations, and whether it is past its threshold.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import polars as pl
from scipy.stats import norm

from core.domain import EventKind, Incident, Series, Signal
from core.frames import EXCLUSIONS
from models.detect.budget import OTHERS
from models.detect.bundle import DetectorBundle, DetectorOptions
from models.series.maintenance import MAINTENANCE_LASTS
from models.series.thresholds import threshold_of
from models.signals.anomaly import anomaly_signals
from pipelines.learn.learning_window import AFTER_INCIDENT, BEFORE_INCIDENT
from pipelines.sources.simulated import SimulatedFleet

END = datetime(2026, 3, 1, tzinfo=UTC)
LEARNED = timedelta(days=30)
BEFORE = timedelta(hours=12)
EARLY = timedelta(minutes=30)


@dataclass(frozen=True)
class Count:
    """One way to count."""

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / max(self.precision + self.recall, 1e-9)


@dataclass(frozen=True)
class Row:
    """Attributes: on_causes, felt: signals that only these make right; early: share of incidents with a signal at least
    half an hour before users notice; by_type: found leniently, and all."""

    seed: int
    detector: str
    signals: int
    on_causes: int
    felt: int
    incidents: int
    strict: Count
    lenient: Count
    false_a_week: float
    early: float
    by_type: Mapping[str, tuple[int, int]]


def judge(seed: int, services: int) -> list[Row]:
    """Learn, score and hold against the truth: the shipped way first, then the simplest ones."""
    fleet = SimulatedFleet(services, 45, seed=seed, end=END)
    batches = list(fleet.batches(None))
    samples = pl.concat([batch.samples for batch in batches if batch.samples is not None]).sort(
        "series_id", "ts"
    )
    series = list({one.series_id: one for batch in batches for one in batch.series}.values())
    events = [event for batch in batches for event in batch.events]
    incidents = [incident for batch in batches for incident in batch.incidents]
    border = fleet.start + LEARNED
    spans = [
        (event.service, event.at, event.until or event.at + MAINTENANCE_LASTS)
        for event in events if event.kind is EventKind.MAINTENANCE and event.at < border
    ] + [
        (one.service, one.start - BEFORE_INCIDENT, (one.end or border) + AFTER_INCIDENT)
        for one in incidents if one.start < border
    ]  # fmt: skip
    exclusions = pl.DataFrame(spans, schema=dict(EXCLUSIONS), orient="row")
    known = [event for event in events if event.at < border]
    history, options = samples.filter(pl.col("ts") < border), DetectorOptions(seed=1)
    bundle = DetectorBundle.fit(history, series, exclusions, known, options)
    scored = bundle.score(samples.filter(pl.col("ts") >= border), events)
    ways = {"Forewarn": scored, **simplest(bundle, scored)}
    return [
        _row(
            seed,
            name,
            anomaly_signals(bundle.fleet, way, None, since=border, events=events),
            fleet,
            series,
            incidents,
        )
        for name, way in ways.items()
    ]


def simplest(bundle: DetectorBundle, scored: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Scores of the same values by the two simplest ways, as `DetectorBundle.score` gives them."""
    rows = [
        (key, float(one.baselines.mean[one.row]), float(one.baselines.std[one.row]), threshold_of(one.series))
        for key, one in bundle.models.items()
    ]
    learned = pl.DataFrame(rows, schema=["series_id", "mean", "std", "threshold"], orient="row")
    table = scored.join(learned, on="series_id", maintain_order="left")
    z = ((table["value"] - table["mean"]) / (table["std"] + 1e-12)).to_numpy()
    # All thresholds of this fleet lie above what is usual.
    past = (table["value"] >= table["threshold"]).fill_null(value=False)
    budget = bundle.budgets[OTHERS]
    far = np.minimum(-(norm.logsf(np.abs(z)) + np.log(2)) / np.log(10), 300.0)
    found, _ = budget.decide(10.0**-far, table["ts"].dt.epoch("s").to_numpy())
    return {
        "z-score": scored.with_columns(surprise=pl.Series(far), is_anomaly=pl.Series(found)),
        "threshold": scored.with_columns(surprise=past.cast(pl.Float64) * 300.0, is_anomaly=past),
    }


def _row(
    seed: int, detector: str, found: Sequence[Signal], fleet: SimulatedFleet, series: Sequence[Series],
    incidents: Sequence[Incident],
) -> Row:  # fmt: skip
    border = fleet.start + LEARNED
    sent = [one for one in found if one.suppressed_by is None]
    later = [one for one in incidents if one.start >= border]
    on_incident = [any(_overlaps(one, incident) for incident in later) for one in sent]
    on_cause = [_is_on_a_cause(one, fleet) for one in sent]
    spoken_of = [any(_speaks_of(one, incident) for incident in later) for one in sent]
    calls = {one.service: one.labels["depends_on"].split(",") for one in series if "depends_on" in one.labels}
    felt = [any(_is_felt(one, incident, calls) for incident in incidents) for one in sent]
    own = [any(ways) for ways in zip(on_incident, on_cause, spoken_of, strict=True)]
    right = [any(ways) for ways in zip(own, felt, strict=True)]
    told = [any(_speaks_of(signal, one) for signal in sent) for one in later]
    overlapped = [one for one in later if any(_overlaps(signal, one) for signal in sent)]
    return Row(
        seed,
        detector,
        len(sent),
        sum(cause and not incident for cause, incident in zip(on_cause, on_incident, strict=True)),
        sum(right) - sum(own),
        len(later),
        Count(sum(on_incident) / max(len(sent), 1), len(overlapped) / max(len(later), 1)),
        Count(sum(right) / max(len(sent), 1), sum(told) / max(len(later), 1)),
        (len(sent) - sum(right)) / ((END - border) / timedelta(days=7)),
        sum(any(_warns_of(signal, one) for signal in sent) for one in later) / max(len(later), 1),
        {
            kind: (sum(heard for heard, one in zip(told, later, strict=True) if one.type == kind), count)
            for kind, count in Counter(one.type for one in later).items()
        },
    )


def _is_on_a_cause(signal: Signal, fleet: SimulatedFleet) -> bool:
    return any(
        cause.service == signal.service
        and signal.started_at <= cause.until + AFTER_INCIDENT
        and (signal.ended_at or END) >= cause.start
        for cause in fleet.truth.precursors
    )


def _is_felt(signal: Signal, incident: Incident, calls: Mapping[str, Sequence[str]]) -> bool:
    return (
        incident.service in calls.get(signal.service, ())
        and signal.started_at <= (incident.end or END) + AFTER_INCIDENT
        and (signal.ended_at or END) >= incident.start
    )


def _overlaps(signal: Signal, incident: Incident) -> bool:
    return (
        signal.service == incident.service
        and signal.started_at <= (incident.end or END)
        and (signal.ended_at or END) >= incident.start
    )


def _speaks_of(signal: Signal, incident: Incident) -> bool:
    return (
        signal.service == incident.service
        and signal.started_at <= (incident.end or END) + AFTER_INCIDENT
        and (signal.ended_at or END) >= incident.start - BEFORE
    )


def _warns_of(signal: Signal, incident: Incident) -> bool:
    return _speaks_of(signal, incident) and signal.started_at <= incident.start - EARLY


def main(seeds: tuple[int, ...] = (20260101, 7, 101, 202, 303), services: int = 20) -> list[Row]:
    """Measure and print a table."""
    rows = [row for seed in seeds for row in judge(seed, services)]
    print(
        "| fleet | detector | signals | on a cause | felt | incidents | strict P, R, F1 | lenient P, R, F1 "
        "| false a week | half an hour before |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        counts = " | ".join(
            f"{one.precision:.2f} / {one.recall:.2f} / {one.f1:.2f}" for one in (row.strict, row.lenient)
        )
        print(
            f"| seed {row.seed} | {row.detector} | {row.signals} | {row.on_causes} | {row.felt} | {row.incidents} "
            f"| {counts} | {row.false_a_week:.1f} | {row.early:.2f} |"
        )
    _print_by_type(rows)
    return rows


def _print_by_type(rows: Sequence[Row]) -> None:
    detectors = list(dict.fromkeys(row.detector for row in rows))
    print("\nIncidents found, leniently, by type, over all these fleets:\n")
    print(f"| type | incidents | {' | '.join(detectors)} |")
    print("|---|---|" + "---|" * len(detectors))
    for kind in sorted({kind for row in rows for kind in row.by_type}):
        mine = {
            name: [row.by_type.get(kind, (0, 0)) for row in rows if row.detector == name]
            for name in detectors
        }
        shares = [sum(found for found, _ in counts) for counts in mine.values()]
        total = sum(count for _, count in mine[detectors[0]])
        print(f"| {kind} | {total} | {' | '.join(f'{found / total:.2f}' for found in shares)} |")


if __name__ == "__main__":
    main()
