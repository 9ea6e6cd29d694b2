"""`forewarn features | baseline | train | evaluate | promote`: from metrics to models."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import typer

from core.clock import FixedClock
from flows.commands.console import AsJson, AtOption, TenantOption, progress_bars, settings_for, show, utc

features_app = typer.Typer(help="Build features and bring them online.", no_args_is_help=True)
train_app = typer.Typer(
    help="Train models; each becomes the challenger of its kind in the registry.", no_args_is_help=True
)


def run_step(
    function: Callable[..., Any], *, tenant: str | None, at: datetime | None, as_json: bool, **arguments: Any
) -> None:
    """Open the platform, run one pipeline function with progress, print its report."""
    show(report_of(function, tenant=tenant, at=at, quiet=as_json, **arguments), as_json=as_json)


def report_of(
    function: Callable[..., Any], *, tenant: str | None, at: datetime | None, quiet: bool, **arguments: Any
) -> Any:
    """Open the platform, run one pipeline function with progress."""
    from pipelines.wiring import open_platform

    moment = utc(at)
    clock = None if moment is None else FixedClock(moment)
    with progress_bars(quiet=quiet) as listen, open_platform(settings_for(tenant), clock=clock) as platform:
        return function(platform, progress=listen, **arguments)


@features_app.command("build")
def features_build(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Compute every service's features from its metrics and keep them for training."""
    from pipelines.learn.features import build_features

    run_step(build_features, tenant=tenant, at=at, as_json=as_json)


@features_app.command("materialize")
def features_materialize(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Bring the newest features online, where the service reads them."""
    from pipelines.learn.features import materialize

    services = report_of(materialize, tenant=tenant, at=at, quiet=as_json)
    show({"services": services}, as_json=as_json)


def baseline(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Learn what is normal for every series over the last 30 days."""
    from pipelines.learn.baseline import build_baselines

    run_step(build_baselines, tenant=tenant, at=at, as_json=as_json)


@train_app.command("detectors")
def train_detectors(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Isolation Forest and the statistical detectors, calibrated."""
    from pipelines.learn.train_detectors import train_detectors as train

    run_step(train, tenant=tenant, at=at, as_json=as_json)


@train_app.command("forecasters")
def train_forecasters(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Prophet and its peers, selected per series."""
    from pipelines.learn.train_forecasters import train_forecasters as train

    run_step(train, tenant=tenant, at=at, as_json=as_json)


@train_app.command("failure")
def train_failure(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """XGBoost on past incidents and the features before them."""
    from pipelines.learn.train_failure import train_failure as train

    run_step(train, tenant=tenant, at=at, as_json=as_json)


def evaluate(tenant: TenantOption = None, at: AtOption = None, as_json: AsJson = False) -> None:
    """Hold what was said against what came: signals against incidents, forecasts against values."""
    from pipelines.learn.evaluate import evaluate as run

    run_step(run, tenant=tenant, at=at, as_json=as_json)


def promote(
    kind: Annotated[str | None, typer.Argument(help="detector, forecaster or failure; default all.")] = None,
    tenant: TenantOption = None,
    force: Annotated[bool, typer.Option("--force", help="Promote even if the gate says no.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the challenger the champion where the gate lets it; a running service picks it up by itself."""
    from pipelines.learn.promote import promote as run

    run_step(run, tenant=tenant, at=None, as_json=as_json, kinds=(kind,) if kind else None, force=force)
