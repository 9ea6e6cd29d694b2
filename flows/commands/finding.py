"""`forewarn score | forecast | predict | signals | hypotheses`: from models to what an SRE is told."""

import getpass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from core.domain import Signal, SignalKind
from core.errors import InputError
from flows.commands.console import AsJson, AtOption, TenantOption, out, print_json, settings_for, utc
from flows.commands.learning import report_of, run_step
from pipelines.common.progress import Progress
from pipelines.common.tenant_platform import Platform

SHORT_TIME = "%m-%d %H:%M"

signals_app = typer.Typer(help="What was found.", no_args_is_help=True)
hypotheses_app = typer.Typer(help="What is behind it.", no_args_is_help=True)


def score(
    since_h: Annotated[
        float | None, typer.Option(help="Score the last so many hours again; default: what is new.", min=0)
    ] = None,
    tenant: TenantOption = None,
    at: AtOption = None,
    as_json: AsJson = False,
) -> None:
    """Score what is new against the champion detector, and keep what it finds as signals."""
    from pipelines.watch.detect import detect as run

    start = None
    if since_h is not None:
        start = (utc(at) or datetime.now(UTC)) - timedelta(hours=since_h)
    run_step(run, tenant=tenant, at=at, as_json=as_json, start=start)


def forecast(
    plots: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw each breach that is said into this folder.", show_default=False),
    ] = None,
    tenant: TenantOption = None,
    at: AtOption = None,
    as_json: AsJson = False,
) -> None:
    """Forecast every series and say which will cross its threshold, and when."""
    from pipelines.plots.of_signals import save_plots
    from pipelines.watch.forecast import ForecastReport
    from pipelines.watch.forecast import forecast as run

    def run_and_draw(platform: Platform, *, progress: Progress) -> ForecastReport:
        report = run(platform, progress=progress)
        if plots is not None:
            save_plots(platform, report.signals, plots, at=report.at, progress=progress)
        return report

    run_step(run_and_draw, tenant=tenant, at=at, as_json=as_json)


def predict(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Say for every service how likely it is to fail, when, and why."""
    from pipelines.watch.predict_failure import predict_failure

    run_step(predict_failure, tenant=tenant, at=at, as_json=as_json)


@signals_app.command("list")
def list_signals(
    kind: Annotated[SignalKind | None, typer.Option(help="Only this kind.")] = None,
    service: Annotated[str | None, typer.Option(help="Only this service.")] = None,
    since_h: Annotated[float, typer.Option(help="Only those of the last so many hours.", min=0)] = 24.0,
    stopped: Annotated[
        bool, typer.Option("--stopped", help="Those that a filter suppressed instead.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """List signals, newest first."""
    from pipelines.wiring import open_platform

    with open_platform(settings_for(tenant)) as platform:
        since = platform.clock.now() - timedelta(hours=since_h)
        found = platform.store.signals.find(
            kind=kind, service=service, since=since, suppressed=stopped, limit=limit
        )
    if as_json:
        print_json(found)
    elif not found:
        out.print(f"no signals in the last {since_h:g} h")
    else:
        out.print(signal_table(found))


def signal_table(found: list[Signal]) -> Table:
    """Signals as a person reads them; what is over says since when."""
    from flows.commands.words import ID_DIGITS
    from models.words.page import spaced

    table = Table("since (UTC)", "kind", "what", "id", box=None, padding=(0, 2, 0, 0))
    for signal in found:
        over = "" if signal.ended_at is None else f"\nto {signal.ended_at:{SHORT_TIME}}"
        stopped = "" if signal.suppressed_by is None else f" (stopped: {signal.suppressed_by})"
        table.add_row(
            f"{signal.started_at:{SHORT_TIME}}{over}",
            f"{signal.severity}\n{spaced(signal.kind)}",
            signal.summary + stopped,
            signal.signal_id[:ID_DIGITS],
            style="dim" if over else None,
        )
    return table


@signals_app.command("show")
def show_signal(
    signal_id: Annotated[str, typer.Argument(help="The id, or its beginning if that is enough.")],
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Draw the breach into this file; the suffix decides the format.", show_default=False
        ),
    ] = None,
    tenant: TenantOption = None,
    at: AtOption = None,
    as_json: AsJson = False,
) -> None:
    """Everything that is known of one signal."""
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


@signals_app.command("send")
def send_signals(tenant: TenantOption = None, as_json: AsJson = False) -> None:
    """Deliver to the configured receivers what they have not had yet."""
    from pipelines.watch.deliver import deliver

    run_step(deliver, tenant=tenant, at=None, as_json=as_json)


@signals_app.command("mark")
def mark_signal(
    signal_id: Annotated[str, typer.Argument(help="The id of the signal.")],
    verdict: Annotated[str, typer.Argument(help="true or false: was it real trouble?")],
    note: Annotated[str, typer.Option(help="Why.")] = "",
    tenant: TenantOption = None,
) -> None:
    """Tell whether a signal was true; models and hypotheses learn from it."""
    from core.diagnosis import Feedback, FeedbackValue
    from pipelines.wiring import open_platform

    if verdict not in ("true", "false"):
        raise InputError(f"a verdict is true or false, got {verdict!r}")
    with open_platform(settings_for(tenant)) as platform:
        signal = platform.store.signals.get(signal_id)
        said = Feedback(
            tenant=platform.tenant,
            subject_id=signal.signal_id,
            value=FeedbackValue.TRUE_POSITIVE if verdict == "true" else FeedbackValue.FALSE_POSITIVE,
            by=getpass.getuser(),
            at=platform.clock.now(),
            note=note,
        )
        platform.store.feedback.add([said])
    out.print(f"marked {verdict}: {signal.summary}")


@hypotheses_app.command("score")
def score_hypotheses(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Weigh what could be behind the open signals, deterministically, with the breakdown."""
    from flows.commands.diagnosis_page import print_diagnosis
    from pipelines.watch.diagnose import diagnose as run

    report = report_of(run, tenant=tenant, at=at, quiet=as_json)
    if as_json:
        print_json(report)
        return
    for record in report.records:
        print_diagnosis(record.diagnosis, record.service)
    out.print(f"{len(report.records)} open incidents, {report.new} with something new to say")
