"""The `forewarn` command: assembles the groups and turns our own errors into one sentence and an exit code."""

import signal
import sys
from types import FrameType
from typing import Never

import typer
from rich.text import Text

from core.errors import ForewarnError, InputError
from flows.commands import (
    bench,
    database,
    demo,
    finding,
    ingesting,
    keys,
    learning,
    planning,
    scheduling,
    serve,
    status,
)
from flows.commands.console import err
from flows.environment import one_thread_in_a_process

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
#: What a shell reports of a process that a signal ended.
EXIT_SIGNALLED = 128

app = typer.Typer(
    name="forewarn",
    help="Learn what is normal for every infrastructure metric, and say hours ahead what is about to break.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.add_typer(database.app, name="db")
app.add_typer(ingesting.app, name="ingest")
app.add_typer(learning.features_app, name="features")
app.command("baseline")(learning.baseline)
app.add_typer(learning.train_app, name="train")
app.command("evaluate")(learning.evaluate)
app.command("promote")(learning.promote)
app.command("score")(finding.score)
app.command("forecast")(finding.forecast)
app.command("capacity")(planning.capacity)
app.command("predict")(finding.predict)
app.add_typer(finding.signals_app, name="signals")
app.add_typer(finding.hypotheses_app, name="hypotheses")
app.command("serve")(serve.serve)
app.add_typer(scheduling.app, name="flows")
app.add_typer(keys.app, name="keys")
app.command("status")(status.status)
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Entry point of the `forewarn` script."""
    one_thread_in_a_process()
    signal.signal(signal.SIGTERM, _leave)
    try:
        app()
    except ForewarnError as error:
        err.print(Text.assemble(("error:", "bold red"), f" {error}"), soft_wrap=True)
        sys.exit(EXIT_BAD_INPUT if isinstance(error, InputError) else EXIT_FAILED)


def _leave(signal_number: int, _frame: FrameType | None) -> Never:
    """End as by Ctrl-C: through every block under way, so that no server which a command started outlives it."""
    sys.exit(EXIT_SIGNALLED + signal_number)


if __name__ == "__main__":
    main()
