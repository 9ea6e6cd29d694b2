from typing import Any

import pytest

from core.settings import Settings
from pipelines.sinks.configured import configured_sinks

EVERYTHING = {
    "webhook_url": "http://hook",
    "alertmanager_url": "http://alerts",
    "slack_webhook_url": "http://slack",
    "pagerduty_routing_key": "key",
}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, []),
        (EVERYTHING, ["webhook", "alertmanager", "slack", "pagerduty"]),
        ({"slack_webhook_url": "http://slack"}, ["slack"]),
    ],
)
def test_there_is_a_sink_for_each_receiver_that_is_set(given: dict[str, Any], names: list[str]) -> None:
    settings = Settings(_env_file=None, **given)
    assert [sink.name for sink in configured_sinks(settings)] == names
