"""The present that a step works for."""

from datetime import datetime, timedelta

from core.errors import InsufficientDataError
from pipelines.common.tenant_platform import Platform


def present(platform: Platform, at: datetime | None = None) -> datetime:
    """`at` if given, else now, or the end of the data where that is earlier.

    Raises:
        InsufficientDataError: there are no samples at all.
    """
    if at is not None:
        return at
    span = platform.store.samples.span()
    if span is None:
        raise InsufficientDataError("there are no samples yet; ingest some first")
    return min(platform.clock.now(), span[1] + timedelta(seconds=1))
