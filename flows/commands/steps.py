"""How a command runs one function of `pipelines/`: on an open platform, with progress bars."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from core.clock import FixedClock
from flows.commands.console import progress_bars, settings_for, show, utc


def run_step(
    function: Callable[..., Any], *, tenant: str | None, at: datetime | None, as_json: bool, **arguments: Any
) -> None:
    """Run a pipeline function and print its report; arguments as of `report_of`."""
    show(report_of(function, tenant=tenant, at=at, quiet=as_json, **arguments), as_json=as_json)


def report_of(
    function: Callable[..., Any], *, tenant: str | None, at: datetime | None, quiet: bool, **arguments: Any
) -> Any:
    """Run a pipeline function and return its report.

    Args:
        function: takes the platform, `progress` and `arguments`.
        at: the moment that the function takes for the present; null: now.
        quiet: draw no progress bars.
    """
    from pipelines.wiring import open_platform

    moment = utc(at)
    clock = None if moment is None else FixedClock(moment)
    with progress_bars(quiet=quiet) as listen, open_platform(settings_for(tenant), clock=clock) as platform:
        return function(platform, progress=listen, **arguments)
