"""Checks of values of the domain. Each raises an InputError that names the field and the value."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from core.errors import InputError
from core.storable import name_problem, text_problem

#: Separates the parts of which an id is made: the unit separator of ASCII.
SEPARATOR = "\x1f"


def require_utc(moment: datetime, name: str) -> None:
    """Raises InputError unless `moment` is zone-aware and in UTC."""
    if moment.utcoffset() != timedelta(0):
        raise InputError(f"{name} must be a UTC time with a zone, got {moment!r}")


def require_plain_text(text: str, name: str) -> None:
    """Raises InputError if `text` cannot be stored: PostgreSQL refuses NUL, UTF-8 refuses half of a surrogate pair, and
    `SEPARATOR` separates the parts of an id."""
    if "\0" in text or SEPARATOR in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError(
            f"{name} must not contain NUL, the unit separator or half a surrogate pair, got {text[:40]!r}"
        )


def require_name(text: str, name: str) -> None:
    """Raises InputError if `text` cannot be a name: see `core.storable`."""
    problem = name_problem(text)
    if problem is not None:
        raise InputError(f"{name} {problem}, got {text[:40]!r}")


def require_text(text: str, name: str) -> None:
    """Raises InputError if `text` cannot be a title or another text of a person: see `core.storable`."""
    require_plain_text(text, name)
    problem = text_problem(text)
    if problem is not None:
        raise InputError(f"{name} {problem}, got {text[:40]!r}")


def require_unit_interval(value: float | None, name: str) -> None:
    """Raises InputError unless `value` is null or in [0, 1]."""
    if value is not None and not 0.0 <= value <= 1.0:
        raise InputError(f"{name} must be between 0 and 1, got {value!r}")


def require_rising(probability_by_horizon_s: Mapping[int, float]) -> None:
    """Raises InputError unless the values are probabilities that never fall with the horizon."""
    previous = 0.0
    for horizon_s, probability in sorted(probability_by_horizon_s.items()):
        require_unit_interval(probability, f"probability within {horizon_s} s")
        if probability < previous:
            raise InputError("a probability must not fall as the horizon grows")
        previous = probability
