"""Output of the commands: results on standard output, progress and errors on standard error."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from core.json_text import json_text
from core.settings import Settings, read_settings
from pipelines.common.progress import Progress as Listener

#: Without markup: names and messages come from users, and Rich would interpret their brackets as styles.
out = Console(highlight=False, markup=False)
err = Console(stderr=True, highlight=False, markup=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
TenantOption = Annotated[
    str | None, typer.Option("--tenant", help="The tenant. Default: FOREWARN_TENANT.", show_default=False)
]
TenantsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tenant",
        help="A tenant; repeat it for several. Default: FOREWARN_TENANT.",
        show_default=False,
        metavar="NAME",
    ),
]
AtOption = Annotated[
    datetime | None,
    typer.Option(
        "--at",
        formats=["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d"],
        help="Take this moment (UTC) for the present. Default: now.",
        show_default=False,
    ),
]


def utc(moment: datetime | None) -> datetime | None:
    """A moment of the command line in UTC. Without an offset it is UTC already."""
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def settings_for(tenant: str | None) -> Settings:
    """The settings, with the tenant of `--tenant` if it was given."""
    settings = read_settings()
    return settings if tenant is None else settings.model_copy(update={"tenant": tenant})


def print_json(value: Any) -> None:
    sys.stdout.write(json_text(value) + "\n")


def show(report: Any, *, as_json: bool) -> None:
    """Print a report: as JSON, or as a table of its fields."""
    if as_json:
        print_json(report)
        return
    # Imported late: it imports pipelines, and `--help` must stay fast.
    from flows.commands.report_lines import rows

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, line in rows(report):
        table.add_row(name, line)
    out.print(table)


@contextmanager
def progress_bars(*, quiet: bool = False) -> Iterator[Listener]:
    """Yield a listener that draws one progress bar for each step on standard error."""
    columns = (SpinnerColumn(), TextColumn("{task.description:<34}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=quiet, transient=False) as bars:
        known: dict[str, TaskID] = {}

        def listen(step: str, done: int, total: int) -> None:
            if step not in known:
                known[step] = bars.add_task(step, total=total)
            bars.update(known[step], completed=done, total=total)

        yield listen
