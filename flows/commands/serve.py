"""`forewarn serve`: the HTTP service."""

import os
import sys
from typing import Annotated

import typer

from flows.commands.console import err, settings_for


def serve(
    host: Annotated[str | None, typer.Option(help="Default FOREWARN_SERVE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Default FOREWARN_SERVE_PORT.", min=1, max=65535)] = None,
) -> None:
    """Serve the champions over HTTP until interrupted (Ctrl-C)."""
    chosen = {"FOREWARN_SERVE_HOST": host, "FOREWARN_SERVE_PORT": port}
    os.environ.update({name: str(value) for name, value in chosen.items() if value is not None})
    err.print(f"serving on {settings_for(None).service_url} (API docs at /docs); Ctrl-C stops it")
    # The service takes this process over: signals reach it directly, and flows need not know how it is made.
    os.execv(sys.executable, [sys.executable, "-m", "serving.run"])  # noqa: S606 - our own module
