"""`forewarn series`: list the series with their thresholds, and accept proposed thresholds."""

from typing import Annotated, Any

import typer
from rich.table import Table

from core.domain import Role, Series
from core.entities import named_with_entity
from core.formatting import format_value
from flows.commands.console import AsJson, TenantOption, out, print_json, settings_for

app = typer.Typer(
    help="List series and their thresholds, and accept proposed thresholds.", no_args_is_help=True
)


@app.command("list")
def list_series(
    service: Annotated[str | None, typer.Option(help="Only this service.", metavar="NAME")] = None,
    metric: Annotated[str | None, typer.Option(help="Only this metric.", metavar="NAME")] = None,
    role: Annotated[Role | None, typer.Option(help="Only this role.")] = None,
    proposed: Annotated[
        bool, typer.Option("--proposed", help="Only series whose threshold is proposed from their history.")
    ] = False,
    limit: Annotated[int, typer.Option(help="List at most this many.", min=1)] = 200,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """List the series with limit, SLO and proposed threshold, by name."""
    from models.series.thresholds import is_proposed
    from pipelines.wiring import open_platform

    with open_platform(settings_for(tenant)) as platform:
        found = platform.store.series.find(service=service, metric=metric, role=role)
    if proposed:
        found = [one for one in found if is_proposed(one)]
    if as_json:
        print_json([_record(one) for one in found[:limit]])
    elif not found:
        out.print("no series has a proposed threshold" if proposed else "no series")
    else:
        out.print(_table(found[:limit]))
        if len(found) > limit:
            out.print(f"and {len(found) - limit} more; raise --limit to list them")


@app.command("accept")
def accept(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="SERIES...",
            help="Names as `series list --json` has them, or SERVICE/METRIC for all of both.",
        ),
    ],
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Make the proposed thresholds of series their SLO thresholds. A later `series.csv` can change them."""
    from pipelines.operate.accept_thresholds import accept_thresholds
    from pipelines.wiring import open_platform

    with open_platform(settings_for(tenant)) as platform:
        report = accept_thresholds(platform, names)
    if as_json:
        print_json(report)
        return
    for name, threshold in report.accepted.items():
        out.print(f"{name}: slo_threshold {threshold:g}", soft_wrap=True)


def _record(one: Series) -> dict[str, Any]:
    from models.series.thresholds import is_proposed

    return {
        "series": one.name,
        "series_id": one.series_id,
        "unit": one.unit,
        "kind": one.kind,
        "role": one.role,
        "limit": one.limit,
        "slo_threshold": one.slo_threshold,
        "proposed_threshold": one.proposed_threshold if is_proposed(one) else None,
    }


def _table(found: list[Series]) -> Table:
    from models.series.thresholds import is_proposed

    table = Table("series", "role", "limit", "SLO", "proposed", box=None, padding=(0, 2, 0, 0))
    for one in found:
        table.add_row(
            f"{named_with_entity(one.service, one.labels)}\n{one.metric}",
            one.role,
            *(
                "-" if value is None else format_value(value, one.unit)
                for value in (
                    one.limit,
                    one.slo_threshold,
                    one.proposed_threshold if is_proposed(one) else None,
                )
            ),
        )
    return table
