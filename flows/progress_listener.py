"""Where a task sends its progress: to the listener of the process that runs the flow, or nowhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pipelines.common.progress import Progress, silent

# Prefect copies the context into the threads of its tasks, so a listener set around a flow receives all progress.
_listener: ContextVar[Progress] = ContextVar("forewarn_progress", default=silent)


@contextmanager
def progress_to(listener: Progress) -> Iterator[None]:
    """Within this block, `listener` receives the progress of every task."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def current_listener() -> Progress:
    """The listener of the surrounding `progress_to` block; without one, progress is dropped."""
    return _listener.get()
