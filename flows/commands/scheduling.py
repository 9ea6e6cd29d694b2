"""`forewarn flows`: the main job under Prefect."""

from typing import Annotated

import typer
from rich.table import Table

from core.errors import NotFoundError
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

app = typer.Typer(help="Run and schedule the main job with Prefect.", no_args_is_help=True)


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="nightly, weekly, watch or main-job; see `flows list`.")],
    tenant: TenantOption = None,
    at: AtOption = None,
    as_json: AsJson = False,
) -> None:
    """Run a flow now, in this process."""
    settings = settings_for(tenant)
    from flows.environment import prepare_prefect

    prepare_prefect(settings)
    from flows.listening import listening
    from flows.schedules import SCHEDULES

    found = next((entry.flow for entry in SCHEDULES if entry.flow.name == name), None)
    if found is None:
        names = ", ".join(entry.flow.name for entry in SCHEDULES)
        raise NotFoundError(f"no flow {name!r}; there are {names}")
    with progress_bars(quiet=as_json) as listen, listening(listen):
        reports = found(tenant=settings.tenant, at=utc(at))
    if as_json:
        print_json(reports)
    else:
        out.print(f"{name}: done, {len(reports)} steps")


@app.command()
def deploy(tenant: TenantOption = None) -> None:
    """Register the schedules and run what is due, until interrupted (Ctrl-C).

    Uses the Prefect server of PREFECT_API_URL; without one it starts its own, which ends with it. Several tenants need
    one that they share.
    """
    settings = settings_for(tenant)
    from flows.prefect_server import prefect_server

    out.print("Starting ...")
    with prefect_server(settings) as api_url:
        from flows.schedules import serve_schedules

        out.print(f"Prefect: {api_url.removesuffix('/api')}")
        serve_schedules(settings.tenant)


@app.command("list")
def list_flows(as_json: AsJson = False) -> None:
    """The flows, when each runs, and what for."""
    from flows.environment import prepare_prefect

    prepare_prefect(settings_for(None))
    from flows.schedules import SCHEDULES

    if as_json:
        print_json([{"flow": s.flow.name, "cron": s.cron, "purpose": s.purpose} for s in SCHEDULES])
        return
    table = Table("flow", "cron (UTC)", "what for", box=None)
    for entry in SCHEDULES:
        table.add_row(entry.flow.name, entry.cron or "on demand", entry.purpose)
    out.print(table)
