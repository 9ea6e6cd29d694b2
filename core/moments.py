"""Moments as whole microseconds since 1970, as frames and the database hold them."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, exactly.

    Examples:
        >>> microseconds(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC))
        1000005
    """
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """The moment of microseconds since 1970, in UTC.

    Examples:
        >>> moment_of(1_000_005).isoformat()
        '1970-01-01T00:00:01.000005+00:00'
    """
    return _EPOCH + timedelta(microseconds=microseconds)
