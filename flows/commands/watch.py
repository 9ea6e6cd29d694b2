"""`forewarn watch`: from a Prometheus to findings, with one command."""

import os
import time
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from core.domain import ServiceEdges, Severity, Signal
from core.errors import ForewarnError, InputError
from core.settings import Settings, read_settings
from flows.commands.console import TenantOption, err, out, progress_bars, settings_for

if TYPE_CHECKING:
    from flows.main_job import Reports
    from flows.watch_loop import Cycle
    from models.causes.incidents import DetectedIncident
    from pipelines.collect.ingest import IngestReport
    from pipelines.common.tenant_platform import Platform

_STYLES = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
#: So many series and findings are listed at most.
MOST_LINES = 20


def watch(
    url: Annotated[
        str | None,
        typer.Argument(help="Address of a Prometheus. Default: the configured sources.", show_default=False),
    ] = None,
    since_d: Annotated[
        float, typer.Option("--since-d", help="How many days of history to read at first.", min=0.05)
    ] = 30.0,
    cycles: Annotated[
        int | None, typer.Option(help="Stop after so many cycles. Default: never.", min=1, show_default=False)
    ] = None,
    tenant: TenantOption = None,
) -> None:
    """Watch a Prometheus: read its golden signals and their history, learn, and run a watch cycle every 5 minutes.

    Without an address, it watches the configured sources, or else what clients push to `forewarn serve`. It runs the
    flows of `forewarn flows deploy` in this process, until you press Ctrl-C. At the next start it goes on where it
    ended.
    """
    settings = _settings(url, since_d, tenant)
    from flows.prefect_server import temporary_prefect_server
    from pipelines.processes.prefect_app import READY

    with suppress(KeyboardInterrupt), temporary_prefect_server(settings) as server:
        with progress_bars() as listen:
            from pipelines.collect.ingest import IngestReport
            from pipelines.collect.pull import pull
            from pipelines.wiring import open_platform

            with open_platform(settings) as platform:
                read = pull(platform, progress=listen)
                _require_metrics(platform, read)
                _print_read(read or IngestReport(), settings)
        if server is not None:
            server.wait_until_ready(READY)
        _watch(settings, cycles)
    err.print("stopped")


def _require_metrics(platform: "Platform", read: "IngestReport | None") -> None:
    """Raises InputError if nothing was pulled and nothing was pushed either."""
    if read is None and not platform.store.series.find():
        raise InputError(
            "there is nothing to watch yet: give the address of a Prometheus, set FOREWARN_PROMETHEUS_URL, or let one"
            " push to `forewarn serve`, which keeps golden signals with FOREWARN_GOLDEN_SIGNALS=true"
        )


def _settings(url: str | None, since_d: float, tenant: str | None) -> Settings:
    """The settings with what the command line says. The flows read theirs from the environment."""
    changes = {"FOREWARN_PROMETHEUS_SINCE_H": f"{24 * since_d:g}"}
    if url is not None:
        changes["FOREWARN_PROMETHEUS_URL"] = url
    if not read_settings().prometheus_match:
        changes["FOREWARN_GOLDEN_SIGNALS"] = "true"
    os.environ.update(changes)
    return settings_for(tenant or read_settings().tenant)


def _watch(settings: Settings, cycles: int | None) -> None:
    from flows.prefect_logging import no_final_errors, only_warnings
    from flows.progress_listener import progress_to
    from flows.watch_loop import WatchLoop
    from pipelines.common.service_graph import graph_of
    from pipelines.wiring import open_platform

    no_final_errors()
    only_warnings()

    def findings(since: datetime) -> tuple[list[Signal], ServiceEdges]:
        with open_platform(settings) as platform:
            graph = graph_of(platform, platform.store.series.find())
            return platform.store.signals.find(since=since, suppressed=False), graph

    def has_model() -> bool:
        with open_platform(settings) as platform:
            return platform.registry.resolve("detector") is not None

    screen = _Screen()
    loop = WatchLoop(
        tenant=settings.tenant, findings=findings, has_model=has_model, listener=screen, sleep=time.sleep
    )
    with progress_to(screen.progress):
        loop.run(cycles)


