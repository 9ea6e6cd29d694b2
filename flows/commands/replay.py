"""`forewarn replay`: which alerts the past would have brought, and what a change alters."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from core.durations import DAY_S, HOUR_S, MINUTE_S
from core.errors import InputError
from flows.commands.console import (
    AsJson,
    TenantOption,
    err,
    out,
    print_json,
    progress_bars,
    settings_for,
    utc,
)

if TYPE_CHECKING:
    from models.lifecycle.replay_records import AlertMessage
    from pipelines.common.tenant_platform import Platform
    from pipelines.replay.plan import ReplayPlan
    from pipelines.replay.report import ReplayReport

app = typer.Typer()

PageOption = Annotated[
    Path | None, typer.Option("--page", help="Write a page with plots into this file.", show_default=False)
]
_TIMES = ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M", "%Y-%m-%d"]
_UNITS = {"s": 1, "m": MINUTE_S, "h": HOUR_S, "d": DAY_S}
#: So many messages are printed; JSON and the page have all.
MOST_MESSAGES = 50


@app.callback(invoke_without_command=True)
def replay(
    context: typer.Context,
    start: Annotated[
        datetime | None,
        typer.Option("--from", formats=_TIMES, help="The first cycle (UTC).", show_default=False),
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option(
            "--to", formats=_TIMES, help="The end of the last cycle. Default: now.", show_default=False
        ),
    ] = None,
    every: Annotated[str, typer.Option(help="Time between two cycles, such as 5m or 1h.")] = "5m",
    retrain: Annotated[
        str, typer.Option(help="When models learn again after the first cycle: weekly or never.")
    ] = "weekly",
    history_d: Annotated[
        float, typer.Option("--history-d", help="Days before the first cycle to learn from.", min=1.0)
    ] = 30.0,
    name: Annotated[
        str | None, typer.Option(help="Name of the replay. Default: from its beginning.", show_default=False)
    ] = None,
    page: PageOption = None,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Run past watch cycles again, on what was known at each moment, and report the alerts of people.

    It trains its own models on the history before, and has its own database in FOREWARN_DATA_DIR/replays. It sends
    nothing.

    When it is interrupted, the same command goes on where it ended, and a later --to goes on to that. Other settings or
    rules need another --name; `forewarn replay compare` shows both side by side.
    """
    if context.invoked_subcommand is not None:
        return
    if start is None:
        raise InputError(
            "give the time to replay, such as `forewarn replay --from 2026-03-01 --to 2026-03-15`"
        )
    from pipelines.replay.plan import ReplayPlan, Retrain, judging_settings
    from pipelines.replay.run import replay as run
    from pipelines.wiring import open_platform

    settings = settings_for(tenant)
    now = datetime.now(UTC)
    first, last = utc(start) or now, utc(end) or now
    if retrain not in set(Retrain):
        raise InputError(f"--retrain is weekly or never, got {retrain!r}")
    every_s = seconds_of(every)
    plan = ReplayPlan(
        name=name or f"{first:%Y%m%dT%H%M}-every-{every}",
        tenant=settings.tenant,
        start=first,
        end=min(last, now),
        every_s=every_s,
        retrain=Retrain(retrain),
        history_s=int(history_d * DAY_S),
        settings=judging_settings(settings),
    )
    with open_platform(settings) as live:
        _require_past(live, plan)
        try:
            with progress_bars(quiet=as_json) as listen:
                run(live, plan, progress=listen)
        except KeyboardInterrupt:
            err.print("interrupted; the same command goes on from here", soft_wrap=True)
            raise typer.Exit(130) from None
        _report(live, plan.name, as_json=as_json, page=page)


