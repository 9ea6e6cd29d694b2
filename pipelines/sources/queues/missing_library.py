"""The error for a queue whose library is an optional extra that is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import ConfigurationError


@contextmanager
def needs_extra(extra: str, kind: str) -> Iterator[None]:
    """Turn a failed import into one sentence with the command that installs the library.

    Raises:
        ConfigurationError: the library is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(
            f"reading {kind} needs the library {error.name}; install it with: pip install 'forewarn[{extra}]'"
        ) from error
