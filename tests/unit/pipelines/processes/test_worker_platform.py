"""What a worker gets."""

import pickle
from pathlib import Path

import pytest
from pydantic import SecretStr

from core.settings import Settings
from pipelines.processes.worker_platform import _for_a_worker


def test_a_worker_gets_absolute_paths_and_only_the_passwords_of_the_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = Settings(
        _env_file=None,
        data_dir=Path("data"),
        archive_url="archive",
        database_url=SecretStr("postgresql://u:database@host/db"),
        slack_webhook_url=SecretStr("https://slack/hush"),
        queues=(SecretStr("redis://:hush@host/topic"),),
    )
    found = _for_a_worker(given)
    assert (found.data_dir, found.archive_url) == (tmp_path / "data", str(tmp_path / "archive"))
    sent = pickle.dumps(found)
    assert b"database@host" in sent
    assert b"hush" not in sent
    assert pickle.loads(sent) == found  # noqa: S301 - just made


def test_an_archive_in_s3_keeps_its_address() -> None:
    given = Settings(_env_file=None, archive_url="s3://bucket/prefix")
    assert _for_a_worker(given).archive_url == given.archive_url
