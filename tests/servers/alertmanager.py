"""A real Alertmanager, of Debian's packages, on a port of its own."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from core.errors import UnavailableError
from pipelines.processes.server_process import free_port, start_server

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


@contextmanager
def running_alertmanager(webhook_url: str | None = None) -> Iterator[str]:
    """The URL of an Alertmanager that sends what it gets to `webhook_url`, if any, and stops at the end."""
    if PROGRAM is None:
        raise UnavailableError("no Alertmanager is installed")
    receiver: dict[str, object] = {"name": "test"}
    if webhook_url:
        receiver["webhook_configs"] = [{"url": webhook_url, "send_resolved": True}]
    route = {"receiver": "test", "group_wait": "0s", "group_interval": "1s", "group_by": ["..."]}
    with TemporaryDirectory() as folder:
        config = Path(folder, "alertmanager.yml")
        config.write_text(json.dumps({"route": route, "receivers": [receiver]}))  # JSON is YAML
        url = f"http://127.0.0.1:{free_port()}"
        command = [
            PROGRAM,
            f"--config.file={config}",
            f"--storage.path={folder}/data",
            f"--web.listen-address={url.removeprefix('http://')}",
            "--cluster.listen-address=",
        ]
        with start_server("Alertmanager", command, url=url, log=Path(folder, "log")) as server:
            server.wait_until_ready("/-/ready")
            yield url
