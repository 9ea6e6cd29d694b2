"""Settings: read once, frozen, and silent about secrets."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.settings import Settings

SECRETS = {
    "FOREWARN_DATABASE_URL": "postgresql://u:hunter2@db/f",
    "FOREWARN_REDIS_URL": "redis://:hunter2@redis",
    "FOREWARN_MLFLOW_TRACKING_URI": "https://u:hunter2@mlflow",
    "FOREWARN_WEBHOOK_SECRET": "hunter2",
    "FOREWARN_SLACK_WEBHOOK_URL": "https://hooks/hunter2",
    "FOREWARN_PAGERDUTY_ROUTING_KEY": "hunter2",
}


def test_no_secret_shows_in_a_repr_or_a_dump(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.webhook_secret is not None
    assert settings.webhook_secret.get_secret_value() == "hunter2"
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(ValidationError, match="frozen"):
        settings.tenant = "other"  # type: ignore[misc]


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_PROMETHEUS_URL", "")
    assert Settings().prometheus_url is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("SERVE_PORT", "0"), ("WORKERS", "none"), ("COMPUTE", "abacus"), ("TIME_ZONE", "Moon/Crater")],
)
def test_a_setting_out_of_range_names_itself(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"FOREWARN_{name}", value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()
