"""The page of one target: families of series, collected row by row, with counters as increments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.sources.simulation.exporters.clock import BoolArray, FloatArray

#: One row: a level for each scrape, or one level for all of them.
Values = NDArray[np.floating[Any]] | float


def labelled(**labels: str) -> str:
    """The labels as Prometheus writes them, without braces; `le_` and the like stand for keywords."""
    return ",".join(f'{name.rstrip("_")}="{value}"' for name, value in labels.items())


@dataclass(slots=True)
class Family:
    """All series of one name on one page.

    Attributes:
        kind: the type that the exporter declares.
        declared: the name in the line TYPE; of a histogram, without its suffix.
        since: the restarts that set the counters to 0 ("process", "boot", "server"); empty for gauges.
        labels: one for each row.
        shown: the scrapes at which each row exists; null: at all of them.
        less: by row, what is subtracted from a counter; the result does not fall within a chunk.
    """

    name: str
    kind: str
    declared: str
    since: str = ""
    labels: list[str] = field(default_factory=list)
    rows: list[FloatArray] = field(default_factory=list)
    shown: list[BoolArray | None] = field(default_factory=list)
    less: dict[int, FloatArray] = field(default_factory=dict)

    @property
    def values(self) -> FloatArray:
        return np.array(self.rows)

    def visible(self, values: FloatArray) -> FloatArray:
        """The values that the page shows: NaN where a row does not exist."""
        for row, less in self.less.items():
            values[row] = np.maximum.accumulate(np.clip(values[row] - less, 0.0, None))
        for row, shown in enumerate(self.shown):
            if shown is not None:
                values[row, ~shown] = np.nan
        return values


class Page:
    """Collects the families of one target in one chunk of `steps` scrapes."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.families: dict[str, Family] = {}
        #: The scrapes at which the rows that are added now exist; null: at all of them.
        self.shown: BoolArray | None = None

    def gauge(self, name: str, values: Values, labels: str = "", kind: str = "gauge") -> None:
        """Add a row with these levels."""
        self._add(Family(name, kind, name), labels, values)

    def gauges(self, values: Mapping[str, Values], labels: str = "", kind: str = "gauge") -> None:
        """Add a row to each of several families."""
        for name, levels in values.items():
            self.gauge(name, levels, labels, kind)

    def counter(
        self,
        name: str,
        increments: Values,
        labels: str = "",
        *,
        since: str = "process",
        kind: str = "counter",
        less: FloatArray | None = None,
    ) -> None:
        """Add a row with what is counted from one scrape to the next; `less` is subtracted from what it shows."""
        family = self._add(Family(name, kind, name, since), labels, increments)
        if less is not None:
            family.less[len(family.rows) - 1] = less

    def counters(self, increments: Mapping[str, Values], labels: str = "", *, since: str = "process") -> None:
        """Add a row to each of several families."""
        for name, values in increments.items():
            self.counter(name, values, labels, since=since)

    def histogram(
        self, name: str, edges: Sequence[float], found: FloatArray, labels: str, total: FloatArray
    ) -> None:
        """Add a histogram: `found` holds the observations of each bucket, the last one beyond all edges.

        Args:
            found: buckets x steps, not cumulative.
            total: sum of the observations, one for each step.
        """
        cumulative = np.cumsum(found, axis=0)
        comma = "," if labels else ""
        for edge, row in zip([*(f"{edge:g}" for edge in edges), "+Inf"], cumulative, strict=True):
            bucket = Family(f"{name}_bucket", "histogram", name, "process")
            self._add(bucket, f'{labels}{comma}le="{edge}"', row)
        self._add(Family(f"{name}_sum", "histogram", name, "process"), labels, total)
        self._add(Family(f"{name}_count", "histogram", name, "process"), labels, cumulative[-1])

    def _add(self, empty: Family, labels: str, values: Values) -> Family:
        family = self.families.setdefault(empty.name, empty)
        family.labels.append(labels)
        is_row = isinstance(values, np.ndarray) and values.shape == (self.steps,)
        family.rows.append(
            np.asarray(values, dtype=np.float64) if is_row else np.full(self.steps, float(values))
        )
        family.shown.append(self.shown)
        return family
