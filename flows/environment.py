"""What libraries read from the environment when they are imported, set before that."""

import os

from core.settings import Settings
from pipelines.common.parallel import THREADS
from pipelines.common.privacy import silence_telemetry


def one_thread_in_a_process() -> None:
    """Work is spread over processes, by series; threads below them would wait for one another.

    To be called before NumPy is imported, which reads them then.

    Small matrices solved with as many threads as cores took forty times as long on a busy machine. A user's
    own values win.
    """
    for name in THREADS:
        os.environ.setdefault(name, "1")


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
    # Its SQLite file is locked for as long as another of its services writes; better wait than fail.
    os.environ.setdefault("PREFECT_SERVER_DATABASE_TIMEOUT", "60")
    if api_url is not None:
        os.environ["PREFECT_API_URL"] = api_url
