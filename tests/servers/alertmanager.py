"""A real Alertmanager, of Debian's packages, on a port of its own."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from core.errors import UnavailableError

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
_READY_WITHIN_S = 30.0


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
        log = Path(folder, "log")
        url = f"http://127.0.0.1:{_free_port()}"
        command = [
            PROGRAM,
            f"--config.file={config}",
            f"--storage.path={folder}/data",
            f"--web.listen-address={url.removeprefix('http://')}",
            "--cluster.listen-address=",
        ]
        with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:
            try:
                _wait_until_ready(url, server, log)
                yield url
            finally:
                server.terminate()


def _wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if httpx.get(f"{url}/-/ready").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise UnavailableError(f"Alertmanager did not start: {log.read_text()[-2_000:]}")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
