"""Each error has its status, and the errors that pass have the time after which to try again."""

from datetime import UTC, datetime, timedelta

import pytest

from core.errors import (
    ArchiveUnavailableError,
    AuthenticationError,
    BusyError,
    ConfigurationError,
    DamagedArchiveError,
    ForewarnError,
    InputError,
    InsufficientDataError,
    ModelUnavailableError,
    NotFoundError,
    RetryLaterError,
    UnavailableError,
)
from serving.contract.errors import response_to

SOON = datetime.now(UTC) + timedelta(hours=1)


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (InputError("x"), 400, False),
        (AuthenticationError("x"), 401, False),
        (NotFoundError("x"), 404, False),
        (InsufficientDataError("x"), 409, False),
        (ModelUnavailableError("x"), 409, False),
        (ConfigurationError("x"), 500, False),
        (UnavailableError("x"), 503, True),
        (BusyError("x"), 503, True),
        (RetryLaterError("x", SOON), 503, True),
        (ArchiveUnavailableError("x"), 503, True),
        (DamagedArchiveError("x"), 503, True),
    ],
)
def test_each_error_has_its_status_and_what_passes_has_retry_after(
    error: ForewarnError, status: int, retry: bool
) -> None:
    response = response_to(error)
    assert response.status_code == status
    assert ("Retry-After" in response.headers) == retry


@pytest.mark.parametrize("kind", [ArchiveUnavailableError, DamagedArchiveError])
def test_an_error_of_the_archive_does_not_tell_its_place(kind: type[ForewarnError]) -> None:
    body = bytes(response_to(kind("s3://bucket/secret-prefix cannot be read")).body).decode()
    assert "archived samples" in body
    assert "secret-prefix" not in body


def test_the_wait_is_the_one_that_the_server_behind_asks_for() -> None:
    wait_s = int(response_to(RetryLaterError("x", SOON)).headers["Retry-After"])
    assert 0 <= (SOON - datetime.now(UTC)).total_seconds() <= wait_s <= 3_600
    past = RetryLaterError("x", datetime(2026, 1, 31, tzinfo=UTC))
    assert response_to(past).headers["Retry-After"] == "1"
