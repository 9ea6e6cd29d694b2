"""Log lines of a kind that their service has not logged before."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from core.domain import FilterResult, Severity, Signal, SignalKind, stable_id
from core.logs import LogTemplate
from models.metrics.log_levels import FAILURES, WARNING

#: In the first day of a service, everything is new.
LEARNING = timedelta(days=1)
#: A new line is usual after this time ...
USUAL_AFTER = timedelta(days=1)
#: ... and over when it was not logged for this time.
OVER_AFTER = timedelta(hours=1)
METRIC = "log_template_lines_per_second"


def new_line_signals(templates: Iterable[LogTemplate], ended: Collection[str], now: datetime) -> list[Signal]:
    """One signal for each new template, which ends when it was quiet for an hour, or after a day.

    Args:
        templates: all templates of a tenant.
        ended: ids of signals that have ended; they stay as they are.
    """
    every = list(templates)
    begun: dict[str, datetime] = {}
    for one in every:
        begun[one.service] = min(one.first_seen, begun.get(one.service, one.first_seen))
    found = []
    for one in every:
        age = now - one.first_seen
        if one.first_seen - begun[one.service] >= LEARNING and age < USUAL_AFTER + LEARNING:
            signal = _signal(one, now)
            found += [] if signal.signal_id in ended else [signal]
    return found


def _signal(one: LogTemplate, now: datetime) -> Signal:
    ended = None
    if now - one.seen_at >= OVER_AFTER:
        ended = one.seen_at
    if now - one.first_seen >= USUAL_AFTER:
        ended = min(ended or now, one.first_seen + USUAL_AFTER)
    is_bad = one.level in FAILURES | {WARNING}
    return Signal(
        signal_id=stable_id(one.tenant, "new log line", one.service, one.name, one.first_seen.isoformat()),
        tenant=one.tenant,
        kind=SignalKind.ANOMALY,
        service=one.service,
        metric=METRIC,
        labels={"template": one.name},
        started_at=one.first_seen,
        ended_at=ended,
        severity=Severity.WARNING if one.level in FAILURES else Severity.INFO,
        summary=f"{one.service} logs a line ({one.level}) of a kind that it has not logged before: {one.example}",
        filters=(
            FilterResult(
                name="log_level",
                passed=is_bad,
                reason=f"the level of the line is {one.level}; warning, error and fatal pass",
            ),
        ),
    )
