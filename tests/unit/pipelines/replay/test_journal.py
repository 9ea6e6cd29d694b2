"""The journal of a replay: a kill costs the line that was being written at most, and nothing counts twice."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.lifecycle.replay_records import CycleRecord, Record, SignalEnd
from pipelines.replay.journal import Journal

START = datetime(2026, 3, 2, tzinfo=UTC)
RECORDS: list[Record] = [
    CycleRecord(at=START, seconds=1.0, mib=500.0, incidents=0),
    SignalEnd(at=START + timedelta(minutes=5), signal_id="s", ended_at=START),
    CycleRecord(at=START + timedelta(minutes=5), seconds=1.5, mib=501.0, incidents=1),
]


@given(cut=st.integers(0, 400))
def test_a_line_that_was_torn_is_cut_off_and_written_again(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("replay") / "journal.jsonl"
    Journal(path).add(RECORDS)
    path.write_bytes(path.read_bytes()[:cut])
    journal = Journal(path)
    whole = journal.records()
    assert whole == RECORDS[: len(whole)]
    journal.add(RECORDS)
    assert journal.records() == RECORDS


def test_a_cycle_that_ran_again_counts_once_with_its_last_times(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    again = CycleRecord(at=START, seconds=9.0, mib=510.0, incidents=0)
    journal.add([*RECORDS, again])
    assert journal.records() == [again, *RECORDS[1:]]


def test_a_journal_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert Journal(tmp_path / "journal.jsonl").records() == []
