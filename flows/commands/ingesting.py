"""`forewarn ingest`: read metrics from a source and store them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from core.clock import SystemClock
from core.errors import InputError
from core.ports import MetricSource
from flows.commands.console import AsJson, TenantOption, progress_bars, settings_for, show, utc

app = typer.Typer(
    help="Read metrics from a source and store them. Stored samples are skipped; invalid rows become dead letters.",
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
    path: Annotated[Path, typer.Argument(help="A CSV file, or a folder of CSV files.", exists=True)],
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Read CSV files.

    A file has the columns `timestamp` and `value`, and its name is the series; or the long form, with the columns
    `service` and `metric` as well.
    """
    from pipelines.sources.csv_files import CsvFiles

    _ingest(CsvFiles(path, tenant=settings_for(tenant).tenant), tenant, as_json)


@app.command()
def parquet(
    path: Annotated[Path, typer.Argument(help="A Parquet file, or a folder of Parquet files.", exists=True)],
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Read Parquet files, in the same two forms as CSV."""
    from pipelines.sources.parquet_files import ParquetFiles

    _ingest(ParquetFiles(path, tenant=settings_for(tenant).tenant), tenant, as_json)


@app.command()
def prometheus(
    url: Annotated[
        str | None, typer.Argument(help="Such as http://host:9090. Default: FOREWARN_PROMETHEUS_URL.")
    ] = None,
    match: Annotated[
        list[str] | None, typer.Option(help="A series selector. You can repeat the option.")
    ] = None,
    since_h: Annotated[
        float | None,
        typer.Option(help="The first pull reads the last N hours. Default: 24.", metavar="N", min=0),
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(
            help="Folder with series.csv (limits, SLOs), events.csv and incidents.csv. Default: FOREWARN_SIDECARS_DIR."
        ),
    ] = None,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Read samples from the query API of Prometheus. The next call continues where this one ended."""
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
        raise InputError("give the URL of Prometheus, or set FOREWARN_PROMETHEUS_URL")
    _ingest(source, tenant, as_json)


@app.command()
def simulate(
    services: Annotated[int, typer.Option(help="Number of services.", min=1, max=5000)] = 20,
    days: Annotated[int, typer.Option(help="Number of days.", min=1, max=400)] = 45,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the random numbers. Default: FOREWARN_SEED.")
    ] = None,
    end: Annotated[datetime | None, typer.Option(help="End of the time range (UTC). Default: now.")] = None,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Simulate a fleet of services, with deploys, maintenance and recorded incidents."""
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
