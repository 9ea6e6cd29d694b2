"""Each error as an HTTP status and one sentence: `{"error": "..."}`."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus

from pydantic import ValidationError
from starlette.responses import Response

from core.errors import (
    ArchiveUnavailableError,
    AuthenticationError,
    BusyError,
    DamagedArchiveError,
    ForewarnError,
    InputError,
    InsufficientDataError,
    ModelUnavailableError,
    NotFoundError,
    RetryLaterError,
    UnavailableError,
    UnknownSeriesError,
)

#: The first match counts, so a subclass stands before its base.
_STATUS: tuple[tuple[type[ForewarnError], HTTPStatus], ...] = (
    (UnknownSeriesError, HTTPStatus.NOT_FOUND),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (InputError, HTTPStatus.BAD_REQUEST),
    (AuthenticationError, HTTPStatus.UNAUTHORIZED),
    # The request is valid, but the tenant has no data or no model for it yet.
    (InsufficientDataError, HTTPStatus.CONFLICT),
    (ModelUnavailableError, HTTPStatus.CONFLICT),
    (BusyError, HTTPStatus.SERVICE_UNAVAILABLE),
    (DamagedArchiveError, HTTPStatus.SERVICE_UNAVAILABLE),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
)

_NO_ARCHIVE = (
    "archived samples of that time cannot be read now; `forewarn archive check` tells the operator why"
)
#: A database that was restarted responds again after about this time.
RETRY_AFTER_S = 5
#: Text of the caller is cut after so many characters, so that an error stays one readable sentence.
_QUOTED_CHARS = 120


class RefusedError(ForewarnError):
    """A request that admission refuses, with the status and the headers of the response."""

    def __init__(self, status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = dict(headers or {})


def response_to(error: ForewarnError) -> Response:
    """The response to a request that failed with `error`."""
    if isinstance(error, RefusedError):
        return error_response(error.status, str(error), error.headers)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), None)
    if status is None:
        return error_response(
            HTTPStatus.INTERNAL_SERVER_ERROR, "the service has a wrong setting; its log has the details"
        )
    headers = {HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"}}.get(status, {})
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers = {"Retry-After": str(_wait_s(error))}
    # The texts of these have places of the operator's.
    of_archive = isinstance(error, (ArchiveUnavailableError, DamagedArchiveError))
    return error_response(status, _NO_ARCHIVE if of_archive else str(error), headers)


def _wait_s(error: ForewarnError) -> int:
    """Seconds until a new attempt: what the server asks for that does not respond, else a few seconds."""
    if not isinstance(error, RetryLaterError):
        return RETRY_AFTER_S
    return max(1, math.ceil((error.retry_at - datetime.now(UTC)).total_seconds()))


def error_response(status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """`{"error": sentence}` with that status."""
    body = json.dumps({"error": readable(sentence)})
    return Response(body, status_code=status, headers=headers, media_type="application/json")


def sentence_of(error: ValidationError) -> str:
    """The first problem of the input, and the number of further problems.

    Example: ``observations[0].value: should be a valid number (and 2 more problems)``
    """
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    first = problems[0]
    if first["type"] == "json_invalid":
        return "the body is not valid JSON: " + first["msg"].removeprefix("Invalid JSON: ")
    where = _path_of(first["loc"]) or "the body"
    what = _PLAINLY.get(first["type"]) or _plain(first["msg"])
    more = len(problems) - 1
    tail = f" (and {more} more problem{'s' if more > 1 else ''})" if more else ""
    return f"{where}: {what}{tail}"


#: Replaces messages of Pydantic that are hard to understand.
_PLAINLY = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_pattern_mismatch": "should not contain control characters",
    "timezone_aware": "should have a time zone, such as the Z in 2026-01-31T12:00:00Z",
}


def _plain(message: str) -> str:
    text = message.removeprefix("Value error, ").removeprefix("Input ").replace(" after validation", "")
    return text[:1].lower() + text[1:]


def _path_of(location: tuple[int | str, ...]) -> str:
    """`("points", 0, "ts")` as people write it: `points[0].ts`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part[:_QUOTED_CHARS]}"
    return path.removeprefix(".")


def readable(text: str) -> str:
    """One line that is safe to print: without control characters, of bounded length."""
    line = "".join(sign if sign.isprintable() else "?" for sign in text)
    return line if len(line) <= 4 * _QUOTED_CHARS else line[: 4 * _QUOTED_CHARS] + "..."
