"""Prefect's own settings, made from ours before Prefect is imported, for it reads them on import."""

import os

from core.settings import Settings
from pipelines.privacy import silence_telemetry


def prepare_prefect(settings: Settings, *, api_url: str | None = None) -> None:
    """Keep Prefect's state under the data folder, its analytics off, its banners out of the way.

    A user's own `PREFECT_*` variables win: they may point at a server and a work pool of theirs.
    """
    silence_telemetry()
    home = settings.data_dir.resolve() / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PREFECT_HOME", str(home))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("PREFECT_CLI_PROMPT", "false")
    # The first start makes Prefect's own tables, which takes longer than its default of 20 s on a busy machine.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "90")
    if api_url is not None:
        os.environ["PREFECT_API_URL"] = api_url
