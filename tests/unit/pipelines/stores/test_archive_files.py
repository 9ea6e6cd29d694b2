"""Files of the archive: their names, their bytes, and what is noticed when they are damaged."""

import os
import string
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from any_float import AWKWARD, many_examples
from hypothesis import given
from hypothesis import strategies as st

from core.archive import archive_place
from core.arrays import IntArray
from core.errors import ArchiveUnavailableError, ConfigurationError, DamagedArchiveError
from core.frames import SAMPLES, frame_of
from core.settings import Settings, read_settings
from pipelines.stores.archive_files import LocalArchive, configured_archive
from pipelines.stores.archive_format import NotWhatWasWrittenError, checksum_of, decode, encode
from pipelines.stores.day_files import DayFiles, day_file

DAY = date(2026, 3, 1)
START_US = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()) * 1_000_000
DAY_US = 86_400_000_000


@st.composite
def days_of_samples(draw: st.DrawFn) -> pl.DataFrame:
    """`SAMPLES` of a day, by series_id, ts, with any bits as values: NaN of any payload and infinite ones, too."""
    size = draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    ids = rng.choice(rng.integers(-(2**63), 2**63, 4, dtype=np.int64), size)
    keys = np.unique(np.stack([ids, START_US + rng.integers(0, DAY_US, size)], axis=1), axis=0)
    any_bits = rng.integers(0, 2**64, len(keys), dtype=np.uint64).view(np.float64)
    special = rng.choice([*AWKWARD, np.inf, -np.inf, np.nan], len(keys))
    values = np.where(rng.random(len(keys)) < draw(st.floats(0, 1)), special, any_bits)
    first: IntArray = keys[:, 0]
    return frame_of(SAMPLES, first, keys[:, 1], values)


def bits(frame: pl.DataFrame) -> tuple[bytes, ...]:
    return tuple(frame[name].to_physical().to_numpy().tobytes() for name in SAMPLES)


@given(days_of_samples())
@many_examples(200)
def test_samples_come_back_to_the_last_bit(frame: pl.DataFrame) -> None:
    back = decode(encode(frame, "acme", DAY), "acme", DAY)
    assert bits(back) == bits(frame)
    assert checksum_of(back) == checksum_of(frame)


@given(days_of_samples().filter(lambda frame: frame.height > 5), st.data())
@many_examples(200)
def test_a_changed_byte_is_noticed_or_changes_no_sample(frame: pl.DataFrame, data: st.DataObject) -> None:
    whole = bytearray(encode(frame, "acme", DAY))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    try:
        back = decode(bytes(whole), "acme", DAY)
    except NotWhatWasWrittenError:
        return
    assert bits(back) == bits(frame)


@given(days_of_samples(), st.floats(0, 1, exclude_max=True))
@many_examples(50)
def test_a_file_that_is_cut_is_noticed(frame: pl.DataFrame, share: float) -> None:
    whole = encode(frame, "acme", DAY)
    with pytest.raises(NotWhatWasWrittenError, match="cannot be read as Parquet"):
        decode(whole[: int(len(whole) * share)], "acme", DAY)


def test_other_tools_read_a_file_and_verify_it_without_the_database(tmp_path: Path) -> None:
    frame = some_samples()
    path = tmp_path / "day.parquet"
    path.write_bytes(encode(frame, "acme", DAY))
    assert pl.read_parquet(path).equals(frame)
    described = pl.read_parquet_metadata(path)
    assert {name: text for name, text in described.items() if name.startswith("forewarn.")} == {
        "forewarn.schema": "1",
        "forewarn.tenant": "acme",
        "forewarn.day": "2026-03-01",
        "forewarn.samples": "3",
        "forewarn.sha256": checksum_of(frame),
    }


