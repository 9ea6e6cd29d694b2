"""`forewarn watch`: from a Prometheus to findings, with one command."""

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import InputError
from core.settings import Settings, read_settings
from flows.commands.console import TenantOption, err, out, progress_bars, settings_for
from flows.commands.watch_screen import Screen, make_loop

if TYPE_CHECKING:
    from pipelines.collect.ingest import IngestReport
    from pipelines.common.tenant_platform import Platform

#: So many services are listed at most.
MOST_SERVICES = 20


def watch(
    url: Annotated[
        str | None,
        typer.Argument(help="Address of a Prometheus. Default: the configured sources.", show_default=False),
    ] = None,
    since_d: Annotated[
        float, typer.Option("--since-d", help="How many days of history to read at first.", min=0.05)
    ] = 30.0,
    cycles: Annotated[
        int | None, typer.Option(help="Stop after so many cycles. Default: never.", min=1, show_default=False)
    ] = None,
    tenant: TenantOption = None,
) -> None:
    """Watch a Prometheus: read its golden signals and their history, learn, and run a watch cycle every 5 minutes.

    Without an address, it watches the configured sources, or else what clients push to `forewarn serve`. It runs the
    flows of `forewarn flows deploy` in this process, until you press Ctrl-C. At the next start it goes on where it
    ended.
    """
    settings = _settings(url, since_d, tenant)
    from flows.prefect_server import temporary_prefect_server
    from pipelines.processes.prefect_app import READY

    with suppress(KeyboardInterrupt), temporary_prefect_server(settings) as server:
        with progress_bars() as listen:
            from pipelines.collect.ingest import IngestReport
            from pipelines.collect.pull import pull
            from pipelines.wiring import open_platform

            with open_platform(settings) as platform:
                read = pull(platform, progress=listen)
                _require_metrics(platform, read)
                _print_read(read or IngestReport(), settings)
        if server is not None:
            server.wait_until_ready(READY)
        _watch(settings, cycles)
    err.print("stopped")


def _require_metrics(platform: "Platform", read: "IngestReport | None") -> None:
    """Raises InputError if nothing was pulled and nothing was pushed either."""
    if read is None and not platform.store.series.find():
        raise InputError(
            "there is nothing to watch yet: give the address of a Prometheus, set FOREWARN_PROMETHEUS_URL, or let one"
            " push to `forewarn serve`, which keeps golden signals with FOREWARN_GOLDEN_SIGNALS=true"
        )


def _settings(url: str | None, since_d: float, tenant: str | None) -> Settings:
    """The settings with what the command line says. The flows read theirs from the environment."""
    changes = {"FOREWARN_PROMETHEUS_SINCE_H": f"{24 * since_d:g}"}
    if url is not None:
        changes["FOREWARN_PROMETHEUS_URL"] = url
    if not read_settings().prometheus_match:
        changes["FOREWARN_GOLDEN_SIGNALS"] = "true"
    os.environ.update(changes)
    return settings_for(tenant or read_settings().tenant)


def _watch(settings: Settings, cycles: int | None) -> None:
    from flows.prefect_logging import no_final_errors, only_warnings
    from flows.progress_listener import progress_to
    from pipelines.processes.parallel import kept_workers

    no_final_errors()
    only_warnings()

    screen = Screen()
    loop = make_loop(settings, screen, sleep=time.sleep)
    with progress_to(screen.progress), kept_workers():
        loop.run(cycles)


def _print_read(read: "IngestReport", settings: Settings) -> None:
    from pipelines.wiring import open_platform

    with open_platform(settings) as platform:
        series = platform.store.series.find()
    services = sorted({one.service for one in series})
    out.print(
        f"{len(series)} series of {len(services)} services: {', '.join(services[:MOST_SERVICES])}"
        + (", ..." if len(services) > MOST_SERVICES else ""),
        soft_wrap=True,
    )
    out.print(f"{read.inserted:,} new values" + (f", {read.rejected} rejected" if read.rejected else ""))
    for note in read.notes:
        out.print(note, soft_wrap=True)
