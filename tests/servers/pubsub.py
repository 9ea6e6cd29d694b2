"""Google Pub/Sub for tests: its emulator, and a small server for machines without it.

The small server has the calls that Forewarn makes, as the reference of the REST API and the emulator have them.
"""

import base64
import itertools
import json
import shutil
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.processes.server_process import free_port, start_server

PROJECT, TOPIC, SUBSCRIPTION = "fleet-one", "metrics-topic", "metrics"
_EMULATOR = Path("/usr/lib/google-cloud-sdk/platform/pubsub-emulator/bin/cloud-pubsub-emulator")


class PubSubBroker:
    """A topic with one subscription."""

    def __init__(self, _folder: Path) -> None:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.create(f"http://127.0.0.1:{self._server.server_port}")

    def create(self, endpoint: str) -> None:
        """Create the topic and the subscription, which sends messages again after ten seconds."""
        self.hosts, self.endpoint = PROJECT, endpoint
        self.url = f"pubsub://{PROJECT}/{SUBSCRIPTION}?endpoint={endpoint}&"
        project = f"{endpoint}/v1/projects/{PROJECT}"
        self._topic = f"{project}/topics/{TOPIC}"
        self.subscription = f"{project}/subscriptions/{SUBSCRIPTION}"
        httpx.put(self._topic, json={}, timeout=30).raise_for_status()
        named = {"topic": f"projects/{PROJECT}/topics/{TOPIC}", "ackDeadlineSeconds": 10}
        httpx.put(self.subscription, json=named, timeout=30).raise_for_status()

    def send(self, bodies: Sequence[bytes]) -> None:
        for body in bodies:  # one by one, so that their times are in order
            message = {"data": base64.b64encode(body).decode()}
            httpx.post(f"{self._topic}:publish", json={"messages": [message]}).raise_for_status()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class PubSubEmulator(PubSubBroker):
    """Google's own emulator. The test skips where it is not installed."""

    def __init__(self, folder: Path) -> None:
        if not _EMULATOR.exists() or shutil.which("java") is None:
            pytest.skip("needs google-cloud-cli-pubsub-emulator of Google's package source")
        port = free_port()
        command = [str(_EMULATOR), "--host=127.0.0.1", f"--port={port}"]
        self._process = start_server("broker", command, url="", log=folder / "emulator.log")
        endpoint, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 30
        while not _answers(endpoint):
            assert time.monotonic() < deadline, (folder / "emulator.log").read_text()
            time.sleep(0.1)
        self.create(endpoint)

    def stop(self) -> None:
        self._process.stop()


def _answers(endpoint: str) -> bool:
    try:
        return httpx.get(endpoint).is_success
    except httpx.TransportError:
        return False


class _Server(ThreadingHTTPServer):
    """The messages of the subscription that are not acknowledged.

    Attributes:
        due: id of a message -> when it is sent again, in seconds of the monotonic clock.
    """

    daemon_threads = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.messages: dict[str, dict[str, Any]] = {}
        self.due: dict[str, float] = {}
        self.numbers = itertools.count(1)
        self.lock = threading.Lock()

    def publish(self, body: dict[str, Any]) -> dict[str, Any]:
        ids = []
        for one in body["messages"]:
            name, now = str(next(self.numbers)), datetime.now(UTC)
            at = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03}Z"
            self.messages[name] = {**one, "messageId": name, "message_id": name, "publishTime": at}
            self.due[name] = 0.0
            ids.append(name)
        return {"messageIds": ids}

    def pull(self, body: dict[str, Any]) -> dict[str, Any]:
        now = time.monotonic()
        names = [name for name, due in self.due.items() if due <= now][: body["maxMessages"]]
        self.due.update(dict.fromkeys(names, now + 10))
        received = [{"ackId": f"lease of {name}", "message": self.messages[name]} for name in names]
        return {"receivedMessages": received} if received else {}

    def acknowledge(self, body: dict[str, Any]) -> dict[str, Any]:
        for ack_id in body["ackIds"]:
            self.due.pop(ack_id.removeprefix("lease of "), None)
        return {}

    def modify(self, body: dict[str, Any]) -> dict[str, Any]:
        due = time.monotonic() + body["ackDeadlineSeconds"]
        names = [one.removeprefix("lease of ") for one in body["ackIds"]]
        self.due.update({name: due for name in names if name in self.due})
        return {}


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self._read()
        self._answer(200, {"name": self.path.removeprefix("/v1/")})

    def do_POST(self) -> None:
        body, (resource, _, method) = self._read(), self.path.partition(":")
        calls = {
            f"topics/{TOPIC}": {"publish": self.server.publish},
            f"subscriptions/{SUBSCRIPTION}": {
                "pull": self.server.pull,
                "acknowledge": self.server.acknowledge,
                "modifyAckDeadline": self.server.modify,
            },
        }
        found = calls.get(resource.removeprefix(f"/v1/projects/{PROJECT}/"))
        if found is None:
            error = {"code": 404, "message": "Subscription does not exist", "status": "NOT_FOUND"}
            self._answer(404, {"error": error})
        else:
            with self.server.lock:
                self._answer(200, found[method](body))

    def _read(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return body

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing."""
