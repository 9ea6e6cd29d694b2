"""Which texts and times can be stored: one rule for requests, webhooks, pushed metrics and files.

PostgreSQL cannot hold the character NUL, UTF-8 cannot hold half of a surrogate pair, and a row of an index has at most
2,704 bytes. Names (of services, metrics, labels) are parts of indexes and of lines that people read, so they are
short and contain no control characters.

References:
    https://www.postgresql.org/docs/current/datatype-character.html
    https://www.postgresql.org/docs/current/btree.html
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, Field

#: Three names and a tenant fit into one row of an index: 3 x 800 + 64 bytes are fewer than 2,704.
NAME_CHARS = 400
NAME_BYTES = 800
LABEL_VALUE_CHARS = 2_000
TEXT_CHARS = 2_000
LABELS = 100
#: Metrics, events and incidents are younger than the first year, and a datetime can hold these times in any zone.
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NUL = re.compile("\0")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def storable_time(moment: datetime) -> datetime:
    """The time in UTC.

    Raises:
        ValueError: the time lies outside of `EARLIEST` to `LATEST`.
    """
    if not EARLIEST <= moment <= LATEST:
        raise ValueError(f"should lie between the years {EARLIEST.year} and {LATEST.year}")
    return moment.astimezone(UTC)


def name_problem(text: str) -> str | None:
    """Why a text cannot be a name, as a phrase after the name of its field; null when it can."""
    if not text:
        return "should have at least 1 character"
    problem = _problem(text, NAME_CHARS)
    if problem is None and len(text.encode()) > NAME_BYTES:
        return f"should have at most {NAME_BYTES} bytes in UTF-8, not {len(text.encode())}"
    return problem


def label_value_problem(text: str) -> str | None:
    """Why a text cannot be the value of a label; null when it can. Line breaks are allowed, as in Prometheus."""
    return _problem(text, LABEL_VALUE_CHARS, controls=_NUL)


def text_problem(text: str) -> str | None:
    """Why a text cannot be a title or a note; null when it can. Line breaks are allowed."""
    return _problem(text, TEXT_CHARS, controls=_NUL)


def series_problem(service: str, metric: str, labels: Mapping[str, str]) -> str | None:
    """Why a series cannot be stored, as a sentence without its end; null when it can.

    Values of labels may be long, because they are in no index.
    """
    for field, name in (
        ("service", service),
        ("metric", metric),
        *(("a label's name", name) for name in labels),
    ):
        if problem := name_problem(name):
            return f"{field} {problem}, got {name[:40]!r}"
    for name, value in labels.items():
        if problem := _problem(value, len(value), controls=_NUL):
            return f"label {name} {problem}, got {value[:40]!r}"
    return None


def _problem(text: str, most: int, controls: re.Pattern[str] = _CONTROL) -> str | None:
    if len(text) > most:
        return f"should have at most {most} characters, not {len(text)}"
    if controls.search(text):
        return "should not contain control characters" if controls is _CONTROL else "should not contain NUL"
    if _SURROGATE.search(text):
        return "should be valid Unicode, without half of a surrogate pair"
    return None


def _checked(text: str, problem: str | None) -> str:
    if problem is not None:
        raise ValueError(problem)
    return text


#: A name as it is stored.
Name = Annotated[
    str,
    AfterValidator(lambda text: _checked(text, name_problem(text))),
    Field(json_schema_extra={"minLength": 1, "maxLength": NAME_CHARS, "pattern": r"^[^\x00-\x1f\x7f]+$"}),
]
#: A title, a note or a version.
Text = Annotated[
    str,
    AfterValidator(lambda text: _checked(text, text_problem(text))),
    Field(json_schema_extra={"maxLength": TEXT_CHARS, "pattern": r"^[^\x00]*$"}),
]
LabelValue = Annotated[
    str,
    AfterValidator(lambda text: _checked(text, label_value_problem(text))),
    Field(json_schema_extra={"maxLength": LABEL_VALUE_CHARS, "pattern": r"^[^\x00]*$"}),
]
Labels = Annotated[dict[Name, LabelValue], Field(max_length=LABELS)]
