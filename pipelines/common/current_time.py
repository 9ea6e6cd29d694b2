"""The moment for which a step works."""

from datetime import datetime, timedelta

from core.errors import InsufficientDataError
from pipelines.common.tenant_platform import Platform


def current_time(platform: Platform, at: datetime | None = None) -> datetime:
    """`at` if given, else now, or the end of the data if that is earlier.

    Raises:
        InsufficientDataError: there are no samples at all.
    """
    if at is not None:
        return at
    span = platform.store.samples.span()
    if span is None:
        raise InsufficientDataError("there are no samples yet; run `forewarn ingest` first")
    return min(platform.clock.now(), span[1] + timedelta(seconds=1))
