"""Who is told how far a step is: the run's log, or whoever runs the flow in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pipelines.common.progress import Progress, silent

# Prefect copies the context into the threads of its tasks, so a listener set around a flow hears them all.
_listener: ContextVar[Progress] = ContextVar("forewarn_progress", default=silent)


@contextmanager
def listening(listener: Progress) -> Iterator[None]:
    """Within this block, `listener` hears the progress of every step."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def current_listener() -> Progress:
    return _listener.get()