def _print_read(read: "IngestReport", settings: Settings) -> None:
    from pipelines.wiring import open_platform

    with open_platform(settings) as platform:
        series = platform.store.series.find()
    services = sorted({one.service for one in series})
    out.print(
        f"{len(series)} series of {len(services)} services: {', '.join(services[:MOST_LINES])}"
        + (", ..." if len(services) > MOST_LINES else ""),
        soft_wrap=True,
    )
    out.print(f"{read.inserted:,} new values" + (f", {read.rejected} rejected" if read.rejected else ""))
    for note in read.notes:
        out.print(note, soft_wrap=True)


class _Screen:
    """Prints what the loop does and finds."""

    def __init__(self) -> None:
        self._skipped: dict[str, str] = {}
        self._learning = False
        self._steps: set[str] = set()

    def progress(self, step: str, done: int, total: int) -> None:
        """Name each step of learning once, when it starts; two run at a time."""
        if self._learning and step not in self._steps:
            self._steps.add(step)
            err.print(f"  {step}")

    def starts(self, name: str) -> None:
        self._learning = True
        self._steps.clear()
        err.print({"nightly": "Learning what is normal:", "weekly": "Training models:"}[name])

    def learned(self, name: str, reports: "Reports") -> None:
        from flows.commands.report_lines import not_done

        self._learning = False
        for line in not_done(reports):
            out.print(f"  {line}", soft_wrap=True)

    def cycle_done(self, cycle: "Cycle") -> None:
        lines = [
            *(self._line(cycle, one, str(one.severity), _STYLES[one.severity]) for one in cycle.began),
            *(self._line(cycle, one, "also", _STYLES[one.severity]) for one in cycle.grown),
            *(self._line(cycle, one, "ended", "green") for one in cycle.ended),
        ]
        for line in lines[:MOST_LINES]:
            out.print(line, soft_wrap=True)
        if len(lines) > MOST_LINES:
            out.print(f"{cycle.at:%H:%M} and {len(lines) - MOST_LINES} more; see forewarn signals list")
        for step, reason in cycle.skipped.items():
            if self._skipped.get(step) != reason:
                out.print(f"{cycle.at:%H:%M} {step.replace('_', ' ')}: not yet, {reason}", soft_wrap=True)
        self._skipped = dict(cycle.skipped)
        if cycle.steps.is_late:
            from models.words.watch_cycle import late_cycle

            err.print(f"{cycle.at:%H:%M} {late_cycle(cycle.steps)}", style="yellow", soft_wrap=True)
        pulled = "" if cycle.pulled is None else f"{cycle.pulled:,} new values, "
        plural = "s" if cycle.open > 1 else ""
        found = f"{cycle.open} open incident{plural}" if cycle.open else "nothing found"
        last = f"{cycle.seconds:.0f} s, next cycle at {cycle.next_at:%H:%M} UTC"
        out.print(f"{cycle.at:%H:%M} {pulled}{found}; {last}", style="dim")

    def _line(self, cycle: "Cycle", incident: "DetectedIncident", word: str, style: str) -> Text:
        """The incident by its most severe finding, and how many more it has."""
        from models.words.incident import together_with
        from models.words.one_line import describe

        lead = max(incident.signals, key=lambda one: one.severity.rank)
        others = [one for one in incident.signals if one is not lead]
        together = together_with(lead, others)
        text = describe(lead, cycle.at) + (f", {together}" if together else "")
        return Text.assemble(f"{cycle.at:%H:%M} ", (f"{word:<8}", style), f" {text}")

    def cycle_failed(self, at: datetime, error: ForewarnError) -> None:
        self._learning = False
        err.print(Text.assemble(f"{at:%H:%M} ", ("error:", "bold red"), f" {error}"), soft_wrap=True)
