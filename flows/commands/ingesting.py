"""`forewarn ingest`: read metrics from files, Prometheus or the simulator."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from core.clock import SystemClock
from core.errors import InputError, NothingAcceptedError
from core.ports import MetricSource
from flows.commands.console import AsJson, TenantOption, progress_bars, settings_for, show, utc
from pipelines.sources.dialect import FileOptions
from pipelines.sources.quantities import DecimalMark
from pipelines.sources.times import DateOrder

app = typer.Typer(
    help="Read metrics. Each value is stored once; invalid rows are kept as dead letters.",
    no_args_is_help=True,
)


DateOrderOption = Annotated[
    DateOrder | None,
    typer.Option("--date-order", help="Order of day, month and year in dates such as 3/4/2026."),
]
DecimalOption = Annotated[
    DecimalMark | None, typer.Option("--decimal", help="Decimal mark; the other one separates thousands.")
]
EncodingOption = Annotated[
    str | None,
    typer.Option("--encoding", help="Encoding of the files, such as cp1252. Default: UTF-8 or UTF-16."),
]
CompleteOption = Annotated[
    bool,
    typer.Option(
        "--complete", help="Nobody writes to the files any more: read a last line without a line end."
    ),
]


@dataclass
class _KnownTypes:
    """Reads the types of metrics, from the database once it is open."""

    read: Callable[[], Mapping[str, str]] = dict


def _ingest(
    source: MetricSource, tenant: str | None, as_json: bool, types: _KnownTypes | None = None
) -> None:
    from pipelines.collect.ingest import ingest
    from pipelines.wiring import open_platform

    with progress_bars(quiet=as_json) as listen, open_platform(settings_for(tenant)) as platform:
        if types is not None:
            types.read = platform.store.metric_types.declared
        report = ingest(platform, source, progress=listen)
        show(report, as_json=as_json)
        if report.took_nothing:
            reason = report.first_rejected or "; ".join(report.notes[:3])
            raise NothingAcceptedError(f"nothing was accepted from {source.name}. {reason}")


@app.command()
def csv(
    path: Annotated[Path, typer.Argument(help="A CSV file, or a folder of them.", exists=True)],
    date_order: DateOrderOption = None,
    decimal: DecimalOption = None,
    encoding: EncodingOption = None,
    complete: CompleteOption = False,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Read CSV files: `timestamp,value` (the file name gives the series), or with columns for service and metric.

    Delimiter, encoding, compression, decimal mark and date order are recognised where the file leaves no doubt.
    """
    from pipelines.sources.csv_files import CsvFiles

    options = FileOptions(date_order=date_order, decimal=decimal, encoding=encoding, is_complete=complete)
    _ingest(CsvFiles(path, tenant=settings_for(tenant).tenant, options=options), tenant, as_json)


@app.command()
def parquet(
    path: Annotated[Path, typer.Argument(help="A Parquet file, or a folder of them.", exists=True)],
    date_order: DateOrderOption = None,
    decimal: DecimalOption = None,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Read Parquet files, in the same forms as CSV. Nested columns are left out."""
    from pipelines.sources.parquet_files import ParquetFiles

    options = FileOptions(date_order=date_order, decimal=decimal)
    _ingest(ParquetFiles(path, tenant=settings_for(tenant).tenant, options=options), tenant, as_json)


@app.command()
def prometheus(
    url: Annotated[
        str | None, typer.Argument(help="http://host:9090; default FOREWARN_PROMETHEUS_URL.")
    ] = None,
    match: Annotated[list[str] | None, typer.Option(help="Series selector; can be repeated.")] = None,
    signals: Annotated[
        bool,
        typer.Option("--signals", help="Read golden signals, as `forewarn watch` does, and not raw series."),
    ] = False,
    since_h: Annotated[
        float | None, typer.Option(help="How many hours back the first pull goes; default 24.", min=0)
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
    """Pull from Prometheus through its query API. The next pull continues where this one ended."""
    from pipelines.sources.configured import configured_sources

    given = {
        "prometheus_url": url,
        "prometheus_match": match,
        "golden_signals": signals,
        "prometheus_since_h": since_h,
        "sidecars_dir": beside,
    }
    if signals and match:
        raise InputError("--signals reads what its recipes need; leave out --match")
    if since_h is not None and since_h <= 0:
        raise InputError(f"--since-h must be above 0 hours, got {since_h:g}")
    settings = settings_for(tenant)
    settings = settings.model_copy(update={name: value for name, value in given.items() if value})
    types = _KnownTypes()
    sources = configured_sources(
        settings, settings.tenant, SystemClock(), names=["prometheus"], known_types=lambda: types.read()
    )
    if not sources:
        raise InputError("give the address of a Prometheus, or set FOREWARN_PROMETHEUS_URL")
    _ingest(sources[0], tenant, as_json, types)


@app.command()
def simulate(
    services: Annotated[int, typer.Option(min=1, max=5000)] = 20,
    days: Annotated[int, typer.Option(min=1, max=400)] = 45,
    seed: Annotated[int | None, typer.Option(help="Default FOREWARN_SEED.")] = None,
    end: Annotated[datetime | None, typer.Option(help="Time of the last sample (UTC); default now.")] = None,
    tenant: TenantOption = None,
    as_json: AsJson = False,
) -> None:
    """Simulate a fleet of services with deploys, maintenance and known incidents."""
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
