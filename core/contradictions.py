"""Two sources that declare one metric differently: rates and units of its series then depend on who came last."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """What two sources declare differently about a metric.

    Attributes:
        field: type, kind or unit.
        source, value: of the source that Forewarn follows.
        other_source, other_value: of the other one.
    """

    metric: str
    field: str
    source: str
    value: str
    other_source: str
    other_value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenContradiction:
    """A contradiction, and when it was seen last."""

    contradiction: Contradiction
    seen_at: datetime


class ContradictionRepository(Protocol):
    """Contradictions between sources; the newest one about a field of a metric is kept."""

    def add(self, contradictions: Sequence[Contradiction], at: datetime) -> None: ...

    def list(self, since: datetime) -> list[SeenContradiction]:
        """Those that were seen at or after that time, by metric."""
        ...
