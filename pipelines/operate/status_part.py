"""One line of `forewarn status`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

#: Three missed samples at the coarsest usual step (5 min) are a gap and not jitter.
STALE_AFTER = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusPart:
    """One part of the platform.

    Attributes:
        state: a few words.
        as_of: the time of its newest data, or since when the state lasts; null: it has none.
        problem: a sentence that tells what is wrong and what to do; null: nothing is wrong.
    """

    name: str
    state: str
    as_of: datetime | None = None
    problem: str | None = None


def shortened(name: str, parts: Sequence[StatusPart], max_lines: int | None) -> Iterator[StatusPart]:
    """The first `max_lines` parts, and one that counts the others; null: all parts."""
    yield from parts[:max_lines]
    rest = [] if max_lines is None else parts[max_lines:]
    if rest:
        yield StatusPart(
            name=name,
            state=f"and {len(rest)} more; `forewarn status --all` lists them",
            problem=next((part.problem for part in rest if part.problem), None),
        )
