"""`forewarn archive`: check the files of the archive, and remove archived days."""

from datetime import datetime
from typing import Annotated

import typer

from flows.commands.console import AsJson, TenantOption, print_json, settings_for, show

app = typer.Typer(help="Check the archive of raw samples, and remove days from it.", no_args_is_help=True)

_DAY = ["%Y-%m-%d"]


@app.command()
def check(tenant: TenantOption = None, as_json: AsJson = False) -> None:
    """Read each file and compare it with what was archived. With a damaged file the exit code is 1."""
    from pipelines.operate.archive import check_archive
    from pipelines.wiring import open_platform

    with open_platform(settings_for(tenant)) as platform:
        report = check_archive(platform)
    show(report, as_json=as_json)
    raise typer.Exit(1 if report.damaged else 0)


@app.command()
def forget(
    first: Annotated[datetime, typer.Argument(formats=_DAY, help="The first day to remove.")],
    last: Annotated[
        datetime | None, typer.Argument(formats=_DAY, help="The last day to remove. Default: the first one.")
    ] = None,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Remove archived days with their files. Their raw samples are lost; rollups stay."""
    from pipelines.operate.archive import forget_days
    from pipelines.wiring import open_platform

    with open_platform(settings_for(tenant)) as platform:
        count = forget_days(platform, first.date(), (last or first).date())
    if as_json:
        print_json({"removed_days": count})
    else:
        typer.echo(f"removed {count} days from the archive")
