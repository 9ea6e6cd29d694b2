"""A disk that cannot be written is one sentence with the folder, the problem and the remedy."""

import errno
from pathlib import Path

import pytest

from core.errors import StorageError, UnavailableError
from core.settings import Settings
from pipelines.common.storage_errors import storage_errors, storage_sentence


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, data_dir=tmp_path / "data", mlruns_dir=tmp_path / "models")


@pytest.mark.parametrize(
    ("number", "file", "sentence"),
    [
        (
            errno.ENOSPC,
            "data/feast/registry.db",
            "the disk of {}/data/feast/registry.db is full. Free space on it, or set FOREWARN_DATA_DIR to another "
            "folder; then run this again",
        ),
        (
            errno.EDQUOT,
            "models/x",
            "the disk of {}/models/x is full. Free space on it, or set FOREWARN_MLRUNS_DIR",
        ),
        (
            errno.EROFS,
            "/plots/a.png",
            "/plots/a.png is on a read-only file system. Make it writable, or choose",
        ),
        (
            errno.EACCES,
            "data",
            "{}/data cannot be used: permission denied. Run as its owner, or change its permi",
        ),
    ],
)
def test_an_error_names_the_file_the_problem_and_the_remedy(
    settings: Settings, tmp_path: Path, number: int, file: str, sentence: str
) -> None:
    found = storage_sentence(OSError(number, "text", str(tmp_path / file)), settings)
    assert found is not None
    assert found.startswith(sentence.format(tmp_path))


def test_a_write_without_a_file_name_names_a_folder(settings: Settings) -> None:
    sentence = r"^the disk of /\S+ is full\. Free space on it, or set \w+ to another"
    with pytest.raises(StorageError, match=sentence), storage_errors(settings):
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(errno.ECONNREFUSED, "refused"), UnavailableError("gone")]
)
def test_other_errors_stay_what_they_are(settings: Settings, error: Exception) -> None:
    with pytest.raises(type(error)), storage_errors(settings):
        raise error
