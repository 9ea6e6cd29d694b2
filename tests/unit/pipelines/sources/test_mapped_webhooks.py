"""JSON of any tool, read by a file of mappings."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.batch import Batch
from core.domain import EventKind, Severity
from core.errors import ConfigurationError
from pipelines.sources.webhook_formats.mapped import read_mappings, value_at
from pipelines.sources.webhook_formats.registered import parse_webhook
from pipelines.sources.webhook_formats.webhook_format import Webhook

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
Body = dict[str, Any]
ALARMS: Body = {
    "name": "beacon",
    "webhook": "alerts",
    "when": {"type": "alarm", "data.alerts": None},
    "entries": "$.data.alerts",
    "service": "labels['app.name']",
    "title": "rule.name",
    "severity": "level",
    "status": "state",
    "resolved": ["over"],
    "started": "opened",
    "ended": "closed",
}
ROLLOUTS: Body = {
    "name": "shipit",
    "webhook": "deploys",
    "when": {"rollout": None},
    "service": "rollout.apps[0]",
    "title": "=rollout",
    "url": "rollout.link",
    "version": "rollout.number",
    "kind": "=config_change",
    "started": "rollout.at",
}
ALARM: Body = {
    "labels": {"app.name": "checkout"},
    "rule": {"name": "Too many errors"},
    "level": "P1",
    "state": "on",
    "opened": "2026-03-02T12:00:00Z",
}


@pytest.fixture
def mappings(tmp_path: Path) -> Path:
    path = tmp_path / "mappings.yaml"
    path.write_text(yaml.safe_dump({"sources": [ALARMS, ROLLOUTS]}))
    return path


def parse(mappings: Path, body: object, webhook: Webhook = Webhook.ALERTS) -> Batch:
    return parse_webhook(webhook, body, "t", mapped=read_mappings(mappings))


def alarms(*entries: object) -> Body:
    return {"type": "alarm", "data": {"alerts": list(entries)}}


def test_an_alert_is_opened_and_closed(mappings: Path) -> None:
    over = ALARM | {"state": "Over", "closed": 1772454600}
    opened, closed = parse(mappings, alarms(ALARM, over)).incidents
    assert (opened.service, opened.type, opened.severity) == (
        "checkout",
        "Too many errors",
        Severity.CRITICAL,
    )
    assert (opened.start, opened.end) == (NOON, None)
    assert (closed.incident_id, closed.end) == (opened.incident_id, NOON + timedelta(minutes=30))


def test_an_alert_without_a_path_of_its_end_is_a_change(tmp_path: Path) -> None:
    path = tmp_path / "mappings.yaml"
    path.write_text(yaml.safe_dump({"sources": [{n: v for n, v in ALARMS.items() if n != "ended"}]}))
    changes = parse(path, alarms(ALARM, ALARM | {"state": "over"})).alert_changes
    assert [(one.firing, one.at) for one in changes] == [(True, NOON), (False, NOON)]


def test_a_deploy_takes_constants_numbers_and_a_link(mappings: Path) -> None:
    rollout = {"apps": ["checkout"], "number": 42, "at": NOON.timestamp(), "link": "https://x/42"}
    (event,) = parse(mappings, {"rollout": rollout}, Webhook.DEPLOYS).events
    assert (event.service, event.kind, event.at) == ("checkout", EventKind.CONFIG_CHANGE, NOON)
    assert (event.version, event.title) == ("42", "rollout https://x/42")


def test_a_described_source_comes_before_the_built_in_ones(mappings: Path) -> None:
    body = alarms(ALARM) | {"alerts": []}
    assert len(parse(mappings, body).incidents) == 1
    assert parse(mappings, {"alerts": []}).incidents == ()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"opened": "yesterday"}, "started"),
        ({"labels": {}}, "service"),
        ({"labels": "x"}, "service"),
        ({"rule": {"name": "a\0b"}}, "title"),
        ({"state": "over"}, "closed"),
    ],
)
def test_an_entry_that_cannot_be_read_is_a_dead_letter_and_the_others_are_taken(
    mappings: Path, change: Body, word: str
) -> None:
    batch = parse(mappings, alarms(ALARM | change, ALARM, None))
    assert len(batch.incidents) == 1
    assert batch.rejected is not None
    first, _ = batch.rejected["reason"]
    assert word in first


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"service": None}, "service"),
        ({"serviec": "x"}, "serviec"),
        ({"webhook": "events"}, "webhook"),
        ({"when": {}}, "when is empty"),
        ({"title": None}, "title is missing"),
        ({"status": None, "ended": None}, "status or ended is missing"),
        ({"kind": "=deploy"}, "kind has no meaning for alerts"),
        ({"title": "a..b"}, "is no path"),
        ({"title": "a[x]"}, "is no path"),
        ({"when": {"": 1}}, "is no path"),
    ],
)
def test_a_wrong_mapping_is_named_when_the_file_is_read(tmp_path: Path, changes: Body, text: str) -> None:
    path = tmp_path / "mappings.yaml"
    path.write_text(yaml.safe_dump({"sources": [ALARMS | changes]}))
    with pytest.raises(ConfigurationError, match=text):
        read_mappings(path)


@pytest.mark.parametrize("content", [None, "a: [", "x", "\xff"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "mappings.yaml"
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"FOREWARN_WEBHOOK_MAPPINGS: .*mappings\.yaml"):
        read_mappings(path)


@pytest.mark.parametrize(
    ("path", "value"),
    [("a.b", 1), ("$.a.b", 1), ("a['b']", 1), ("c[1].d", 2), ("c.1.d", 2), ("c[7]", None), ("a.b.c", None)],
)
def test_a_path_leads_to_a_value(path: str, value: object) -> None:
    assert value_at({"a": {"b": 1}, "c": [0, {"d": 2}]}, path) == value
