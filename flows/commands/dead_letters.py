"""`forewarn dead-letters`: list, show and retry the rows that were refused."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from core.clock import Clock
from core.counts import DeadLetterCount
from core.dead_letters import DeadLetter, DeadLetterFilter
from flows.commands.console import AsJson, TenantOption, out, print_json, settings_for, show
from flows.commands.steps import report_of
from pipelines.common.progress import Progress
from pipelines.common.tenant_platform import Platform

#: So much of a row people read; `--json` prints it whole.
SHOWN_CHARS = 1_000

app = typer.Typer(help="List, show and retry the rows that were refused.", no_args_is_help=True)

SourceOption = Annotated[
    str | None,
    typer.Option("--source", help="Only rows of this source, such as remote_write.", metavar="NAME"),
]
ReasonOption = Annotated[
    str | None, typer.Option("--reason", help="Only rows whose reason contains this text.", metavar="TEXT")
]
SinceOption = Annotated[
    float | None,
    typer.Option(
        "--since-h", help="Only rows that were refused in the last N hours. Default: all.", min=0, metavar="N"
    ),
]


@app.command("list")
def list_dead_letters(
    source: SourceOption = None,
    reason: ReasonOption = None,
    since_h: SinceOption = None,
    limit: Annotated[int, typer.Option(help="List at most this many groups.", min=1, max=10_000)] = 50,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """List how many rows were refused, by source and reason, the most frequent first."""
    from pipelines.wiring import open_platform

    with open_platform(settings_for(tenant)) as platform:
        which = _filter(platform.clock, source, reason, since_h)
        found = platform.store.dead_letters.by_reason(which, limit)
    if as_json:
        print_json(found)
    elif not found:
        out.print("no dead letters")
    else:
        out.print(_groups(found))


@app.command("show")
def show_dead_letters(
    source: SourceOption = None,
    reason: ReasonOption = None,
    since_h: SinceOption = None,
    limit: Annotated[int, typer.Option(help="Show at most this many rows.", min=1, max=1_000)] = 20,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Show refused rows with their reasons, newest first."""
    from pipelines.wiring import open_platform

    with open_platform(settings_for(tenant)) as platform:
        which = _filter(platform.clock, source, reason, since_h)
        found = platform.store.dead_letters.list(limit, which, None if as_json else SHOWN_CHARS)
    if as_json:
        print_json(found)
    elif not found:
        out.print("no dead letters")
    for letter in () if as_json else found:
        _print_row(letter)


@app.command("retry")
def retry(
    source: SourceOption = None,
    reason: ReasonOption = None,
    since_h: SinceOption = None,
    limit: Annotated[
        int | None, typer.Option(help="Retry at most this many rows, oldest first. Default: all.", min=1)
    ] = None,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Store the refused samples that can be stored now; they are no dead letters any more.

    Other rows stay, with the remedy. If rows were rejected again or cannot be retried, the exit code is 1.
    """
    from pipelines.collect.retry_dead_letters import RetryReport, retry_dead_letters

    def run(platform: Platform, *, progress: Progress) -> RetryReport:
        which = _filter(platform.clock, source, reason, since_h)
        return retry_dead_letters(platform, which, limit, progress=progress)

    report = report_of(run, tenant=tenant, at=None, quiet=as_json)
    show(report, as_json=as_json)
    raise typer.Exit(1 if report.rejected_again or report.not_retried else 0)


def _filter(clock: Clock, source: str | None, reason: str | None, since_h: float | None) -> DeadLetterFilter:
    since = None if since_h is None else clock.now() - timedelta(hours=since_h)
    return DeadLetterFilter(source=source, reason=reason, since=since)


def _groups(found: Sequence[DeadLetterCount]) -> Table:
    table = Table("source", "rows", "first, last (UTC)", "reason", box=None, padding=(0, 2, 0, 0))
    for one in found:
        times = f"{one.first_at:%Y-%m-%d %H:%M}\n{one.last_at:%Y-%m-%d %H:%M}"
        example = "" if one.count == 1 else f"{one.reason}\nsuch as: "
        table.add_row(one.source, f"{one.count:,}", times, example + one.example)
    return table


def _print_row(letter: DeadLetter) -> None:
    cut = " ..." if len(letter.row) == SHOWN_CHARS else ""
    out.print(
        Text.assemble((f"{letter.seen_at:%Y-%m-%d %H:%M} {letter.source}", "dim"), f" {letter.reason}"),
        soft_wrap=True,
    )
    out.print(f"    {letter.row}{cut}", soft_wrap=True)
