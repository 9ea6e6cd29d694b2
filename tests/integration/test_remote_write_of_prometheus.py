"""A real Prometheus scrapes native histograms, and writes them and the ends of series remotely."""

import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fakes.platform import platform_of
from fakes.remote_write import field as message
from fakes.remote_write import varint
from fakes.remote_write_2 import VERSION_1
from servers.prometheus import missing_programs, prometheus

from core.clock import SystemClock
from pipelines.collect.push import store_remote_write
from pipelines.sources.remote_write import RemoteWriteReceiver
from pipelines.stores.store import Store

PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"


@dataclass
class Target:
    """An exporter with one native histogram, and the receiver of what Prometheus writes; it ends when `is_gone`."""

    bodies: list[bytes] = field(default_factory=list)
    is_gone: bool = False
    started: float = field(default_factory=time.monotonic)

    def page(self) -> bytes:
        """The MetricFamily `rpc_seconds`: a hundred values a second in (0.5, 1]; and a gauge that is soon gone."""
        count = round(100 * (time.monotonic() - self.started))
        spans = VERSION_1["Span"](offset=0, length=1).SerializeToString()
        histogram = varint(1 << 3) + varint(count) + varint(2 << 3 | 1) + struct.pack("<d", 0.75 * count)
        histogram += varint(5 << 3) + varint(0) + varint(6 << 3 | 1) + struct.pack("<d", 0.001)
        histogram += varint(7 << 3) + varint(0) + message(12, spans) + message(13, varint(2 * count))
        families = [
            message(1, b"rpc_seconds") + varint(3 << 3) + varint(4) + message(4, message(7, histogram)),
        ]
        if not self.is_gone:
            value = message(2, varint(1 << 3 | 1) + struct.pack("<d", 5.0))
            families.append(message(1, b"depth") + varint(3 << 3) + varint(1) + message(4, value))
        return b"".join(varint(len(one)) + one for one in families)


@contextmanager
def served(target: Target) -> Iterator[str]:
    """`host:port` of the target."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, target.page(), PROTOBUF)

        def do_POST(self) -> None:
            target.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self._send(204, b"", "text/plain")

        def _send(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.skipif(bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}")
def test_native_histograms_and_ends_of_series_come_from_a_real_prometheus(
    store: Store, tmp_path: Path
) -> None:
    target, receiver = Target(), RemoteWriteReceiver(store.tenant)
    platform = platform_of(store, SystemClock())

    def wait_for(holds: Callable[[], bool]) -> None:
        """Store what comes until something holds."""
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.2)
            while target.bodies:
                store_remote_write(platform, receiver, target.bodies.pop(0), lambda batch: batch)

    def values(metric: str) -> list[float]:
        ids = [one.series_id for one in store.series.find(metric=metric)]
        now = datetime.now(UTC)
        return (
            store.samples.read(now - timedelta(hours=1), now + timedelta(hours=1), ids)["value"].to_list()
            if ids
            else []
        )

    with served(target) as address:
        push = {
            "url": f"http://{address}",
            "send_native_histograms": True,
            "queue_config": {"batch_send_deadline": "1s"},
        }
        with prometheus(tmp_path, {"shop": address}, remote_write=push, features=["native-histograms"]):
            wait_for(lambda: len(values("rpc_seconds_p50")) >= 3 and len(values("depth")) >= 3)
            target.is_gone = True
            wait_for(lambda: store.series_ends.since(datetime.now(UTC) - timedelta(hours=1)).height > 0)
    assert values("rpc_seconds_p50") == pytest.approx([2**-0.5] * len(values("rpc_seconds_p50")))
    assert values("rpc_seconds_count") == pytest.approx([100.0] * len(values("rpc_seconds_count")), rel=0.3)
    (depth,) = store.series.find(metric="depth")
    ends = store.series_ends.since(datetime.now(UTC) - timedelta(hours=1))
    assert ends["series_id"].to_list() == [depth.series_id]
    assert store.dead_letters.count() == 0
