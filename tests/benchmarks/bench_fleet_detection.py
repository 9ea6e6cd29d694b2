"""Detection on the simulated fleet, where the truth is known: learned from 30 days, judged on the 15 after.

Two ways to count. Strictly, a signal is right if it overlaps an incident of its service, and an incident is found if a
signal overlaps it. Leniently, a signal on a cause that is already at work, whether it led to an incident or stopped by
itself, is right too; so is one on what a service feels while another that it depends on is down, for which no incident
of its own is written down; and an incident is found by a signal of the twelve hours before it. That is what a warning
is for, but a reader should see what it is worth: signals that only a cause or only a dependency makes right are counted
in columns of their own.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import polars as pl

from core.domain import EventKind, Incident, Signal
from core.frames import EXCLUSIONS
from models.detection import DetectorBundle
from models.findings import MAINTENANCE_LASTS, anomaly_signals
from pipelines.learning_window import AFTER_INCIDENT, BEFORE_INCIDENT
from pipelines.sources.simulated import SimulatedFleet

END = datetime(2026, 3, 1, tzinfo=UTC)
LEARNED = timedelta(days=30)
BEFORE = timedelta(hours=12)


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
    """Attributes: on_causes, felt: signals that only these make right; missed: types, leniently."""

    seed: int
    signals: int
    on_causes: int
    felt: int
    incidents: int
    strict: Count
    lenient: Count
    false_a_week: float
    missed: str


def judge(seed: int, services: int) -> Row:
    """Learn, score and hold against the truth."""
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
    bundle = DetectorBundle.fit(samples.filter(pl.col("ts") < border), series, exclusions, known, seed=1)
    scored = bundle.score(samples.filter(pl.col("ts") >= border), events)
    found = anomaly_signals(bundle, scored, None, since=border, events=events)
    sent = [one for one in found if one.stopped_by is None]
    later = [one for one in incidents if one.start >= border]
    on_incident = [any(_overlaps(one, incident) for incident in later) for one in sent]
    on_cause = [_is_on_a_cause(one, fleet) for one in sent]
    spoken_of = [any(_speaks_of(one, incident) for incident in later) for one in sent]
    calls = {one.service: one.labels["depends_on"].split(",") for one in series if "depends_on" in one.labels}
    felt = [any(_is_felt(one, incident, calls) for incident in incidents) for one in sent]
    own = [any(ways) for ways in zip(on_incident, on_cause, spoken_of, strict=True)]
    right = [any(ways) for ways in zip(own, felt, strict=True)]
    missed = [one.type for one in later if not any(_speaks_of(signal, one) for signal in sent)]
    overlapped = [one for one in later if any(_overlaps(signal, one) for signal in sent)]
    return Row(
        seed,
        len(sent),
        sum(cause and not incident for cause, incident in zip(on_cause, on_incident, strict=True)),
        sum(right) - sum(own),
        len(later),
        Count(sum(on_incident) / max(len(sent), 1), len(overlapped) / max(len(later), 1)),
        Count(sum(right) / max(len(sent), 1), 1 - len(missed) / max(len(later), 1)),
        (len(sent) - sum(right)) / ((END - border) / timedelta(days=7)),
        ", ".join(sorted(missed)),
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


def main(seeds: tuple[int, ...] = (20260101, 7, 101, 202, 303), services: int = 20) -> list[Row]:
    """Measure and print a table."""
    rows = [judge(seed, services) for seed in seeds]
    print(
        "| fleet | signals | on a cause | felt | incidents | strict P, R, F1 | lenient P, R, F1 | false a week "
        "| missed |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        counts = " | ".join(
            f"{one.precision:.2f} / {one.recall:.2f} / {one.f1:.2f}" for one in (row.strict, row.lenient)
        )
        print(
            f"| seed {row.seed} | {row.signals} | {row.on_causes} | {row.felt} | {row.incidents} | {counts} "
            f"| {row.false_a_week:.1f} | {row.missed} |"
        )
    return rows


if __name__ == "__main__":
    main()
