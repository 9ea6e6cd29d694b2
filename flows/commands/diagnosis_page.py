"""Prints a diagnosis: the likeliest cause, and how its confidence is made up."""

from rich.table import Table
from rich.text import Text

from core.diagnosis import Diagnosis, ScoredHypothesis
from flows.commands.console import out
from flows.commands.report_lines import ID_DIGITS


def print_diagnosis(diagnosis: Diagnosis, title: str) -> None:
    """Print the likeliest hypothesis with its factors, and the other hypotheses that the policy shows.

    The printed ids are for `forewarn feedback ID accepted|rejected`.
    """
    top = diagnosis.top
    if top is None:
        return
    out.print(Text.assemble("\n", (title, "bold"), f"  {top.hypothesis.statement}"))
    out.print(f"  confidence {_confidence(top)}; {diagnosis.reason}")
    table = Table("factor", "weight", "value", "adds", "why", box=None, padding=(0, 2, 0, 2))
    for factor in top.factors:
        table.add_row(
            factor.factor,
            f"{factor.weight:.2f}",
            f"{factor.value:.2f}",
            f"{factor.contribution:.3f}",
            factor.reason,
        )
    out.print(table)
    for other in diagnosis.shown:
        if other != top:
            out.print(f"  or {other.hypothesis.statement}: {_confidence(other)}")


def _confidence(scored: ScoredHypothesis) -> str:
    hypothesis_id = scored.hypothesis.hypothesis_id[:ID_DIGITS]
    return f"{scored.confidence:.2f} ({scored.low:.2f} to {scored.high:.2f}), id {hypothesis_id}"