def test_a_file_of_another_tenant_day_or_release_is_refused() -> None:
    data = encode(some_samples(), "acme", DAY)
    with pytest.raises(NotWhatWasWrittenError, match="of tenant acme on 2026-03-01"):
        decode(data, "other", DAY)
    with pytest.raises(NotWhatWasWrittenError, match="of tenant acme on 2026-03-01"):
        decode(data, "acme", date(2026, 3, 2))
    with pytest.raises(NotWhatWasWrittenError, match="schema is 2"):
        decode(data.replace(b"forewarn.schema\x18\x011", b"forewarn.schema\x18\x012"), "acme", DAY)


@given(st.lists(st.text(max_size=20) | st.sampled_from(["..", "a/b", "Acme", "acme", "%41cme", "\\", "con"])))
@many_examples(200)
def test_no_two_tenants_share_a_file_and_none_leaves_the_folder(tenants: list[str]) -> None:
    names = {tenant: day_file(tenant, DAY, 0) for tenant in tenants}
    assert len({name.lower() for name in names.values()}) == len(names)
    for name in names.values():
        folder, file = name.split("/")
        assert folder.startswith("tenant=")
        assert set(folder) <= set(string.ascii_lowercase + string.digits + "._-%=")
        assert file == "2026-03-01.parquet"


def test_a_write_that_fails_leaves_the_file_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = LocalArchive(tmp_path / "archive")
    files.put("tenant=a/x", b"before")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        ArchiveUnavailableError, match=r"tenant=a/x cannot be written: No space left on device"
    ):
        files.put("tenant=a/x", b"after")
    monkeypatch.undo()
    assert files.get("tenant=a/x") == b"before"
    files.put("tenant=a/x", b"after")
    assert files.get("tenant=a/x") == b"after"
    assert [path.name for path in (tmp_path / "archive" / "tenant=a").iterdir()] == ["x"]
    files.remove("tenant=a/x")
    files.remove("tenant=a/x")
    assert files.get("tenant=a/x") is None


class Forgetful(LocalArchive):
    """Keeps only half of what it is given."""

    def put(self, name: str, data: bytes) -> None:
        super().put(name, data[: len(data) // 2])


def test_a_file_that_comes_back_changed_is_noticed_at_once(tmp_path: Path) -> None:
    with pytest.raises(ArchiveUnavailableError, match=r"2026-03-01\.parquet"):
        DayFiles(Forgetful(tmp_path), "acme").write(DAY, 0, some_samples())


def test_a_damaged_or_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    files = DayFiles(LocalArchive(tmp_path), "acme")
    frame = some_samples()
    with pytest.raises(DamagedArchiveError, match=r"2026-03-01\.parquet .*: it is missing\. Restore"):
        files.read(DAY, 0, checksum_of(frame))
    files.write(DAY, 0, frame)
    assert files.read(DAY, 0, checksum_of(frame)).equals(frame)
    with pytest.raises(DamagedArchiveError, match="other samples than were archived"):
        files.read(DAY, 0, checksum_of(frame.head(1)))


def test_an_archive_is_a_folder_or_a_bucket() -> None:
    assert configured_archive(Settings(_env_file=None)) is None
    for url, where in (
        ("data/archive", "data/archive"),
        ("file:///srv/my%20archive", "/srv/my archive"),
        ("s3://metrics/forewarn/", "s3://metrics/forewarn"),
        ("s3://metrics", "s3://metrics"),
    ):
        files = configured_archive(Settings(_env_file=None, archive_url=url))
        assert files is not None
        assert files.where == where


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:hunter2@bucket/x",
        "s3://bucket/x?secret_key=hunter2",
        "gs://bucket/x",
        "s3:///x",
        "file://host/x",
    ],
)
def test_a_wrong_place_is_refused_without_repeating_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="s3://"):
        archive_place(url)
    monkeypatch.setenv("FOREWARN_ARCHIVE_URL", url)
    with pytest.raises(ConfigurationError, match="FOREWARN_ARCHIVE_URL") as caught:
        read_settings()
    assert "hunter2" not in str(caught.value)


def some_samples() -> pl.DataFrame:
    times = START_US + np.arange(3) * 60_000_000
    return frame_of(SAMPLES, np.array([-5, -5, 7]), times, np.array([1.0, -0.0, 2.5]))
