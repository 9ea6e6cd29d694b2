"""`forewarn simulate`: write simulated metrics with known incidents, for development and for tries."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.console import err, out, progress_bars, utc

app = typer.Typer(help="Write simulated metrics with known incidents.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `exporters` a subcommand although it is the only one."""


@app.command()
def exporters(
    folder: Annotated[
        Path, typer.Argument(help="Folder for the history; with --serve it can have one already.")
    ],
    days: Annotated[float, typer.Option(help="Length of the history.", min=0.01)] = 30,
    seed: Annotated[int, typer.Option(help="The same seed gives the same fleet.", min=0)] = 20260101,
    hosts: Annotated[int, typer.Option(help="Hosts with a node_exporter.", min=1)] = 6,
    services: Annotated[int, typer.Option(help="HTTP services.", min=1)] = 4,
    pods: Annotated[int, typer.Option(help="Pods of each service, before autoscaling.", min=1)] = 2,
    all_metrics: Annotated[
        bool,
        typer.Option("--all-metrics", help="Also the many metrics of real exporters that hardly change."),
    ] = False,
    step_s: Annotated[int, typer.Option(help="Seconds between two scrapes.", min=1)] = 60,
    end: Annotated[
        datetime | None,
        typer.Option(help="Time of the last scrape; UTC unless it has an offset. Default: now."),
    ] = None,
    blocks: Annotated[
        bool, typer.Option("--blocks", help="Turn the text into blocks in FOLDER/data with promtool.")
    ] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the live pages of the exporters until Ctrl-C.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port of the live pages.", min=1, max=65535)] = 9990,
) -> None:
    """Simulate a company whose exporters show what real exporters show.

    Writes OpenMetrics text for promtool, truth.json, events.csv and prometheus.yml.
    """
    from pipelines.sources.simulated_exporters import STATE_FILE, write_history
    from pipelines.sources.simulation.exporters.company import FleetSize
    from pipelines.sources.simulation.exporters.fleet import ExporterFleet

    address = f"127.0.0.1:{port}"
    if not (serve and (folder / STATE_FILE).exists()):
        last = utc(end) or datetime.now(UTC)
        size = FleetSize(hosts=hosts, services=services, pods=pods, is_complete=all_metrics)
        fleet = ExporterFleet(size, days=days, end=int(last.timestamp()), seed=seed, step_s=step_s)
        with progress_bars() as listen:
            samples = write_history(fleet, folder, address=address, into_blocks=blocks, progress=listen)
        out.print(
            f"{samples} samples until {datetime.fromtimestamp(fleet.end, UTC).isoformat()} are in {folder}"
        )
    if serve:
        from pipelines.sources.exporter_pages import serve_pages

        err.print(f"Live pages: http://{address}/. Stop them with Ctrl-C.")
        serve_pages(folder, port)
