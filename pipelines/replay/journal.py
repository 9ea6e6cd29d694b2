"""The journal of a replay: a line of JSON for each record, so that a kill costs the last line at most."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from core.json_text import json_text
from models.lifecycle.replay_records import CycleRecord, LearningRecord, Record

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
            read = [(line, _RECORD.validate_json(line)) for line in file]
        return list({_key(line, record): record for line, record in read}.values())

    def _cut_off_torn_line(self) -> None:
        if self._path.exists() and (content := self._path.read_bytes()) and not content.endswith(b"\n"):
            with self._path.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)


def _key(line: str, record: Record) -> object:
    """What two records of the same thing share. A repeated cycle takes another time; the last one counts."""
    match record:
        case CycleRecord():
            return record.at
        case LearningRecord():
            return record.at, record.flow
        case _:
            return line
