"""The error for a queue whose library is an optional extra that is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import ConfigurationError


@contextmanager
def needs_library(library: str, kind: str) -> Iterator[None]:
    """Turn a failed import into one sentence with the command that installs the library.

    Args:
        library: its name for pip.
    Raises:
        ConfigurationError: the library is not installed.
    """
    try:
        yield
    except ImportError:
        raise ConfigurationError(f"reading {kind} needs {library}; run `pip install {library}`") from None
