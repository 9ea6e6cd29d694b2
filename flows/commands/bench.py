"""`forewarn bench`: measure the shipped defaults on data of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from core.errors import InputError
from flows.commands.console import progress_bars, show

app = typer.Typer(help="Measure the shipped defaults on any data set.", no_args_is_help=True)

DataPath = Annotated[Path, typer.Argument(help="The folder or file of the data set.", exists=True)]
JsonFile = Annotated[Path | None, typer.Option("--json-file", "--json", help="Write the figures here.")]


@app.command()
def detect(
    path: DataPath,
    data_format: Annotated[str, typer.Option("--format", help="nab, kpi, smd, asd or csv.")] = "csv",
    scores: Annotated[Path | None, typer.Option(help="Write a Parquet of scores per series here.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Detection: average precision, VUS-PR, events, false alarms, delay; for nab its own score."""
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
    """Localisation: how often the true place and kind of a fault are among the first suspects."""
    from pipelines.bench.localise import bench_localise

    with progress_bars() as listen:
        report = bench_localise(path, data_format, json_file=json_file, progress=listen)
    show(report, as_json=False)


@app.command()
def forecast(
    path: DataPath,
    data_format: Annotated[str, typer.Option("--format", help="m4, csv, kpi or worldcup98.")] = "csv",
    horizon: Annotated[int, typer.Option(help="Steps ahead.", min=1)] = 24,
    season: Annotated[str, typer.Option(help="Steps of a season, several by commas.")] = "24,168",
    folder: Annotated[Path | None, typer.Option("--out", help="Write a Parquet of forecasts here.")] = None,
    json_file: JsonFile = None,
    origins: Annotated[int, typer.Option(help="Rolling origins before the end.", min=0)] = 0,
    peers: Annotated[bool, typer.Option("--peers", help="Run the peers beside the default.")] = False,
) -> None:
    """Forecasts: sMAPE, MASE, OWA, MSIS, coverage, and which model won where."""
    from models.forecast.catalog import PEERS
    from pipelines.bench.forecast import bench_forecast

    try:
        seasons = [int(part) for part in season.split(",")]
    except ValueError:
        raise InputError(f"--season takes whole numbers with commas between, got {season!r}") from None
    with progress_bars() as listen:
        report = bench_forecast(
            path,
            data_format,
            horizon=horizon,
            season=seasons,
            out=folder,
            json_file=json_file,
            origins=origins,
            peers=PEERS if peers else (),
            progress=listen,
        )
    show(report, as_json=False)


@app.command()
def failure(
    path: DataPath,
    data_format: Annotated[str, typer.Option("--format", help="cmapss.")] = "cmapss",
    subset: Annotated[str, typer.Option(help="Such as FD001.")] = "FD001",
    folder: Annotated[Path | None, typer.Option("--out", help="Write a Parquet of predictions here.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Failure prediction: RMSE, NASA score, coverage, average precision, calibration."""
    from pipelines.bench.failure import bench_failure

    with progress_bars() as listen:
        report = bench_failure(
            path, data_format, subset=subset, out=folder, json_file=json_file, progress=listen
        )
    show(report, as_json=False)
