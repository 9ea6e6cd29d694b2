"""The `forewarn` command: registers all commands, and turns a `ForewarnError` into one sentence and an exit code."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Never

import typer
from rich.text import Text

from core.errors import BusyError, ForewarnError, InputError, StorageError
from core.settings import read_settings
from flows.commands import (
    archive,
    bench,
    capacity,
    consume,
    database,
    dead_letters,
    demo,
    feedback,
    ingesting,
    keys,
    learning,
    replay,
    scheduling,
    series,
    serve,
    signals,
    simulate,
    status,
    watch,
    watching,
)
from flows.commands.console import err
from flows.commands.deprecated import add_deprecated_command
from pipelines.common.storage_errors import storage_sentence
from pipelines.processes.temporary_files import own_temporary_folder
from pipelines.processes.threads import one_thread_in_a_process

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
#: Another process does the same job now.
EXIT_BUSY = 3
#: A shell adds the number of the signal that ended a process.
EXIT_SIGNALLED = 128

app = typer.Typer(
    name="forewarn",
    help="Learn the normal behaviour of infrastructure metrics, detect anomalies and predict failures hours ahead.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("watch")(watch.watch)
app.command("demo")(demo.demo)
app.add_typer(database.app, name="db")
app.add_typer(ingesting.app, name="ingest")
app.command("consume")(consume.consume)
app.add_typer(learning.features_app, name="features")
app.command("baseline")(learning.baseline)
app.add_typer(learning.train_app, name="train")
app.command("evaluate")(learning.evaluate)
app.command("promote")(learning.promote)
app.command("detect")(watching.detect)
app.command("forecast")(watching.forecast)
app.command("capacity")(capacity.capacity)
app.command("predict")(watching.predict)
app.command("diagnose")(watching.diagnose)
app.add_typer(series.app, name="series")
app.add_typer(signals.app, name="signals")
app.command("feedback")(feedback.feedback)
app.command("serve")(serve.serve)
app.add_typer(scheduling.app, name="flows")
app.add_typer(replay.app, name="replay")
app.add_typer(keys.app, name="keys")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(archive.app, name="archive")
app.command("status")(status.status)
app.add_typer(bench.app, name="bench")
app.add_typer(simulate.app, name="simulate")

add_deprecated_command(app, "score", watching.detect, old="forewarn score", new="forewarn detect")
hypotheses_app = typer.Typer()
add_deprecated_command(
    hypotheses_app,
    "score",
    watching.diagnose,
    old="forewarn hypotheses score",
    new="forewarn diagnose",
)
app.add_typer(hypotheses_app, name="hypotheses", hidden=True)


def main() -> None:
    """Entry point of the `forewarn` script."""
    one_thread_in_a_process()
    signal.signal(signal.SIGTERM, _leave)
    try:
        with _file_errors():
            own_temporary_folder()
            app()
    except ForewarnError as error:
        err.print(Text.assemble(("error:", "bold red"), f" {error}"), soft_wrap=True)
        sys.exit(_exit_code(error))


@contextmanager
def _file_errors() -> Iterator[None]:
    """A disk that is full or cannot be written ends a command with one sentence, also outside the platform."""
    try:
        yield
    except OSError as error:
        sentence = storage_sentence(error, read_settings())
        if sentence is None:
            raise
        raise StorageError(sentence) from error


def _exit_code(error: ForewarnError) -> int:
    if isinstance(error, BusyError):
        return EXIT_BUSY
    return EXIT_BAD_INPUT if isinstance(error, InputError) else EXIT_FAILED


def _leave(signal_number: int, _frame: FrameType | None) -> Never:
    """Exit by an exception, as Ctrl-C does: each open block then stops the servers that it has started."""
    sys.exit(EXIT_SIGNALLED + signal_number)


if __name__ == "__main__":
    main()
