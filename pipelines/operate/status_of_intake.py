"""The state of the intake of the service: rate, duplicates, errors and latency of each priority lane and source."""

import math
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from core.formatting import format_value
from core.intake import IntakeCount, IntakeKind, PriorityLane, latency_quantile
from pipelines.common.tenant_platform import Platform
from pipelines.operate.status_part import StatusPart

WINDOW = timedelta(hours=1)
#: A larger share of failed requests is a problem. Senders repeat single ones, and nothing is late.
_MOST_FAILED = 0.05
#: Reasons that lie here; for all others, the sender has to change something.
_OURS = ("busy", "database", "timeout", "stopping", "fault")
_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def intake(platform: Platform) -> Iterator[StatusPart]:
    """What the service took in during the last hour, the most urgent lane first."""
    counts = platform.store.intake.since(platform.clock.now() - WINDOW)
    sources = {(one.lane, one.source) for one in counts}
    for lane in PriorityLane:
        for source in sorted(source for of, source in sources if of == lane):
            of_source = [one for one in counts if (one.lane, one.source) == (lane, source)]
            yield _source(lane, source, of_source)


def _source(lane: PriorityLane, source: str, counts: list[IntakeCount]) -> StatusPart:
    items, errors, most = (
        _by_name(counts, kind) for kind in (IntakeKind.ITEMS, IntakeKind.ERRORS, IntakeKind.MOST)
    )
    latency = {float(name): count for name, count in _by_name(counts, IntakeKind.LATENCY).items()}
    requests = sum(latency.values())
    texts = [f"{requests} requests in an hour"]
    if items:
        minutes = WINDOW.total_seconds() / 60
        texts.append(f"{format_value(items.total() / minutes)} items a minute")
    stored = items["new"] + items["duplicate"]
    if stored:
        texts.append(f"{items['duplicate'] / stored:.0%} duplicates")
    if items["rejected"]:
        texts.append(f"{items['rejected']} items rejected")
    if errors:
        texts.append("errors: " + ", ".join(f"{name} {count}" for name, count in sorted(errors.items())))
    if requests:
        texts.append(", ".join(f"{name} {_seconds(latency, share)}" for name, share in _QUANTILES.items()))
    if most:
        age = format_value(most["age_ms"] / 1_000, "seconds")
        texts.append(f"at most {most['depth']} at once, the oldest {age}")
    return StatusPart(
        name=f"intake {lane} ({lane.priority}) of {source}",
        state="; ".join(texts),
        problem=_problem(lane, source, errors, requests),
    )


def _by_name(counts: list[IntakeCount], kind: IntakeKind) -> Counter[str]:
    return Counter({one.name: one.count for one in counts if one.kind is kind})


def _seconds(latency: dict[float, int], share: float) -> str:
    """The bound of a quantile, as a text."""
    bound = latency_quantile(latency, share)
    return "over 30 s" if math.isinf(bound) else f"under {format_value(bound, 'seconds')}"


def _problem(lane: PriorityLane, source: str, errors: Counter[str], requests: int) -> str | None:
    ours = {name: errors[name] for name in _OURS if errors[name]}
    failed = sum(ours.values())
    if failed <= _MOST_FAILED * max(requests, failed):
        return None
    reasons = ", ".join(f"{name} {count}" for name, count in ours.items())
    return (
        f"{failed} requests of {source} (lane {lane}) failed in the last hour: {reasons}. Their senders have to repeat"
        " them. Give the service more processor time, or see its log if the reason is not `busy`."
    )
