"""Pushes of Loki: both encodings give equal lines, what is bad costs no good line, and nothing breaks the reader."""

import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from fakes.loki import Streams, json_push, protobuf_push
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import InputError
from core.service_names import ServiceRule
from pipelines.sources.log_lines import LogLine, LogRequest
from pipelines.sources.loki_push import labels_in, read_json_push, read_protobuf_push

RULE = ServiceRule()
AT = 1_769_860_800_000_000_007
TEXTS = st.sampled_from(["", "shop", "ERROR x", "level=warn", 'a "quoted" \\ text', "line\nbreak", "ümlaut"])
LABELS = st.dictionaries(st.sampled_from(["app", "level", "job", "x"]), TEXTS, max_size=3)
STREAMS = st.lists(
    st.tuples(LABELS, st.lists(st.tuples(st.integers(1, 2**62), TEXTS, LABELS), max_size=3)),
    max_size=3,
)


def read_protobuf(streams: Streams) -> LogRequest:
    return read_protobuf_push(protobuf_push(streams), RULE)


def read_json(streams: Streams) -> LogRequest:
    return read_json_push(json_push(streams), RULE)


@pytest.mark.parametrize("read", [read_protobuf, read_json], ids=["protobuf", "json"])
def test_the_level_comes_from_the_metadata_else_from_the_labels_else_from_the_text(
    read: Callable[[Streams], LogRequest],
) -> None:
    found = read(
        [
            ({"app": "shop", "level": "info"}, [(AT, "x", {}), (AT, "x", {"detected_level": "error"})]),
            ({"job": "cron", "filename": "/var/log/cron"}, [(AT, "WARN x", {})]),
            ({"x": "y"}, [(AT, "x", {})]),
        ]
    )
    assert found.lines == [
        LogLine("shop", AT, "info", "x"),
        LogLine("shop", AT, "error", "x"),
        LogLine("cron", AT, "warning", "WARN x"),
        LogLine("unknown", AT, "unknown", "x"),
    ]


@settings(max_examples=60)
@given(STREAMS)
def test_both_encodings_give_equal_lines(streams: Streams) -> None:
    if streams:
        assert read_protobuf(streams).lines == read_json(streams).lines


@settings(max_examples=60)
@given(st.binary(max_size=300), st.integers(0, 300), st.binary(max_size=3))
def test_whatever_comes_is_taken_or_refused_but_never_breaks(body: bytes, at: int, cut: bytes) -> None:
    good: Streams = [({"app": "shop"}, [(AT, "ERROR x", {"level": "info"}), (AT, "y", {})])]
    for whole, read in ((protobuf_push(good), read_protobuf_push), (json_push(good), read_json_push)):
        for one in (body, whole[:at] + cut + whole[at:], whole[:at] + cut + whole[at + len(cut) :]):
            with suppress(InputError):
                read(one, RULE)


GOOD = {"stream": {"app": "shop"}, "values": [[str(AT), "x"]]}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (7, "no list of values"),
        ({"stream": {"app": 7}, "values": []}, "not an object of texts"),
        ({"stream": {"app": "a\0"}, "values": []}, "control characters"),
        ({"stream": {}, "values": ["password=hunter2"]}, "not a time and a text"),
        ({"stream": {}, "values": [[AT, "password=hunter2"]]}, "not a text of nanoseconds"),
        ({"stream": {}, "values": [["1.5", "x"]]}, "not a text of nanoseconds"),
        ({"stream": {}, "values": [[str(AT), "x", 7]]}, "not an object of texts"),
    ],
)
def test_what_is_bad_costs_no_good_line(bad: object, reason: str) -> None:
    found = read_json_push(json.dumps({"streams": [bad, GOOD]}).encode(), RULE)
    assert (len(found.lines), found.rejected_lines) == (1, 1)
    assert reason in found.rejected[0][1]
    assert "hunter2" not in str(found.rejected)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "no list of streams"),
        (b'{"streams": {}}', "no list of streams"),
        (b'{"streams": [' + b"1," * 500_000 + b"1]}", "more than 500000 values"),
    ],
)
def test_a_body_that_is_no_push_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_json_push(body, RULE)
    with pytest.raises(InputError):
        read_protobuf_push(body, RULE)


@pytest.mark.parametrize("text", ["", "app", '{app="x}', "{app=x}", '{="x"}', '{app="x" level="y"}'])
def test_labels_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="its labels"):
        list(labels_in(text))
