"""The platform that a process keeps open: the same parts for the next step, and new ones after an outage."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from servers.postgres import fresh_database

from core.clock import SystemClock
from core.errors import UnavailableError
from core.settings import Settings
from pipelines import wiring
from pipelines.stores.migrate import migrate
from pipelines.wiring import kept_platform


@pytest.fixture
def settings(server_dsn: str, tmp_path: Path) -> Iterator[Settings]:
    with fresh_database(server_dsn) as dsn:
        migrate(dsn)
        yield Settings(_env_file=None, database_url=SecretStr(dsn), data_dir=tmp_path, mlruns_dir=tmp_path)
        wiring._kept.close()


def test_the_next_step_finds_the_models_and_connections_of_the_one_before(settings: Settings) -> None:
    with kept_platform(settings, tenant="acme") as first:
        first.store.cursors.set("read", "1")
    with kept_platform(settings, tenant="acme", clock=(clock := SystemClock())) as second:
        assert second.models is first.models
        assert second.features is first.features
        assert second.clock is clock
        assert second.store.cursors.get("read") == "1"


def test_tenants_share_connections_and_nothing_else(settings: Settings) -> None:
    with kept_platform(settings, tenant="acme") as acme, kept_platform(settings, tenant="umbrella") as other:
        acme.store.cursors.set("read", "1")
        assert other.store.cursors.get("read") is None
        assert other.models is not acme.models


def test_an_outage_closes_it_and_an_error_of_another_kind_does_not(settings: Settings) -> None:
    with kept_platform(settings) as before:
        pass
    with pytest.raises(ValueError, match="ours"), kept_platform(settings):
        raise ValueError("ours")
    with kept_platform(settings) as same:
        assert same.models is before.models
    with pytest.raises(UnavailableError), kept_platform(settings):
        raise UnavailableError("the database does not answer")
    with kept_platform(settings) as after:
        assert after.models is not before.models
        assert after.store.cursors.get("read") is None


def test_other_settings_open_another_one(settings: Settings) -> None:
    with kept_platform(settings) as first:
        pass
    with kept_platform(settings.model_copy(update={"seed": settings.seed + 1})) as second:
        assert second.models is not first.models
        assert second.settings.seed == settings.seed + 1
