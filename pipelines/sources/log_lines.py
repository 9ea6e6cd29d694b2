"""Log lines, in whatever protocol they come."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a log.

    Attributes:
        at_ns: nanoseconds since 1970.
        level: of `models.metrics.log_levels`.
        text: as it came. It may hold secrets, so it is never stored like this.
    """

    service: str
    at_ns: int
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class LogRequest:
    """A decoded request.

    Attributes:
        digest: of the body, which tells whether a request comes again: lines have no ids.
        rejected: rows and reasons of what cannot be read.
        rejected_lines: how many lines these are.
    """

    lines: Sequence[LogLine]
    digest: int
    rejected: Sequence[tuple[str, str]]
    rejected_lines: int


def digest_of(body: bytes) -> int:
    """A signed number of 64 bits that is equal for equal bodies."""
    return int.from_bytes(hashlib.blake2b(body, digest_size=8).digest(), "big", signed=True)
