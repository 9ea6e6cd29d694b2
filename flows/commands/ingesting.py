"""`forewarn ingest`: metrics in."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from core.clock import SystemClock
from core.errors import InputError
from core.ports import MetricSource
from flows.commands.console import AsJson, TenantOption, progress_bars, settings_for, show, utc

app = typer.Typer(
    help="Bring metrics in; what is already there is not stored twice, what is wrong is kept as a dead letter.",
    no_args_is_help=True,
)


def _ingest(source: MetricSource, tenant: str | None, as_json: bool) -> None:
    from pipelines.collect.ingest import ingest
    from pipelines.wiring import open_platform

    with progress_bars(quiet=as_json) as listen, open_platform(settings_for(tenant)) as platform:
        report = ingest(platform, source, progress=listen)
    show(report, as_json=as_json)


@app.command()
def csv(
    path: Annotated[Path, typer.Argument(help="A CSV file, or a folder of them.", exists=True)],
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Read CSV: `timestamp,value`, named by its file, or long form with service and metric columns."""
    from pipelines.sources.csv_files import CsvFiles

    _ingest(CsvFiles(path, tenant=settings_for(tenant).tenant), tenant, as_json)


@app.command()
def parquet(
    path: Annotated[Path, typer.Argument(help="A Parquet file, or a folder of them.", exists=True)],
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Read Parquet, in the same two forms as CSV."""
    from pipelines.sources.parquet_files import ParquetFiles

    _ingest(ParquetFiles(path, tenant=settings_for(tenant).tenant), tenant, as_json)


@app.command()
def prometheus(
    url: Annotated[
        str | None, typer.Argument(help="http://host:9090; default FOREWARN_PROMETHEUS_URL.")
    ] = None,
    match: Annotated[
        list[str] | None, typer.Option(help="Series selector; may be given several times.")
    ] = None,
    since_h: Annotated[
        float | None, typer.Option(help="Hours back that the first pull goes; default 24.", min=0)
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(
            help="Folder of series.csv (limits, SLOs), events.csv, incidents.csv; default FOREWARN_SIDECARS_DIR."
        ),
    ] = None,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Pull from a Prometheus by its query API; the next pull goes on where this one ended."""
    from pipelines.sources.prometheus import configured_prometheus

    settings = settings_for(tenant)
    source = configured_prometheus(
        settings,
        settings.tenant,
        SystemClock(),
        url=url,
        match=match,
        since=None if since_h is None else timedelta(hours=since_h),
        beside=beside,
    )
    if source is None:
        raise InputError("give the address of a Prometheus, or set FOREWARN_PROMETHEUS_URL")
    _ingest(source, tenant, as_json)


@app.command()
def simulate(
    services: Annotated[int, typer.Option(min=1, max=5000)] = 20,
    days: Annotated[int, typer.Option(min=1, max=400)] = 45,
    seed: Annotated[int | None, typer.Option(help="Default FOREWARN_SEED.")] = None,
    end: Annotated[datetime | None, typer.Option(help="End of the span (UTC); default now.")] = None,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Make a fleet of services with deploys, maintenance and incidents whose truth is known."""
    from pipelines.sources.simulated import SimulatedFleet

    settings = settings_for(tenant)
    fleet = SimulatedFleet(
        services=services,
        days=days,
        seed=settings.seed if seed is None else seed,
        end=utc(end) or datetime.now(UTC),
        tenant=settings.tenant,
    )
    _ingest(fleet, tenant, as_json)
