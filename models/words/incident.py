"""Texts of alerts about several signals of one incident."""

from collections.abc import Sequence

from core.domain import Signal, SignalKind

#: Name of the factor that lists the other signals of the incident.
RELATED = "related"
_NAMED_AT_MOST = 3


def together_with(lead: Signal, others: Sequence[Signal]) -> str:
    """`together with payments p99_latency, orders-db cpu_usage and 3 more`; "" if all are of the metric of `lead`."""
    named = dict.fromkeys(f"{signal.service} {_subject(signal)}" for signal in others)
    named.pop(f"{lead.service} {_subject(lead)}", None)
    if not named:
        return ""
    names = list(named)
    more = len(names) - _NAMED_AT_MOST
    return "together with " + ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def _subject(signal: Signal) -> str:
    return "failure risk" if signal.kind is SignalKind.FAILURE_RISK else signal.metric or signal.kind
