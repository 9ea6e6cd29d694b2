"""`forewarn demo`: the whole platform once, on a simulated fleet."""

import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from flows.commands.console import err, out, progress_bars

if TYPE_CHECKING:
    from flows.demo import DemoResult


def demo(
    leave: Annotated[
        bool, typer.Option("--exit", help="Check that the service responds, then stop all servers and exit.")
    ] = False,
) -> None:
    """Simulate a fleet, run the main job on it, start the HTTP service and show the predicted failures."""
    from flows.demo import SERVICES, check_service, demo_settings, running_demo

    started = time.monotonic()
    settings = demo_settings()
    err.print(
        f"Simulating {SERVICES} services and running the main job on them. Logs: {settings.data_dir}/logs"
    )
    with ExitStack() as servers:
        with progress_bars() as listen:
            result = servers.enter_context(running_demo(settings, listen))
        _print(result)
        err.print(f"done in {time.monotonic() - started:.0f} s")
        if leave:
            check_service(result)
            out.print("The service responds. Stopping all servers.")
            return
        out.print("The servers run until you press Ctrl-C.")
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)
        err.print("stopping")


def _print(result: "DemoResult") -> None:
    from flows.commands.diagnosis_page import print_diagnosis
    from models.words.one_line import describe
    from models.words.page import observed_factors

    out.print(Text.assemble("\n", ("Predictive alerts", "bold"), f" at {result.now:%Y-%m-%d %H:%M} UTC"))
    for alert in result.alerts[:10]:
        out.print(f"  {describe(alert, result.now)}", style="bold", soft_wrap=True)
        for factor in observed_factors(alert)[:2]:
            out.print(f"      {factor.text}", soft_wrap=True)
    if not result.alerts:
        out.print("  none: Forewarn predicts no breach and no failure")
    if result.anomalies:
        out.print("\nOpen anomalies", style="bold")
        for anomaly in result.anomalies[:5]:
            out.print(f"  {describe(anomaly, result.now)}", soft_wrap=True)
    if result.diagnosis is not None:
        print_diagnosis(result.diagnosis, "Likeliest cause")
    out.print("\nAddresses", style="bold")
    for name, address in result.addresses.items():
        out.print(f"  {name:<10} {address}")
    out.print(f"  API key    {result.key}")
    out.print(f"  login      {result.prefect_login} (Prefect)")
    out.print(
        "  commands   FOREWARN_TENANT=demo FOREWARN_DATA_DIR=data/demo FOREWARN_MLRUNS_DIR=mlruns/demo "
        ".venv/bin/forewarn signals list",
        soft_wrap=True,
    )
