"""`forewarn capacity`: which resources reach their limit, and when."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from core.clock import FixedClock
from core.domain import CAPACITY_DAYS
from core.entities import named_with_entity
from core.formatting import format_value, format_when
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

if TYPE_CHECKING:
    from models.breach.capacity import Capacity


def capacity(
    days: Annotated[int, typer.Option(help="Number of days ahead.", min=1, max=366)] = CAPACITY_DAYS,
    limit: Annotated[int, typer.Option(help="Show at most this many, the most urgent first.", min=1)] = 30,
    plots: Annotated[
        Path | None,
        typer.Option("--plot", help="Save a plot of each resource in this folder.", show_default=False),
    ] = None,
    tenant: TenantOption = None,
    at: AtOption = None,
    as_json: AsJson = False,
) -> None:
    """Predict when each resource reaches its limit at its present growth, the most urgent first."""
    from pipelines.common.current_time import current_time
    from pipelines.plots.breach_and_capacity import plot_capacity, save
    from pipelines.watch.capacity import capacity as run
    from pipelines.wiring import open_platform

    moment = utc(at)
    clock = None if moment is None else FixedClock(moment)
    with progress_bars(quiet=as_json) as listen, open_platform(settings_for(tenant), clock=clock) as platform:
        now = current_time(platform)
        found = run(platform, at=now, horizon_days=days, progress=listen)[:limit]
    if plots is not None:
        for rank, one in enumerate(found, start=1):
            name = f"{rank:03d}_{one.series.service}_{one.series.metric}.png"
            save(plot_capacity(one, at=now), plots / name)
    if as_json:
        print_json([_record(one) for one in found])
    elif not found:
        out.print("no resource has both a limit and a week of samples")
    else:
        out.print(_table(found, now, days))


def _record(one: "Capacity") -> dict[str, Any]:
    """One resource as JSON, without the values of each day, which only the plot shows."""
    when = one.breach.when
    return {
        "series_id": one.series.series_id,
        "service": one.series.service,
        "metric": one.series.metric,
        "labels": dict(one.series.labels),
        "unit": one.series.unit,
        "level": one.level,
        "threshold": one.breach.threshold,
        "used": one.used,
        "per_day": one.per_day,
        "probability": one.breach.probability,
        "runs_out": None if when is None else {"p10": when.p10, "p50": when.p50, "p90": when.p90},
    }


def _table(found: "list[Capacity]", now: datetime, days: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    # In a narrow terminal a long name continues in the next line. A shortened name could mean several resources.
    table.add_column("resource", overflow="fold")
    for column in ("level", "threshold", "used", "growth a day", f"in {days} d", "runs out"):
        table.add_column(column)
    for one in found:
        table.add_row(
            f"{named_with_entity(one.series.service, one.series.labels)}\n{one.series.metric}",
            format_value(one.level, one.series.unit),
            format_value(one.breach.threshold, one.series.unit),
            "-" if one.used is None else f"{one.used:.0%}",
            format_value(one.per_day, one.series.unit),
            f"{one.breach.probability:.0%}",
            "-" if one.runs_out is None else format_when(one.runs_out, now),
        )
    return table
