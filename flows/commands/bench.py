"""`forewarn bench`: measure the default models on a data set."""

from pathlib import Path
from typing import Annotated

import typer

from core.errors import InputError
from flows.commands.console import progress_bars, show

app = typer.Typer(
    help="Measure the default models on a public data set or on your own files.", no_args_is_help=True
)

DataPath = Annotated[Path, typer.Argument(help="Folder or file of the data set.", exists=True)]
JsonFile = Annotated[
    Path | None, typer.Option("--json-file", "--json", help="Write the figures to this file as JSON.")
]


@app.command()
def detect(
    path: DataPath,
    data_format: Annotated[str, typer.Option("--format", help="nab, kpi, smd, asd or csv.")] = "csv",
    scores: Annotated[
        Path | None, typer.Option(help="Write the scores of each series to this folder as Parquet.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure detection: average precision, VUS-PR, events, false alarms and delay; for NAB also its own score."""
    from pipelines.bench.detect import bench_detect

    with progress_bars() as listen:
        report = bench_detect(path, data_format, scores=scores, json_file=json_file, progress=listen)
    show(report, as_json=False)


@app.command()
def localise(
    path: DataPath,
    data_format: Annotated[str, typer.Option("--format", help="nezha or petshop.")] = "nezha",
    json_file: JsonFile = None,
) -> None:
    """Measure localisation: how often the true service and kind of a fault are among the first suspects."""
    from pipelines.bench.localise import bench_localise

    with progress_bars() as listen:
        report = bench_localise(path, data_format, json_file=json_file, progress=listen)
    show(report, as_json=False)


@app.command()
def forecast(
    path: DataPath,
    data_format: Annotated[str, typer.Option("--format", help="m4, csv, kpi or worldcup98.")] = "csv",
    horizon: Annotated[int, typer.Option(help="Number of steps ahead.", min=1)] = 24,
    season: Annotated[
        str, typer.Option(help="Lengths of the seasons in steps, separated by commas.")
    ] = "24,168",
    folder: Annotated[
        Path | None, typer.Option("--out", help="Write the forecasts to this folder as Parquet.")
    ] = None,
    json_file: JsonFile = None,
    origins: Annotated[
        int,
        typer.Option(
            help="Number of rolling origins before the end; 0: compare with the test file of the data set.",
            min=0,
        ),
    ] = 0,
    peers: Annotated[bool, typer.Option("--peers", help="Also measure the peer models.")] = False,
) -> None:
    """Measure forecasts: sMAPE, MASE, OWA, MSIS, coverage, and how often each model was chosen."""
    from models.forecast.catalog import PEERS
    from pipelines.bench.forecast import bench_forecast
    from pipelines.bench.forecast_run import ForecastSetup

    try:
        seasons = tuple(int(part) for part in season.split(","))
    except ValueError:
        raise InputError(f"--season takes whole numbers separated by commas, got {season!r}") from None
    with progress_bars() as listen:
        report = bench_forecast(
            path,
            data_format,
            ForecastSetup(horizon=horizon, season=seasons, origins=origins, peers=PEERS if peers else ()),
            out=folder,
            json_file=json_file,
            progress=listen,
        )
    show(report, as_json=False)


@app.command()
def failure(
    path: DataPath,
    data_format: Annotated[str, typer.Option("--format", help="cmapss.")] = "cmapss",
    subset: Annotated[str, typer.Option(help="Part of the data set, such as FD001.")] = "FD001",
    folder: Annotated[
        Path | None, typer.Option("--out", help="Write the predictions to this folder as Parquet.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure failure prediction: RMSE, NASA score, coverage, average precision and calibration."""
    from pipelines.bench.failure import bench_failure

    with progress_bars() as listen:
        report = bench_failure(
            path, data_format, subset=subset, out=folder, json_file=json_file, progress=listen
        )
    show(report, as_json=False)
