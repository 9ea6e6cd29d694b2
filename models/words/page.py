"""One signal as a page: what it is, since when, how far it deviates, what is predicted, and why."""

from collections.abc import Iterator

from core.domain import Band, DetectorResult, Factor, FailureRisk, FilterResult, Series, Signal
from core.formatting import format_deviation, format_moment, format_odds, format_time_range, format_value
from models.words.breach import is_over_threshold, threshold_word
from models.words.failure import BASE_RATE, OTHER_FEATURES
from models.words.incident import RELATED

_FACTORS_AT_MOST = 4


def signal_page(signal: Signal) -> dict[str, tuple[str, ...]]:
    """Name -> lines, in the order of reading; fields that the signal does not have are left out."""
    return {name: lines for name, lines in _parts(signal) if lines}


def _parts(signal: Signal) -> Iterator[tuple[str, tuple[str, ...]]]:
    unit, breach, risk = signal.unit, signal.breach, signal.risk
    shape = f", {spaced(signal.shape)}" if signal.shape else ""
    yield "what", (f"{signal.severity} {spaced(signal.kind)}{shape}",)
    yield "where", (_where(signal),)
    until = "open" if signal.ended_at is None else f"until {format_moment(signal.ended_at)}"
    yield "since", (f"{format_moment(signal.started_at)}, {until}",)
    if signal.value is not None:
        yield "value", (format_value(signal.value, unit),)
    if signal.band is not None:
        yield "expected", (_band(signal.band, unit),)
    if signal.deviation_sigma is not None:
        side = "above" if signal.deviation_sigma > 0 else "below"
        yield "deviation", (f"{format_deviation(signal.deviation_sigma)} {side} the expected value",)
    if signal.score is not None:
        yield "score", (_score(signal.score, signal.p_value),)
    over = is_over_threshold(signal)
    if breach is not None and over:
        crossed = f", crossed at {format_moment(breach.when.p50)}" if breach.when is not None else ""
        yield threshold_word(proposed=breach.proposed), (f"{format_value(breach.threshold, unit)}{crossed}",)
    elif breach is not None:
        odds = format_odds({**breach.probability_by_horizon_s, breach.horizon_s: breach.probability})
        yield "passes", (f"{'proposed ' * breach.proposed}{format_value(breach.threshold, unit)}: {odds}",)
    if risk is not None:
        yield "fails", (risk_in_words(risk),)
    when = (breach and breach.when) or (risk and risk.when)
    if when and not over:
        yield "when", (format_time_range(when),)
    yield "why", tuple(reasons(signal))
    yield "filters", tuple(_filter(one) for one in signal.filters)
    yield "detectors", tuple(f"{view.detector} {_view(view)}" for view in signal.detectors)
    for name, address in signal.links.items():
        yield name, (address,)
    yield "id", (signal.signal_id,)


def reasons(signal: Signal) -> list[str]:
    """Why: the largest contributions, other signals of the incident, changes nearby, and the model."""
    related = [factor for factor in signal.factors if factor.name == RELATED]
    lines = [factor.text or factor.name for factor in observed_factors(signal)[:_FACTORS_AT_MOST] + related]
    for event in signal.nearby_events:
        name = event.title or f"{event.service} {event.version}".strip()
        lines.append(f"{event.kind.replace('_', ' ')} at {event.at:%H:%M} UTC: {name}")
    if signal.model is not None:
        lines.append(f"by {signal.model.name} version {signal.model.version}, run {signal.model.run_id}")
    return lines


def observed_factors(signal: Signal) -> list[Factor]:
    """The factors that a reader can check, largest contribution first: without the remainders of a prediction."""
    own = [factor for factor in signal.factors if factor.name != RELATED]
    own = own or list(signal.risk.factors if signal.risk else ())
    observed = [factor for factor in own if factor.name not in (OTHER_FEATURES, BASE_RATE)]
    return sorted(observed, key=lambda factor: -abs(factor.contribution))


def risk_in_words(risk: FailureRisk) -> str:
    """`3% within 3 h, 57% within 6 h, likely disk full`."""
    likely = f", likely {spaced(risk.likely_type)}" if risk.likely_type else ""
    return format_odds(risk.probability_by_horizon_s) + likely


def spaced(name: object) -> str:
    """A name of the code as people write it."""
    return str(name).replace("_", " ")


def _where(signal: Signal) -> str:
    if signal.metric is None:
        return signal.service
    return Series(
        tenant=signal.tenant, service=signal.service, metric=signal.metric, labels=signal.labels
    ).name


def _band(band: Band, unit: str) -> str:
    expected, low, high = (format_value(edge, unit) for edge in (band.expected, band.lower, band.upper))
    return f"{expected}, {band.level:.0%} between {low} and {high}"


def _filter(one: FilterResult) -> str:
    return f"{spaced(one.name)} {'passed' if one.passed else 'suppressed it'}: {one.reason}"


def _view(view: DetectorResult) -> str:
    return "could not score" if view.score is None else _score(view.score, view.p_value)


def _score(score: float, p_value: float | None) -> str:
    return f"{score:z.2f}" if p_value is None else f"{score:z.2f}, p = {p_value:z.2g}"
