"""Compare past signals with recorded incidents."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.lifecycle.event_matching import EventScore, match_events
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """How well past signals match incidents.

    Attributes:
        overall: the score of all signals together.
        by_kind: kind of signal -> the score of the signals of that kind.
    """

    start: datetime
    end: datetime
    overall: EventScore
    by_kind: Mapping[str, EventScore]


def evaluate(
    platform: Platform, *, window: timedelta = timedelta(days=7), progress: Progress = silent
) -> EvaluationReport:
    """Score the signals of the window that ends now and that passed the filters; recorded incidents are the truth."""
    end = platform.clock.now()
    start = end - window
    progress("evaluation", 0, 1)
    incidents = platform.store.incidents.between(start, end)
    found = platform.store.signals.find(since=start, suppressed=False)
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
