"""`forewarn flows`: run flows now, or on a schedule with Prefect."""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from core.errors import NotFoundError, UnavailableError
from core.settings import Settings
from flows.commands.console import (
    AsJson,
    AtOption,
    TenantOption,
    TenantsOption,
    err,
    out,
    print_json,
    progress_bars,
    settings_for,
    utc,
)
from flows.commands.watch_screen import Screen, make_loop

if TYPE_CHECKING:
    from flows.cycle_worker import CycleWorker

MIB = 2**20

app = typer.Typer(help="Run flows now, or on a schedule with Prefect.", no_args_is_help=True)


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="nightly, weekly, watch or main-job; see `flows list`.")],
    tenant: TenantOption = None,
    at: AtOption = None,
    as_json: AsJson = False,
) -> None:
    """Run a flow now."""
    settings = settings_for(tenant)
    from flows.prefect_server import temporary_prefect_server
    from pipelines.processes.prefect_app import READY

    with temporary_prefect_server(settings) as server:
        # Imported while the server starts.
        from flows.prefect_logging import no_final_errors
        from flows.progress_listener import progress_to
        from flows.schedules import SCHEDULES

        found = next((entry.flow for entry in SCHEDULES if entry.flow.name == name), None)
        if found is None:
            names = ", ".join(entry.flow.name for entry in SCHEDULES)
            raise NotFoundError(f"there is no flow {name!r}; the flows are {names}")
        if server is not None:
            server.wait_until_ready(READY)
        no_final_errors()
        with progress_bars(quiet=as_json) as listen, progress_to(listen):
            reports = found(tenant=settings.tenant, at=utc(at))
    if as_json:
        print_json(reports)
    else:
        from flows.commands.report_lines import not_done

        out.print(f"{name}: done, {len(reports)} steps")
        for line in not_done(reports):
            out.print(f"  {line}", soft_wrap=True)


def _settings(tenants: Sequence[str] | None) -> list[Settings]:
    """The settings for each tenant; without tenants, for that of FOREWARN_TENANT."""
    return [settings_for(one) for one in tenants] if tenants else [settings_for(None)]


@app.command()
def cycles(
    tenants: TenantsOption = None,
    count: Annotated[
        int | None,
        typer.Option(
            "--cycles", help="Stop after so many cycles. Default: never.", min=1, show_default=False
        ),
    ] = None,
) -> None:
    """Run the watch cycles of one or several tenants in one process that stays, until you press Ctrl-C.

    Models and connections stay open between cycles. Each tenant has a thread, so that a large one does not delay a
    small one. Nightly and weekly work is left to others; `flows deploy` does it, and starts this command.

    If the process or a worker needs more than FOREWARN_WORKER_MEMORY_MB, all start anew before a cycle.
    """
    every = _settings(tenants)
    from flows.prefect_server import temporary_prefect_server
    from pipelines.processes.prefect_app import READY

    with temporary_prefect_server(every[0]) as server:
        from flows.cycle_worker import CycleWorker
        from flows.prefect_logging import no_final_errors, only_warnings
        from pipelines.processes.parallel import kept_workers

        if server is not None:
            server.wait_until_ready(READY)
        no_final_errors()
        only_warnings()
        worker = CycleWorker(
            [
                partial(make_loop, one, Screen(one.tenant if len(every) > 1 else ""), learns=False)
                for one in every
            ],
            limit_bytes=every[0].worker_memory_mb * MIB,
        )
        _stop_at_signals(worker)
        with kept_workers():
            is_too_large = worker.run(count)
        if not is_too_large or count is not None:
            return
    err.print(f"starts anew: it needs more than {every[0].worker_memory_mb} MiB (FOREWARN_WORKER_MEMORY_MB)")
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - this command again


def _stop_at_signals(worker: "CycleWorker") -> None:
    """Let running cycles end at the first signal. An exception would be raised in the middle of a lock."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        err.print("stops after the running cycles; a second signal stops at once")
        worker.stop()
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_DFL)

    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, stop)


@app.command()
def deploy(tenants: TenantsOption = None) -> None:
    """Register the schedules with Prefect and run each flow on its schedule, until you press Ctrl-C.

    The command uses the Prefect server of PREFECT_API_URL. Without PREFECT_API_URL it starts a server, which stops with
    the command. Watch cycles run in a process of their own that stays, that of `flows cycles`; if it ends, it is
    started again.

    The command refuses to start if the metrics were pulled from a Prometheus that no setting names, because no cycle
    would read new ones.
    """
    every = _settings(tenants)
    settings = every[0]
    from flows.prefect_server import USER, names_a_server, password_file, prefect_server
    from pipelines.collect.pull import require_same_source
    from pipelines.wiring import open_platform

    out.print("Starting ...")
    # A database that does not answer yet is no reason: each flow tries again by itself.
    for one in every:
        with suppress(UnavailableError), open_platform(one) as platform:
            require_same_source(platform)
    started = not names_a_server()
    with prefect_server(settings) as api_url:
        from flows.cycle_process import cycle_process
        from flows.schedules import serve_schedules

        out.print(f"Prefect: {api_url.removesuffix('/api')}")
        if started:
            out.print(f"Login: {USER}:<password>; the password is in {password_file(settings)}")
        names = [one.tenant for one in every]
        with cycle_process(names):
            serve_schedules(names)


@app.command("list")
def list_flows(as_json: AsJson = False) -> None:
    """List the flows with schedule and purpose."""
    from flows.environment import prepare_prefect

    prepare_prefect(settings_for(None))
    from flows.schedules import SCHEDULES

    if as_json:
        print_json([{"flow": s.flow.name, "cron": s.cron, "purpose": s.purpose} for s in SCHEDULES])
        return
    table = Table("flow", "cron (UTC)", "purpose", box=None)
    for entry in SCHEDULES:
        table.add_row(entry.flow.name, entry.cron or "on demand", entry.purpose)
    out.print(table)
