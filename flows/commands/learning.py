"""`forewarn features | baseline | train | evaluate | promote`: the steps from samples to champions."""

from typing import Annotated

import typer

from flows.commands.console import AsJson, AtOption, TenantOption, show
from flows.commands.steps import report_of, run_step

features_app = typer.Typer(
    help="Compute the features of every service, and make the newest available to the HTTP service.",
    no_args_is_help=True,
)
train_app = typer.Typer(
    help="Train models. Each new model becomes the challenger of its kind in the registry.",
    no_args_is_help=True,
)


@features_app.command("build")
def features_build(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Compute the features of every service from its samples and store them for training."""
    from pipelines.learn.features import build_features

    run_step(build_features, tenant=tenant, at=at, as_json=as_json)


@features_app.command("materialize")
def features_materialize(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Copy the newest features to the online store, which the HTTP service reads."""
    from pipelines.learn.features import materialize

    services = report_of(materialize, tenant=tenant, at=at, quiet=as_json)
    show({"services": services}, as_json=as_json)


def baseline(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Learn the normal values of every series from the last 30 days."""
    from pipelines.learn.baseline import build_baselines

    run_step(build_baselines, tenant=tenant, at=at, as_json=as_json)


@train_app.command("detectors")
def train_detectors(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Train and calibrate the anomaly detectors on the last 30 days."""
    from pipelines.learn.train_detectors import train_detectors as train

    run_step(train, tenant=tenant, at=at, as_json=as_json)


@train_app.command("forecasters")
def train_forecasters(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Train the forecasters. Each series gets the models with the smallest error in its own backtests."""
    from pipelines.learn.train_forecasters import train_forecasters as train

    run_step(train, tenant=tenant, at=at, as_json=as_json)


@train_app.command("failure")
def train_failure(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Train the failure model (XGBoost) on past incidents and the features before them."""
    from pipelines.learn.train_failure import train_failure as train

    run_step(train, tenant=tenant, at=at, as_json=as_json)


def evaluate(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Compare the signals of the last 7 days with the recorded incidents.

    The report has precision, recall, F1 and lead time: for each kind of signal, and for all signals together.
    Suppressed signals do not count.
    """
    from pipelines.learn.evaluate import evaluate as run

    run_step(run, tenant=tenant, at=at, as_json=as_json)


def promote(
    kind: Annotated[str | None, typer.Argument(help="detector, forecaster or failure. Default: all.")] = None,
    tenant: TenantOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Promote even if the promotion gate refuses.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the challenger the champion if it passes the promotion gate. A running service then loads it by itself."""
    from pipelines.learn.promote import promote as run

    run_step(run, tenant=tenant, at=None, as_json=as_json, kinds=(kind,) if kind else None, force=force)
