"""What is behind a trouble, as a person reads it: the likeliest cause, and what its confidence adds up from."""

from rich.table import Table
from rich.text import Text

from core.diagnosis import Diagnosis
from flows.commands.console import out


def print_diagnosis(diagnosis: Diagnosis, title: str) -> None:
    """The likeliest hypothesis with its breakdown, and the others that a person should see."""
    top = diagnosis.top
    if top is None:
        return
    out.print(Text.assemble("\n", (title, "bold"), f"  {top.hypothesis.statement}"))
    out.print(f"  confidence {top.confidence:.2f} ({top.low:.2f} to {top.high:.2f}); {diagnosis.reason}")
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
            out.print(
                f"  or {other.hypothesis.statement}: {other.confidence:.2f} ({other.low:.2f} to {other.high:.2f})"
            )
