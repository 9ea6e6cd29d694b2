"""The journal of a replay: a line of JSON for each record, so that a kill costs the last line at most."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from core.json_text import json_text
from models.lifecycle.replay_records import CycleRecord, Record

_RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="type")])


class Journal:
    """Records in a file. A cycle that was interrupted runs again and writes its records again: each counts once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._cut_off_torn_line()

    def add(self, records: Iterable[Record]) -> None:
        """Append records; each is in the file when this returns."""
        text = "".join(f"{json_text(one, indent=None)}\n" for one in records)
        if text:
            with self._path.open("a") as file:
                file.write(text)

    def records(self) -> list[Record]:
        """All records, each once, in the order in which they were written."""
        if not self._path.exists():
            return []
        with self._path.open() as file:
            read = [_RECORD.validate_json(line) for line in file]
        # Times differ between two runs of a cycle, so that its last record counts.
        return list({_key(one): one for one in read}.values())

    def _cut_off_torn_line(self) -> None:
        if self._path.exists() and (content := self._path.read_bytes()) and not content.endswith(b"\n"):
            with self._path.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)


def _key(record: Record) -> tuple[object, ...]:
    if isinstance(record, CycleRecord):
        return (record.type, record.at)
    values = (
        getattr(record, name)
        for name in ("alert_id", "signal_id", "service", "flow", "severity", "ended_at")
        if hasattr(record, name)
    )
    return (record.type, record.at, *values)
