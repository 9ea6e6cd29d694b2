"""`forewarn signals`: list, show and send signals, and give feedback about them."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from core.domain import Signal, SignalKind
from flows.commands.console import AsJson, AtOption, TenantOption, out, print_json, settings_for, show, utc
from flows.commands.deprecated import add_deprecated_command, deprecated_flag
from flows.commands.feedback import feedback_on_signal, mark
from flows.commands.steps import report_of
from pipelines.common.progress import Progress
from pipelines.common.tenant_platform import Platform

SHORT_TIME = "%m-%d %H:%M"

app = typer.Typer(help="List, show and send signals, and give feedback about them.", no_args_is_help=True)
app.command("feedback")(feedback_on_signal)
add_deprecated_command(
    app,
    "mark",
    mark,
    old="forewarn signals mark ID true|false",
    new="forewarn signals feedback ID true_positive|false_positive",
)


@app.command("list")
def list_signals(
    kind: Annotated[SignalKind | None, typer.Option(help="Show only this kind.")] = None,
    service: Annotated[str | None, typer.Option(help="Show only this service.", metavar="NAME")] = None,
    since_h: Annotated[
        float, typer.Option(help="Show the signals of the last N hours.", min=0, metavar="N")
    ] = 24.0,
    suppressed: Annotated[
        bool, typer.Option("--suppressed", help="Show suppressed signals instead, with the filter's name.")
    ] = False,
    stopped: Annotated[bool, deprecated_flag("--stopped", new="--suppressed")] = False,
    limit: Annotated[int, typer.Option(help="Show at most this many.", min=1, max=10_000)] = 50,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """List signals, newest first."""
    from pipelines.wiring import open_platform

    with open_platform(settings_for(tenant)) as platform:
        since = platform.clock.now() - timedelta(hours=since_h)
        found = platform.store.signals.find(
            kind=kind, service=service, since=since, suppressed=suppressed or stopped, limit=limit
        )
    if as_json:
        print_json(found)
    elif not found:
        out.print(f"no signals in the last {since_h:g} h")
    else:
        out.print(signal_table(found))


def signal_table(found: list[Signal]) -> Table:
    """A row for each signal. Rows of signals that have ended are dim and show the end."""
    from flows.commands.report_lines import ID_DIGITS
    from models.words.page import spaced

    table = Table("since (UTC)", "kind", "what", "id", box=None, padding=(0, 2, 0, 0))
    for signal in found:
        ended = "" if signal.ended_at is None else f"\nto {signal.ended_at:{SHORT_TIME}}"
        suppressed = "" if signal.suppressed_by is None else f" (suppressed by: {signal.suppressed_by})"
        table.add_row(
            f"{signal.started_at:{SHORT_TIME}}{ended}",
            f"{signal.severity}\n{spaced(signal.kind)}",
            signal.summary + suppressed,
            signal.signal_id[:ID_DIGITS],
            style="dim" if ended else None,
        )
    return table


@app.command("show")
def show_signal(
    signal_id: Annotated[
        str, typer.Argument(metavar="ID", help="The id of the signal, or the beginning of the id.")
    ],
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Save a plot of the breach in this file. The suffix sets the format, such as .png or .svg.",
            show_default=False,
        ),
    ] = None,
    tenant: TenantOption = None,
    at: AtOption = None,
    as_json: AsJson = False,
) -> None:
    """Show one signal in full: values, probabilities, reasons, filters and model."""
    from models.words.page import signal_page
    from pipelines.plots.breach_and_capacity import save
    from pipelines.plots.of_signals import plot_signal
    from pipelines.wiring import open_platform

    with open_platform(settings_for(tenant)) as platform:
        signal = platform.store.signals.get(signal_id)
        if plot is not None:
            save(plot_signal(platform, signal, at=utc(at)), plot)
    if as_json:
        print_json(signal)
    else:
        table = Table(title=signal.summary, title_justify="left", show_header=False, box=None)
        for name, lines in signal_page(signal).items():
            table.add_row(Text(name, "dim"), "\n".join(lines))
        out.print(table)


@app.command("send")
def send_signals(
    retry: Annotated[
        bool,
        typer.Option(
            "--retry", help="Also send again what was given up because a receiver rejected it too often."
        ),
    ] = False,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Send alerts of the signals that the configured receivers have not received yet.

    One process at a time sends to a receiver; another one waits for it up to 30 s. If a receiver did not accept
    everything, the exit code is 1.
    """
    from pipelines.watch.deliver import DeliveryReport, deliver

    def send(platform: Platform, *, progress: Progress) -> DeliveryReport:
        if retry:
            platform.store.deliveries.retry_given_up()
        return deliver(platform, progress=progress)

    report = report_of(send, tenant=tenant, at=None, quiet=as_json)
    show(report, as_json=as_json)
    raise typer.Exit(1 if report.errors else 0)