@app.command("report")
def report(
    name: Annotated[str, typer.Argument(help="Name of a replay.")],
    page: PageOption = None,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Print the report of a replay again, also of one that still runs or was interrupted."""
    from pipelines.wiring import open_platform

    with open_platform(settings_for(tenant)) as live:
        _report(live, name, as_json=as_json, page=page)


@app.command()
def compare(
    one: Annotated[str, typer.Argument(help="Name of a replay.")],
    other: Annotated[str, typer.Argument(help="Name of another replay of the same time.")],
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Show two replays side by side: their figures, and the alerts that only one of them has."""
    from models.lifecycle.replay_words import side_by_side
    from pipelines.replay.compare import compare_replays
    from pipelines.wiring import open_platform

    with open_platform(settings_for(tenant)) as live:
        comparison = compare_replays(live, one, other)
    if as_json:
        print_json(comparison)
        return
    table = Table("", one, other, box=None, padding=(0, 2, 0, 0))
    for setting, (first, second) in comparison.differences.items():
        table.add_row(setting, first, second)
    for row in side_by_side(comparison.one.figures, comparison.other.figures):
        table.add_row(*row)
    out.print(table)
    for replay_name, messages in ((one, comparison.only_one), (other, comparison.only_other)):
        out.print(f"\n{len(messages)} alerts only in {replay_name}")
        _print_messages(messages, frozenset())


@app.command("list")
def list_replays(as_json: AsJson = False) -> None:
    """List the replays that are stored."""
    from core.formatting import format_duration, format_moment
    from pipelines.replay.plan import stored_replays

    plans = stored_replays(settings_for(None))
    if as_json:
        print_json(plans)
        return
    if not plans:
        out.print("there are no replays; `forewarn replay --from` makes one")
    for plan in plans:
        every = format_duration(plan.every_s)
        span = f"{format_moment(plan.start)} to {format_moment(plan.end)}"
        out.print(f"{plan.name}: tenant {plan.tenant}, {span}, every {every}", soft_wrap=True)


@app.command()
def remove(name: Annotated[str, typer.Argument(help="Name of a replay.")]) -> None:
    """Remove a replay with its database and its models."""
    from pipelines.replay.plan import ReplayFolder

    settings = settings_for(None)
    ReplayFolder.of(settings, name).remove(settings)
    out.print(f"removed replay {name}")


def seconds_of(text: str) -> int:
    """The seconds of a duration such as 5m, 1h or 90s.

    Raises:
        InputError: it is no such duration.
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text.strip())
    if found is None:
        raise InputError(f"a time between cycles is a number with s, m, h or d, such as 5m, got {text!r}")
    return int(found[1]) * _UNITS[found[2]]


def _require_past(live: "Platform", plan: "ReplayPlan") -> None:
    """Raises InputError if nothing is stored of the time to replay, or of that before it."""
    from core.formatting import format_moment

    span = live.store.samples.span()
    samples = live.store.samples.read(plan.start, min(plan.start + timedelta(hours=1), plan.end))
    if samples.is_empty() and (span is None or span[1] < plan.start):
        known = (
            "nothing" if span is None else f"values from {format_moment(span[0])} to {format_moment(span[1])}"
        )
        raise InputError(f"there is nothing to replay from {format_moment(plan.start)} on: {known} is stored")


def _report(live: "Platform", name: str, *, as_json: bool, page: Path | None) -> None:
    from pipelines.replay.report import report_of_replay

    found = report_of_replay(live, name)
    if page is not None:
        from pipelines.replay.page import replay_page
        from pipelines.replay.report import cycles_of

        page.write_text(replay_page(found, cycles_of(live, name)))
        err.print(f"the page is {page}", soft_wrap=True)
    if as_json:
        print_json(found)
    else:
        _print_report(found)


def _print_report(found: "ReplayReport") -> None:
    from core.formatting import format_moment
    from models.lifecycle.replay_words import figure_lines, outcome_lines

    plan = found.plan
    state = "" if found.is_complete else f", of which it has run until {format_moment(found.until)}"
    out.print(
        f"replay {plan.name}: {format_moment(plan.start)} to {format_moment(plan.end)}{state}", soft_wrap=True
    )
    _print_messages(found.messages, frozenset(found.figures.false_alerts))
    for title, rows in (
        ("true incidents", outcome_lines(found.figures.outcomes)),
        ("figures", figure_lines(found.figures)),
    ):
        out.print(f"\n{title}")
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for row in rows:
            table.add_row(*row)
        out.print(table)


def _print_messages(messages: "tuple[AlertMessage, ...]", false: frozenset[str]) -> None:
    """The messages in the order of time; `false` marks alerts that no incident explains."""
    begun: set[str] = set()
    for one in messages[:MOST_MESSAGES]:
        ended = one.ended_at is not None
        word = "ended" if ended else "worse" if one.alert_id in begun else "began"
        begun.add(one.alert_id)
        style = "green" if ended else "bold red" if one.severity == "critical" else "yellow"
        mark = "  (no incident)" if one.alert_id in false and not ended else ""
        line = Text.assemble(f"{one.at:%m-%d %H:%M} ", (f"{word:<6}", style), f" {one.text}{mark}")
        out.print(line, soft_wrap=True)
    if len(messages) > MOST_MESSAGES:
        out.print(f"and {len(messages) - MOST_MESSAGES} more messages; --json and --page have all")
