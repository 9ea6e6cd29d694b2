"""Hold the signals of the last days against the incidents that came."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.lifecycle.event_matching import EventScore, match_events
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform

#: More signals than this in the window is an alert storm, and its own finding.
MOST_SIGNALS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """By kind of signal, and over all of them.

    Attributes:
        by_kind: for each kind of signal that was sent, its own score.
        overall: any signal, of any kind.
    """

    start: datetime
    end: datetime
    overall: EventScore
    by_kind: Mapping[str, EventScore]


def evaluate(
    platform: Platform, *, window: timedelta = timedelta(days=7), progress: Progress = silent
) -> EvaluationReport:
    """Score the signals that passed the filters in the window that ends now; incidents are the truth."""
    end = platform.clock.now()
    start = end - window
    progress("evaluation", 0, 1)
    incidents = platform.store.incidents.between(start, end)
    found = platform.store.signals.find(since=start, suppressed=False, limit=MOST_SIGNALS)
    signals = [signal for signal in found if signal.started_at < end]
    kinds = sorted({signal.kind for signal in signals})
    report = EvaluationReport(
        start=start,
        end=end,
        overall=match_events(signals, incidents),
        by_kind={
            kind: match_events([signal for signal in signals if signal.kind == kind], incidents)
            for kind in kinds
        },
    )
    progress("evaluation", 1, 1)
    return report
