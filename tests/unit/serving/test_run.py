"""What the service's own process is told."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from core.settings import Settings
from serving.run import environment_of


def test_the_environment_makes_the_same_settings_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FOREWARN_WEBHOOK_URL", "http://left.over")
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        tenant="acme",
        data_dir=tmp_path,
        mlruns_dir=tmp_path / "mlruns",
        database_url=SecretStr("postgresql://somewhere"),
        webhook_url=None,
        rate_limit_per_s=0.5,
    )
    environment = environment_of(settings)
    monkeypatch.delenv("FOREWARN_WEBHOOK_URL")
    for name, value in environment.items():
        if name.startswith("FOREWARN_"):
            monkeypatch.setenv(name, value)
    assert Settings(_env_file=None) == settings  # type: ignore[call-arg]


def test_no_library_of_the_service_may_tell_anybody_anything() -> None:
    assert environment_of(Settings())["BENTOML_DO_NOT_TRACK"] == "True"
