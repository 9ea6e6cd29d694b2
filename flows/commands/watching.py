"""`forewarn detect | forecast | predict | diagnose`: the steps of a watch cycle, one by one."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.console import AsJson, AtOption, TenantOption, out, print_json, utc
from flows.commands.steps import report_of, run_step
from pipelines.common.progress import Progress
from pipelines.common.tenant_platform import Platform


def detect(
    since_h: Annotated[
        float | None,
        typer.Option(
            help="Score the samples of the last N hours again. Default: only new samples.", min=0, metavar="N"
        ),
    ] = None,
    tenant: TenantOption = None,
    at: AtOption = None,
    as_json: AsJson = False,
) -> None:
    """Detect anomalies in new samples with the champion detector and store them as signals."""
    from pipelines.watch.detect import detect as run

    start = None
    if since_h is not None:
        start = (utc(at) or datetime.now(UTC)) - timedelta(hours=since_h)
    run_step(run, tenant=tenant, at=at, as_json=as_json, start=start)


def forecast(
    plots: Annotated[
        Path | None,
        typer.Option(
            "--plot", help="Save a plot of each predicted breach in this folder.", show_default=False
        ),
    ] = None,
    tenant: TenantOption = None,
    at: AtOption = None,
    as_json: AsJson = False,
) -> None:
    """Forecast every series and store a signal for each predicted breach of a threshold."""
    from pipelines.plots.of_signals import save_plots
    from pipelines.watch.forecast import ForecastReport
    from pipelines.watch.forecast import forecast as run

    def run_and_plot(platform: Platform, *, progress: Progress) -> ForecastReport:
        report = run(platform, progress=progress)
        if plots is not None:
            save_plots(platform, report.signals, plots, at=report.at, progress=progress)
        return report

    run_step(run_and_plot, tenant=tenant, at=at, as_json=as_json)


def predict(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Predict for every service the probability that it fails, when it fails, and why."""
    from pipelines.watch.predict_failure import predict_failure

    run_step(predict_failure, tenant=tenant, at=at, as_json=as_json)


def diagnose(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Rank the possible causes of each open incident and show how each confidence is made up.

    The same signals, events and feedback always give the same diagnosis.
    """
    from flows.commands.diagnosis_page import print_diagnosis
    from pipelines.watch.diagnose import diagnose as run

    report = report_of(run, tenant=tenant, at=at, quiet=as_json)
    if as_json:
        print_json(report)
        return
    for record in report.records:
        print_diagnosis(record.diagnosis, record.service)
    out.print(f"{len(report.records)} open incidents, {report.new} with a new or changed diagnosis")
