"""`forewarn status`: the state of each part of the platform, and its problems."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from flows.commands.console import AsJson, TenantOption, out, print_json, settings_for


def status(
    everything: Annotated[
        bool, typer.Option("--all", help="Show every line. Default: at most 10 of each kind.")
    ] = False,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Show the state and age of data, models and deliveries, and list problems. With problems the exit code is 1."""
    from pipelines.operate.status import MAX_LINES, read_status
    from pipelines.wiring import open_platform

    with open_platform(settings_for(tenant)) as platform:
        state = read_status(platform, max_lines=None if everything or as_json else MAX_LINES)
    if as_json:
        print_json(state)
    else:
        table = Table("part", "state", "as of (UTC)", box=None, padding=(0, 3, 0, 0))
        for part in state.parts:
            table.add_row(part.name, part.state, f"{part.as_of:%Y-%m-%d %H:%M}" if part.as_of else "-")
        out.print(table)
        for problem in state.problems:
            out.print(Text.assemble(("!", "yellow"), f" {problem}"), soft_wrap=True)
        if not state.problems:
            out.print("no problems", style="green")
    raise typer.Exit(1 if state.problems else 0)
