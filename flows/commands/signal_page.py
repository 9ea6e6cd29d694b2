"""One signal as a page for a person: what, since when, how far out, when it ends badly, why, who says so."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from core.domain import Band, DetectorView, GateResult, Series, Signal
from core.wording import format_value
from flows.commands.words import spaced, within, words
from pipelines.sinks.alerts import reasons


def signal_page(signal: Signal) -> Table:
    """Everything that a person asks of a signal; what it does not have is left out."""
    table = Table(title=signal.summary, title_justify="left", show_header=False, box=None)
    for name, told in _lines(signal):
        lines = [told] if isinstance(told, str) else told
        for number, line in enumerate(lines):
            table.add_row(Text(name if number == 0 else "", "dim"), line)
    return table


def _lines(signal: Signal) -> Iterator[tuple[str, str | Sequence[str]]]:
    unit = signal.unit
    shape = f", {spaced(signal.shape)}" if signal.shape else ""
    yield "what", f"{signal.severity} {spaced(signal.kind)}{shape}"
    yield "where", _where(signal)
    until = "open" if signal.ended_at is None else f"until {words(signal.ended_at)}"
    yield "since", f"{words(signal.started_at)}, {until}"
    if signal.value is not None:
        yield "value", format_value(signal.value, unit)
    if signal.band is not None:
        yield "expected", _band(signal.band, unit)
    if signal.deviation_sigma is not None:
        yield "deviation", f"{signal.deviation_sigma:.1f} sigma"
    if signal.score is not None:
        yield "score", _score(signal.score, signal.p_value)
    if signal.breach is not None:
        breach = signal.breach
        likely = within({**breach.probability_by_horizon_s, breach.horizon_s: breach.probability})
        yield "passes", f"{format_value(breach.threshold, unit)}: {likely}"
    if signal.risk is not None:
        yield "fails", words(signal.risk) or ""
    when = (signal.breach and signal.breach.when) or (signal.risk and signal.risk.when)
    if when:
        yield "when", words(when) or ""
    # The last of the reasons is who says so.
    yield "why", reasons(signal)
    yield "gates", [_gate(gate) for gate in signal.gates]
    yield "detectors", [f"{view.detector} {_view(view)}" for view in signal.detectors]
    yield from signal.links.items()
    yield "id", signal.signal_id


def _where(signal: Signal) -> str:
    if signal.metric is None:
        return signal.service
    return Series(
        tenant=signal.tenant, service=signal.service, metric=signal.metric, labels=signal.labels
    ).name


def _band(band: Band, unit: str) -> str:
    expected, low, high = (format_value(edge, unit) for edge in (band.expected, band.lower, band.upper))
    return f"{expected}, {band.level:.0%} between {low} and {high}"


def _gate(gate: GateResult) -> str:
    return f"{spaced(gate.gate)} {'passed' if gate.passed else 'stopped it'}: {gate.reason}"


def _view(view: DetectorView) -> str:
    return "could not score" if view.score is None else _score(view.score, view.p_value)


def _score(score: float, p_value: float | None) -> str:
    return f"{score:.2f}" if p_value is None else f"{score:.2f}, p = {p_value:.2g}"
