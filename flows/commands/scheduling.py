"""`forewarn flows`: run flows now, or on a schedule with Prefect."""

from contextlib import suppress
from typing import Annotated

import typer
from rich.table import Table

from core.errors import NotFoundError, UnavailableError
from flows.commands.console import (
    AsJson,
    AtOption,
    TenantOption,
    out,
    print_json,
    progress_bars,
    settings_for,
    utc,
)

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


@app.command()
def deploy(tenant: TenantOption = None) -> None:
    """Register the schedules with Prefect and run each flow on its schedule, until you press Ctrl-C.

    The command uses the Prefect server of PREFECT_API_URL. Without PREFECT_API_URL it starts a server, which stops with
    the command. If you deploy the flows of several tenants, start one Prefect server for all and set PREFECT_API_URL.

    The command refuses to start if the metrics were pulled from a Prometheus that no setting names, because no cycle
    would read new ones.
    """
    settings = settings_for(tenant)
    from flows.prefect_server import USER, names_a_server, password_file, prefect_server
    from pipelines.collect.pull import require_same_source
    from pipelines.wiring import open_platform

    out.print("Starting ...")
    # A database that does not answer yet is no reason: each flow tries again by itself.
    with suppress(UnavailableError), open_platform(settings) as platform:
        require_same_source(platform)
    started = not names_a_server()
    with prefect_server(settings) as api_url:
        from flows.schedules import serve_schedules

        out.print(f"Prefect: {api_url.removesuffix('/api')}")
        if started:
            out.print(f"Login: {USER}:<password>; the password is in {password_file(settings)}")
        serve_schedules(settings.tenant)


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
