"""Detection on the simulated fleet, where the truth is known: learned from 30 days, judged on the 15 after.

A signal is right if it overlaps an incident of its service, or a cause at work that led to one or stopped by itself;
an incident is found if a signal overlaps it or the twelve hours before it. Beside it: the simplest alternative, an
alert wherever a value is past its threshold.
"""

import sys
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
class Row:
    seed: int
    signals: int
    precision: float
    incidents: int
    recall: float
    f1: float
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
    right = [one for one in sent if _is_right(one, later, fleet)]
    missed = [one.type for one in later if not any(_speaks_of(signal, one) for signal in sent)]
    precision = len(right) / len(sent) if sent else 0.0
    recall = 1 - len(missed) / len(later)
    return Row(
        seed, len(sent), precision, len(later), recall, 2 * precision * recall / max(precision + recall, 1e-9),
        (len(sent) - len(right)) / ((END - border) / timedelta(days=7)), ", ".join(sorted(missed)),
    )  # fmt: skip


def _is_right(signal: Signal, incidents: list[Incident], fleet: SimulatedFleet) -> bool:
    causes = any(
        cause.service == signal.service
        and signal.started_at <= cause.until + AFTER_INCIDENT
        and (signal.ended_at or END) >= cause.start
        for cause in fleet.truth.precursors
    )
    return causes or any(_speaks_of(signal, incident) for incident in incidents)


def _speaks_of(signal: Signal, incident: Incident) -> bool:
    return (
        signal.service == incident.service
        and signal.started_at <= (incident.end or END) + AFTER_INCIDENT
        and (signal.ended_at or END) >= incident.start - BEFORE
    )


def main(seeds: tuple[int, ...] = (20260101, 7), services: int = 20) -> list[Row]:
    """Measure and print a table."""
    rows = [judge(seed, services) for seed in seeds]
    print("| fleet | signals | precision | incidents | recall | F1 | false a week | missed |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| seed {row.seed} | {row.signals} | {row.precision:.2f} | {row.incidents} | {row.recall:.2f} "
            f"| {row.f1:.2f} | {row.false_a_week:.1f} | {row.missed} |"
        )
    return rows


if __name__ == "__main__":
    main()
