"""What cannot be read, computed or stored of one span of time, for dead letters."""

import json
from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from core.checks import require_name
from core.errors import InputError
from pipelines.stores.dead_letters import REJECTED


class Rejections:
    """Rows that were rejected with their reasons, each once."""

    def __init__(self) -> None:
        self._rejected: dict[tuple[str, str], None] = {}

    def reject(self, row: Mapping[str, object], reason: str) -> None:
        """Keep a row for a dead letter."""
        self._rejected[json.dumps(row, sort_keys=True), reason] = None

    def take_rejected(self) -> pl.DataFrame:
        """What was rejected since the last call."""
        frame = pl.DataFrame(list(self._rejected), schema=REJECTED, orient="row")
        self._rejected.clear()
        return frame

    def possible_names(self, metrics: Iterable[str]) -> Iterator[str]:
        """The metrics whose names can be stored; the others are rejected."""
        for name in metrics:
            try:
                require_name(name, "metric")
            except InputError as error:
                self.reject({"metric": name}, str(error))
            else:
                yield name
