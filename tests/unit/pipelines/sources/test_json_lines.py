"""JSON lines of queues: which lines become samples, and why the others are rejected."""

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from fakes.memory_store import MemoryStore, memory_platform
from hypothesis import given
from hypothesis import strategies as st

from core.clock import FixedClock
from core.domain import SeriesKind
from core.errors import InputError
from core.service_names import ServiceRule
from pipelines.collect.push import store_pushed
from pipelines.collect.queue_payloads import payloads
from pipelines.sources.queues.json_lines import MAX_LINES, JsonReceiver, JsonRequest
from pipelines.sources.queues.queue_address import PayloadFormat
from pipelines.sources.queues.queue_port import MAX_MESSAGE_BYTES, Message

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
GOOD: dict[str, Any] = {"ts": "2026-03-01T11:00:00Z", "service": "shop", "metric": "depth", "value": 3}


def stored(*lines: object) -> MemoryStore:
    """The store after one message with these lines: objects, or texts as they are."""
    store = MemoryStore()
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    receiver, request = JsonReceiver(store.tenant, ServiceRule()), JsonRequest()
    receiver.read("\n".join(texts).encode(), "offset 7", request)
    store_pushed(memory_platform(store, FixedClock(NOON)), receiver, request, lambda batch: batch)
    return store


@pytest.mark.parametrize(
    ("changes", "value", "unit"),
    [
        ({}, 3.0, ""),
        ({"value": "3.5"}, 3.5, ""),
        ({"value": True}, 1.0, ""),
        ({"value": "4 KiB"}, 4096.0, "bytes"),
        ({"value": 250, "unit": "ms"}, 0.25, "seconds"),
        ({"value": 2, "unit": "GiB"}, 2.0 * 2**30, "bytes"),
        ({"value": 12, "unit": "%"}, 12.0, "%"),
        ({"value": 5, "unit": "connections"}, 5.0, "connections"),
        ({"value": 1e300}, 1e300, ""),
        ({"ts": 1772362800}, 3.0, ""),
        ({"ts": 1772362800000}, 3.0, ""),
        ({"ts": "1772362800.0"}, 3.0, ""),
    ],
)
def test_values_units_and_times_are_read_as_in_files(
    changes: dict[str, Any], value: float, unit: str
) -> None:
    store = stored({**GOOD, **changes})
    (series,) = store.series.find(metric="depth")
    assert store.samples.latest().rows() == [(series.series_id, datetime(2026, 3, 1, 11, tzinfo=UTC), value)]
    assert series.unit == unit


def test_the_other_fields_and_the_labels_are_labels() -> None:
    labels = {"route": "/pay", "code": 200, "canary": False, "none": None}
    store = stored({**GOOD, "host": "web1", "labels": labels})
    (series,) = store.series.find(metric="depth")
    assert series.labels == {"host": "web1", "route": "/pay", "code": "200", "canary": "false"}


def test_one_rule_names_the_service() -> None:
    store = stored(
        {"time": GOOD["ts"], "name": "depth", "y": 1, "labels": {"job": "node", "app": "checkout"}}
    )
    (series,) = store.series.find(metric="depth")
    assert (series.service, series.labels) == ("checkout", {"job": "node"})


def test_a_declared_counter_is_stored_as_its_rate() -> None:
    at = ["2026-03-01T11:00:00Z", "2026-03-01T11:01:00Z"]
    lines = [
        {**GOOD, "ts": ts, "value": value, "kind": "counter"} for ts, value in zip(at, (60, 120), strict=True)
    ]
    store = stored(*lines)
    (series,) = store.series.find(metric="depth")
    assert (series.kind, series.unit, series.step_s) == (SeriesKind.COUNTER, "1/s", 60)
    assert store.samples.latest()["value"].to_list() == [1.0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "the line is no JSON"),
        ("[" * 100_000, "the line is no JSON"),
        ("[1]", "the line is no JSON object"),
        ({**GOOD, "value": None}, "value is missing"),
        ({**GOOD, "value": "many"}, "value 'many' is not a number"),
        ({**GOOD, "value": float("nan")}, "value 'nan' is not a finite number"),
        ({**GOOD, "value": [3]}, "field 'value' is a list or an object; only 'labels' may be an object"),
        ({**GOOD, "ts": "soon"}, "time 'soon' is not a time"),
        ({**GOOD, "ts": None}, "time is missing"),
        ({**GOOD, "service": ""}, "service is missing"),
        ({**GOOD, "metric": ""}, "metric is missing"),
        ({**GOOD, "kind": "read"}, "kind 'read' is not counter or gauge; put a label into 'labels'"),
        ({**GOOD, "labels": 3}, "field 'labels' is no object"),
        ({**GOOD, "\0time": "x"}, "the name of a label contains NUL"),
        ({**GOOD, "kind": "counter", "value": -1}, "value -1 is below 0, and a counter never falls"),
    ],
)
def test_a_bad_line_is_a_dead_letter_with_its_place_and_the_others_are_stored(
    line: object, reason: str
) -> None:
    store = stored({**GOOD, "metric": "other"}, line)
    ((source, row, found),) = store.dead_letters.rows
    assert (source, found) == ("json", f"offset 7, line 2: {reason}")
    assert json.loads(row)["message"] == "offset 7"
    assert store.samples.latest().height == 1


def test_a_sample_that_the_store_rejects_has_the_place_of_its_message() -> None:
    store = stored({**GOOD, "ts": "2031-01-01T00:00:00Z"})
    ((_, row, reason),) = store.dead_letters.rows
    assert (json.loads(row)["file"], json.loads(row)["line"]) == ("offset 7", 1)
    assert reason.startswith("line 1: ts 2031-01-01")


TEXTS = st.text(st.characters(codec=None), max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2)
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys([*GOOD, "unit", "kind", "labels", "pod"], VALUES)))
def test_each_object_is_a_sample_or_a_dead_letter(changes: dict[str, Any]) -> None:
    store = stored({**GOOD, **changes})
    assert store.samples.latest().height + len(store.dead_letters.rows) == 1 or _is_first_count(store)


def _is_first_count(store: MemoryStore) -> bool:
    """The first count of a counter gives no rate."""
    return [one.kind for one in store.series.find()] == [SeriesKind.COUNTER]


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_read_or_rejected(body: bytes) -> None:
    request = JsonRequest()
    try:
        JsonReceiver("t", ServiceRule()).read(body, "offset 7", request)
    except InputError:
        return
    JsonReceiver("t", ServiceRule()).batch(request, {})


BOMB = gzip.compress(bytes(40_000_000))


@pytest.mark.parametrize("payload", PayloadFormat)
@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"\x1f\x8b damaged", BOMB, bytes(MAX_MESSAGE_BYTES + 1), b"\n" * (MAX_LINES + 1)],
    ids=["empty", "no text", "damaged", "bomb", "too large", "too many lines"],
)
def test_a_message_that_cannot_be_decoded_is_rejected_with_its_place(
    payload: PayloadFormat, body: bytes
) -> None:
    message = Message(partition="0", position="7", place="offset 7", body=body)
    (work,) = payloads(payload, "t", ServiceRule()).works([message])
    assert work.request is None
    ((row, reason),) = work.rejected
    assert reason.startswith("offset 7: ")
    assert len(row) < 13_000
