"""Live pages of a simulated fleet: one path for each target, with the values of this moment."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from core.errors import InputError
from pipelines.sources.simulated_exporters import read_history
from pipelines.sources.simulation.exporters.clock import CHUNK_S
from pipelines.sources.simulation.exporters.files import discovered, page_text, prometheus_yml
from pipelines.sources.simulation.exporters.fleet import Recorder, Rendered

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
JSON_FORMAT = "application/json"


class LivePages:
    """The pages of the present; they continue the counters of the history.

    Args:
        recorder: with the counters at the start of the last chunk of the history.
        now: seconds since the epoch.
    Raises:
        InputError: the history ends in the future, or so long ago that no more events are drawn.
    """

    def __init__(self, recorder: Recorder, now: Callable[[], float] = time.time) -> None:
        self._recorder, self._now = recorder, now
        self._lock = threading.Lock()
        self._next = recorder.fleet.chunks[-1]
        self._rendered: list[Rendered] = []
        timeline = recorder.fleet.timeline
        if not recorder.fleet.end - recorder.fleet.step_s <= now() < timeline.until:
            raise InputError("live pages need a history that ended in the last 14 days. Simulate a new one.")
        self._present()

    def _present(self) -> tuple[list[Rendered], int]:
        """All targets of the present chunk, and the present step."""
        fleet = self._recorder.fleet
        moment = int(self._now())
        with self._lock:
            while self._next <= moment // CHUNK_S:
                _, self._rendered = self._recorder.render(self._next)
                self._next += 1
            return self._rendered, moment % CHUNK_S // fleet.step_s

    def page(self, path: str, address: str) -> tuple[int, str, str]:
        """Status, content type and body for a path; `address` is what Prometheus has to scrape."""
        rendered, step = self._present()
        if path == "targets":
            return 200, JSON_FORMAT, json.dumps(discovered(rendered, address, step))
        if not path:
            lines = [f"/{one.target.path}" for one in rendered if one.exists[step]]
            return 200, TEXT_FORMAT, "\n".join(["/targets", *lines]) + "\n"
        found = next((one for one in rendered if one.target.path == path and one.exists[step]), None)
        if found is None:
            return 404, TEXT_FORMAT, "there is no such target at this moment; / lists all targets\n"
        if not found.responds[step]:
            return 503, TEXT_FORMAT, "the exporter does not respond at this moment\n"
        return 200, TEXT_FORMAT, page_text(found, step)


def page_server(pages: LivePages, port: int) -> ThreadingHTTPServer:
    """A server of the pages on 127.0.0.1; port 0 takes a free one.

    Raises:
        InputError: the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = self.headers["Host"]
            status, content_type, body = pages.page(self.path.partition("?")[0].strip("/"), address)
            content = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Prometheus scrapes all the time: no line for each page."""

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise InputError(
            f"port {port} cannot be used: {error.strerror}. Choose another with --port."
        ) from error


def serve_pages(folder: Path, port: int) -> None:
    """Serve the pages of the history in a folder until Ctrl-C; its `prometheus.yml` then has this port.

    Raises:
        InputError: the folder has no history, the history is too old, or the port is taken.
    """
    recorder = read_history(folder)
    with page_server(LivePages(recorder), port) as server:
        (folder / "prometheus.yml").write_text(prometheus_yml(recorder.fleet, f"127.0.0.1:{port}"))
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
