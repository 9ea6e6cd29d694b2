"""Every failure as an HTTP status and one clear sentence: `{"error": "..."}`."""

import json
from collections.abc import Mapping
from http import HTTPStatus

from pydantic import ValidationError
from starlette.responses import Response

from core.errors import (
    AuthenticationError,
    ForewarnError,
    InputError,
    InsufficientDataError,
    ModelUnavailableError,
    NotFoundError,
    UnavailableError,
    UnknownSeriesError,
)

#: First match wins, so a subclass stands before its base.
_STATUS: tuple[tuple[type[ForewarnError], HTTPStatus], ...] = (
    (UnknownSeriesError, HTTPStatus.NOT_FOUND),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (InputError, HTTPStatus.BAD_REQUEST),
    (AuthenticationError, HTTPStatus.UNAUTHORIZED),
    # The request is right and the tenant's state is not ready for it: the caller can do something about it.
    (InsufficientDataError, HTTPStatus.CONFLICT),
    (ModelUnavailableError, HTTPStatus.CONFLICT),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
)

#: Text that the caller sent is quoted no further than this, so that an answer stays one readable sentence.
_QUOTED_CHARS = 120


class RefusedError(ForewarnError):
    """A request that is turned down at the door, with the status and headers to say so."""

    def __init__(self, status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = dict(headers or {})


def response_to(error: ForewarnError) -> Response:
    """The answer to a request that failed with `error`."""
    if isinstance(error, RefusedError):
        return error_response(error.status, str(error), error.headers)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), None)
    if status is None:
        return error_response(HTTPStatus.INTERNAL_SERVER_ERROR, "the service is misconfigured; see its log")
    headers = {HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "Bearer"}}.get(status, {})
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers = {"Retry-After": "5"}
    return error_response(status, str(error), headers)


def error_response(status: HTTPStatus, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """`{"error": sentence}` with that status."""
    body = json.dumps({"error": readable(sentence)})
    return Response(body, status_code=status, headers=headers, media_type="application/json")


def sentence_of(error: ValidationError) -> str:
    """The first thing that is wrong with the input, and how many more there are.

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


#: What Pydantic says for itself is for programmers.
_PLAINLY = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_pattern_mismatch": "should hold no control characters",
    "timezone_aware": "should have a zone, such as the Z in 2026-01-31T12:00:00Z",
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
    """One line that is safe to print: no control characters, bounded."""
    line = "".join(sign if sign.isprintable() else "?" for sign in text)
    return line if len(line) <= 4 * _QUOTED_CHARS else line[: 4 * _QUOTED_CHARS] + "..."
