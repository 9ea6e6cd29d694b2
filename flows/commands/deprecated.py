"""Old names of commands and options. They keep working for one release and print a notice on standard error.

Help does not list them. To remove one, delete its registration.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import typer

from flows.commands.console import err


def print_notice(old: str, new: str) -> None:
    """Print that `old` is deprecated and what replaces it."""
    err.print(f"deprecated: `{old}` ends with the next release; use `{new}`", soft_wrap=True)


def add_deprecated_command(
    app: typer.Typer, name: str, function: Callable[..., Any], *, old: str, new: str
) -> None:
    """Register `function` a second time, under its old name.

    Args:
        app: the group that had the command.
        name: the old name within the group.
        old: the whole old command, for the notice: `forewarn score`.
        new: the whole new command.
    """

    @wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        print_notice(old, new)
        return function(*arguments, **options)

    app.command(name, hidden=True)(run)


def deprecated_flag(name: str, *, new: str) -> Any:
    """The option of a flag under its old name.

    Args:
        name: `--stopped`.
        new: `--suppressed`.
    """

    def notice(given: bool) -> bool:
        if given:
            print_notice(name, new)
        return given

    return typer.Option(name, hidden=True, callback=notice)
