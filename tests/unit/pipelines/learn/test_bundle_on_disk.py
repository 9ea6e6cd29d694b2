"""Entries go to the disk in parts and are read in the order in which they were added."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.domain import Role, Series
from models.forecast.checks import example
from models.forecast.choice.selection import Plan, select
from models.forecast.entry import Entry
from pipelines.learn import bundle_on_disk
from pipelines.learn.bundle_on_disk import BundleOnDisk


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    history = example(3)
    choice = select(history, Plan(origins=2))
    names = [f"shop-{number}" for number in range(8)]
    series = [
        Series(tenant="t", service=name, metric="requests_per_second", role=Role.TRAFFIC) for name in names
    ]
    return [Entry(series=one, history=history, choice=replace(choice, reason=one.service)) for one in series]


def test_parts_are_full_and_in_order(
    entries: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_on_disk, "PART", 3)
    kept = BundleOnDisk(tmp_path / "kept")
    for first, last in ((0, 1), (1, 1), (1, 8)):
        kept.add(entries[first:last])
    assert (kept.parts, len(kept.series_ids)) == (2, 8)
    kept.close()
    assert kept.parts == 3
    assert [one.choice.reason for one in kept.entries()] == [one.choice.reason for one in entries]


def test_files_are_read_when_they_are_requested(entries: list[Entry], tmp_path: Path) -> None:
    kept = BundleOnDisk(tmp_path / "kept")
    kept.add(entries)
    assert list(kept) == []
    kept.close()
    kept.keep({"bundle.json": b"{}"})
    assert list(kept) == ["bundle.json", "part-00000.json", "part-00000.npz"]
    assert len(kept) == 3
    assert kept["bundle.json"] == b"{}"
    with pytest.raises(KeyError):
        kept["part-00001.json"]


def test_nothing_gives_no_part(tmp_path: Path) -> None:
    kept = BundleOnDisk(tmp_path / "kept")
    kept.close()
    assert (kept.parts, len(kept.series_ids), list(kept.entries())) == (0, 0, [])
