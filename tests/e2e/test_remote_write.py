"""A real Prometheus pushes what it scrapes to the service, which stores it for the tenant of the key."""

import json
import subprocess
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from e2e.fleet import Fleet
from fakes.remote_write import compressed, time_series
from servers.prometheus import missing_programs, node_exporter, prometheus

from core.domain import Series, SeriesKind
from pipelines.stores.store import Store

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
            {**PROTOBUF, "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"},
            415,
            "prometheus.WriteRequest or io.prometheus.write.v2.Request",
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


CASE = Path(__file__).parents[1] / "cases" / "servers" / "remote_write_with_bad_series.py"
#: As the protocol defines it: 204 when all is stored, 400 when only the good part is.
EXPECTED = {
    "plain": 204,
    "one series without a name": 400,
    "label with NUL": 400,
    "label not UTF-8": 400,
    "stale marker": 204,
    "out of order, 3 days old": 204,
    "counter, in order": 204,
    "counter, late sample": 204,
    "counter, the one before": 204,
    "counter, on": 204,
    "counter, sent twice": 204,
    "counter, sent twice, on": 204,
    "native histogram": 400,
    "version 2": 204,
    "clock an hour ahead": 400,
    "same time, other value": 400,
    "not compressed": 400,
    "empty label": 204,
    "long label": 204,
    "gauge then metadata": 204,
    "metadata says counter": 204,
    "after metadata": 204,
}


def test_good_series_are_stored_and_bad_ones_are_dead_letters(fleet: Fleet) -> None:
    tenant = "written"
    key = fleet.tenancy.keys.create(tenant)
    run = subprocess.run([sys.executable, CASE, fleet.url, key], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    lines = [line.partition("->") for line in run.stdout.splitlines()]
    assert {name.strip(): int(status.split()[0]) for name, _, status in lines} == EXPECTED
    store = Store(fleet.tenancy.pool, tenant)
    values: dict[str, list[float]] = defaultdict(list)
    start = datetime.now(UTC) - timedelta(days=4)
    names = {one.series_id: one.metric for one in store.series.find()}
    for series_id, _, value in store.samples.read(start, start + timedelta(days=5)).iter_rows():
        values[names[series_id]].append(value)
    gauge = [10.0, 11.0, 12.0, 13.0, 14.0]
    assert values == {
        **dict.fromkeys(("rw_plain", "rw_good_a", "rw_good_b", "rw_good_c", "rw_good_d"), gauge),
        "rw_stale": gauge[:3],
        "rw_ooo": [2.0, 1.0, *gauge],
        "rw_c_total": [1.0] * 4,
        "rw_d_total": [1.0] * 2,
        "rw_future": gauge,
        "rw_empty": gauge,
        "rw_long": gauge,
        "rw_v2": [5.0],
        "rw_jobs_done": [pytest.approx(1 / 60)] * 4 + [1.0],
    }
    letters = store.dead_letters.list()
    assert {letter.source for letter in letters} == {"remote_write"}
    reasons = " ".join(letter.reason for letter in letters)
    for reason in ("no name", "NUL", "not UTF-8", "native histogram", "in the future", "contradicts"):
        assert reason in reasons
    assert len(letters) == 6


def test_forty_thousand_series_in_one_request_are_stored_or_refused(fleet: Fleet) -> None:
    key = fleet.tenancy.keys.create("many")
    parts = [time_series({"__name__": "up", "i": str(n)}, [(0, 1.0)]) for n in range(40_000)]
    answer = httpx.post(
        f"{fleet.url}{WRITE}",
        content=compressed(*parts),
        headers={**PROTOBUF, "Authorization": f"Bearer {key}"},
        timeout=120,
        trust_env=False,
    )
    assert answer.status_code in {204, 413}
    assert httpx.get(f"{fleet.url}/livez", trust_env=False).status_code == 200


@pytest.mark.parametrize("path", ["/webhooks/deploys", "/webhooks/alerts"])
@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 8_000, "\x1f"])
def test_texts_that_cannot_be_stored_are_dead_letters_of_webhooks(fleet: Fleet, path: str, text: str) -> None:
    at = datetime.now(UTC).isoformat()
    if path == "/webhooks/alerts":
        labels = [
            {"alertname": text, "job": "a"},
            {"alertname": "A", "job": text},
            {"alertname": "A", "job": "b"},
        ]
        body: object = {"alerts": [{"status": "firing", "labels": one, "startsAt": at} for one in labels]}
    else:
        good = {"service": "a", "at": at}
        body = [{**good, name: text} for name in ("service", "title", "version")] + [good]
    with fleet.client("empty") as client:
        answer = client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    if text == "\ud800":  # half a letter is no JSON text
        assert answer.status_code in {200, 400}
    else:
        assert answer.status_code == 200, answer.text
        assert answer.json()["rejected"] >= 1
