"""`forewarn serve`: the HTTP service."""

import os
import sys
from typing import Annotated

import typer

from flows.commands.console import err, settings_for


def serve(
    host: Annotated[str | None, typer.Option(help="Default: FOREWARN_SERVE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Default: FOREWARN_SERVE_PORT.", min=1, max=65535)] = None,
) -> None:
    """Run the HTTP service with the champion models until you press Ctrl-C."""
    chosen = {"FOREWARN_SERVE_HOST": host, "FOREWARN_SERVE_PORT": port}
    os.environ.update({name: str(value) for name, value in chosen.items() if value is not None})
    err.print(f"Serving on {settings_for(None).service_url} (API docs: /docs). Press Ctrl-C to stop.")
    # The service replaces this process: it gets operating system signals directly, and `flows` need not import it.
    os.execv(sys.executable, [sys.executable, "-m", "serving.run"])  # noqa: S606 - a module of this project
