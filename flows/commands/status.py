"""`forewarn status`: what is there, how fresh, and what is wrong."""

import typer
from rich.table import Table
from rich.text import Text

from flows.commands.console import AsJson, TenantOption, out, print_json, settings_for


def status(tenant: TenantOption = None, as_json: AsJson = False) -> None:
    """Show what is there, how fresh it is, and what is wrong; exits with 1 if something is."""
    from pipelines.operate.status import read_status
    from pipelines.wiring import open_platform

    with open_platform(settings_for(tenant)) as platform:
        stock = read_status(platform)
    if as_json:
        print_json(stock)
    else:
        table = Table("part", "state", "as of (UTC)", box=None, padding=(0, 3, 0, 0))
        for part in stock.parts:
            table.add_row(part.name, part.state, f"{part.as_of:%Y-%m-%d %H:%M}" if part.as_of else "-")
        out.print(table)
        for problem in stock.problems:
            out.print(Text.assemble(("!", "yellow"), f" {problem}"), soft_wrap=True)
        if not stock.problems:
            out.print("nothing is wrong", style="green")
    raise typer.Exit(1 if stock.problems else 0)
