"""Environment variables that libraries read when they are imported. Set them before the import."""

import os

from core.settings import Settings
from pipelines.common.privacy import silence_telemetry


def prepare_prefect(settings: Settings, *, api_url: str | None = None) -> None:
    """Keep Prefect's state in the data folder, and turn off its analytics and banners.

    Call it before Prefect is imported. `PREFECT_*` variables that the user has set stay: they may name the user's own
    server and work pool.
    """
    silence_telemetry()
    home = settings.data_dir.resolve() / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PREFECT_HOME", str(home))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("PREFECT_CLI_PROMPT", "false")
    # On its first start Prefect creates its tables. On a busy machine this takes longer than its default of 20 s.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "90")
    # While one of Prefect's services writes, its SQLite file is locked. Waiting is better than failing.
    os.environ.setdefault("PREFECT_SERVER_DATABASE_TIMEOUT", "60")
    if api_url is not None:
        os.environ["PREFECT_API_URL"] = api_url
