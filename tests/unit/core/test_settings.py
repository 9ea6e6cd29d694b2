"""Settings: read once, frozen, and silent about secrets; a wrong one is named in one sentence."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import ConfigurationError
from core.settings import Settings, read_settings

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
    with pytest.raises(ConfigurationError, match=f"FOREWARN_{name}: "):
        read_settings()


def test_a_list_that_is_no_json_names_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_PROMETHEUS_MATCH", "{job=node")
    with pytest.raises(ConfigurationError, match=r"prometheus_match.*JSON"):
        read_settings()


def test_all_wrong_settings_are_named_at_once_and_no_value_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOREWARN_SERVE_PORT", "hunter2")
    monkeypatch.setenv("FOREWARN_WORKERS", "hunter2")
    with pytest.raises(ConfigurationError) as raised:
        read_settings()
    assert "FOREWARN_SERVE_PORT: " in str(raised.value)
    assert "FOREWARN_WORKERS: " in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::0", "0:0:0:0:0:0:0:0", "0"])  # noqa: S104 - not bound
def test_a_service_on_all_addresses_needs_an_address_that_alerts_can_link_to(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("FOREWARN_SERVE_HOST", host)
    with pytest.raises(ConfigurationError, match=r"FOREWARN_PUBLIC_URL: .*alerts cannot link"):
        read_settings()
    monkeypatch.setenv("FOREWARN_PUBLIC_URL", "https://forewarn.example.com/")
    assert read_settings().service_url == "https://forewarn.example.com"


@pytest.mark.parametrize(
    "url",
    [
        "http://0.0.0.0:3000",
        "http://[::]:3000",
        "forewarn.example.com",
        "ftp://forewarn",
        "http://",
        "http://a:99999",
    ],
)
def test_a_public_address_that_no_browser_can_open_is_refused(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("FOREWARN_PUBLIC_URL", url)
    with pytest.raises(ConfigurationError, match=r"FOREWARN_PUBLIC_URL: .*no address that people can open"):
        read_settings()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:3000"),
        ("::1", "http://[::1]:3000"),
        ("fw.local", "http://fw.local:3000"),
    ],
)
def test_without_a_public_address_the_service_is_at_its_host_and_port(
    monkeypatch: pytest.MonkeyPatch, host: str, url: str
) -> None:
    monkeypatch.setenv("FOREWARN_SERVE_HOST", host)
    assert read_settings().service_url == url
