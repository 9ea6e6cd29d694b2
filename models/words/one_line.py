"""A signal in one line, as it is when people read it."""

from datetime import datetime

from core.domain import Signal, SignalKind
from core.entities import named_with_entity
from core.formatting import format_deviation, format_duration, format_moment, format_value, format_when
from core.metric_names import exhaustion_of
from models.words.breach import is_downward, is_over_threshold, threshold_word
from models.words.peers import is_about_peers, peer_value


def describe(signal: Signal, now: datetime) -> str:
    """What happens or will happen, and when, seen from `now`: `checkout: disk full in 4 h 10 min, between 3 h and 6 h`.

    The `summary` of a signal was true when the signal was made; this text is true when it is read.
    """
    match signal.kind:
        case SignalKind.BREACH:
            text = _breach(signal, now)
        case SignalKind.FAILURE_RISK:
            text = _risk(signal, now)
        case SignalKind.ANOMALY if is_about_peers(signal):
            return f"{signal.service}: {peer_value(signal)}, {_lasting(signal, now)}"
        case SignalKind.ANOMALY:
            text = _anomaly(signal, now)
        case SignalKind.MISSING:
            text = f"no values of {signal.metric or 'several metrics'} {_lasting(signal, now)}"
    return f"{named_with_entity(signal.service, signal.labels)}: {text}" if text else signal.summary


def _breach(signal: Signal, now: datetime) -> str:
    breach, metric = signal.breach, signal.metric or ""
    if breach is None:
        return ""
    threshold = format_value(breach.threshold, signal.unit)
    if signal.ended_at is None and is_over_threshold(signal):
        side = "below" if is_downward(signal) else "over"
        since = f" since {format_moment(breach.when.p50)}" if breach.when is not None else ""
        word = threshold_word(proposed=breach.proposed)
        return f"{metric} is {side} its {word} of {threshold}{since}"
    resource = exhaustion_of(metric)
    what = resource.exhausted if resource is not None and not breach.proposed else ""
    if not what:
        reached = f"its {threshold_word(proposed=True)} of {threshold}" if breach.proposed else threshold
        what = f"{metric} {'falls to' if is_downward(signal) else 'reaches'} {reached}"
    if signal.ended_at is not None:
        return f"{what} no longer expected"
    if breach.when is not None:
        return f"{what} {format_when(breach.when, now)}"
    return f"{what} within {format_duration(breach.horizon_s)} (probability {breach.probability:.0%})"


def _risk(signal: Signal, now: datetime) -> str:
    risk = signal.risk
    if risk is None:
        return ""
    what = risk.likely_type.replace("_", " ") if risk.likely_type else "failure"
    if signal.ended_at is not None:
        return f"{what} no longer expected"
    horizon_s, probability = max(risk.probability_by_horizon_s.items(), default=(0, 0.0))
    sure = f"{probability:.0%} within {format_duration(horizon_s)}" if horizon_s else ""
    if risk.when is None:
        return f"{what} likely" + (f", {sure}" if sure else "")
    return f"{what} {format_when(risk.when, now)}" + (f" ({sure})" if sure else "")


def _anomaly(signal: Signal, now: datetime) -> str:
    if signal.value is None:
        return ""
    text = f"{signal.metric or 'value'} at {format_value(signal.value, signal.unit)}"
    if signal.band is not None:
        lower, upper = (format_value(edge, signal.unit) for edge in (signal.band.lower, signal.band.upper))
        text += f", expected {lower}" + (f" to {upper}" if upper != lower else "")
    if signal.deviation_sigma is not None:
        text += f" ({format_deviation(signal.deviation_sigma)})"
    return f"{text}, {_lasting(signal, now)}"


def _lasting(signal: Signal, now: datetime) -> str:
    lasted = format_duration(((signal.ended_at or now) - signal.started_at).total_seconds())
    return f"for {lasted}" if signal.ended_at is None else f"for {lasted}, over"
