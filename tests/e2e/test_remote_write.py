"""A real Prometheus pushes what it scrapes to the service, which stores it for the tenant of the key."""

import time
from pathlib import Path

import httpx
import pytest
from e2e.fleet import Fleet
from servers.prometheus import missing_programs, node_exporter, prometheus

from core.domain import Series, SeriesKind

WRITE = "/api/v1/write"
PROTOBUF = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}


@pytest.mark.skipif(bool(missing_programs()), reason=f"not installed: {', '.join(missing_programs())}")
def test_what_prometheus_writes_remotely_is_stored_for_the_tenant_of_its_key(
    fleet: Fleet, tmp_path: Path
) -> None:
    store = fleet.tenancy.platform("empty").store
    push = {
        "url": f"{fleet.url}{WRITE}",
        "authorization": {"credentials": fleet.keys["empty"]},
        "queue_config": {"batch_send_deadline": "1s"},
    }
    with node_exporter(tmp_path) as exporter, prometheus(tmp_path, {"node": exporter}, remote_write=push):
        deadline = time.monotonic() + 60
        found: dict[str, Series] = {}
        while time.monotonic() < deadline and "node_cpu_seconds_total" not in found:
            time.sleep(0.5)
            newest = set(store.samples.latest()["series_id"])
            found = {one.metric: one for one in store.series.find() if one.series_id in newest}
    assert found["node_load1"].kind is SeriesKind.GAUGE
    assert found["node_cpu_seconds_total"].kind is SeriesKind.COUNTER
    assert found["node_load1"].service == "node"
    assert store.dead_letters.count() == 0
    assert not fleet.tenancy.platform("acme").store.series.find(service="node")


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"{}", {"Content-Type": "application/json"}, 415, "should be application/x-protobuf"),
        (b"", {"Content-Type": "application/x-protobuf"}, 415, "compressed with snappy"),
        (
            b"",
            {**PROTOBUF, "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"},
            415,
            "version 1",
        ),
        (b"no snappy at all", PROTOBUF, 400, "snappy"),
        (b"", PROTOBUF, 400, "remote_write request"),
        (b"x" * 300_000, PROTOBUF, 413, "larger than"),
    ],
)
def test_what_is_no_write_request_is_refused_with_one_sentence(
    fleet: Fleet, body: bytes, headers: dict[str, str], status: int, said: str
) -> None:
    with fleet.client("empty") as client:
        answer = client.post(WRITE, content=body, headers=headers)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_nobody_writes_without_a_key(fleet: Fleet) -> None:
    assert httpx.post(f"{fleet.url}{WRITE}", content=b"", headers=PROTOBUF).status_code == 401
