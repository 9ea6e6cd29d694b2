"""The lane names are stored: another name would send every signal again after an upgrade."""

from pipelines.watch.outbox import Lanes


def test_lanes_have_the_names_of_the_previous_release() -> None:
    lanes = Lanes("slack")
    assert (lanes.new, lanes.escalated, lanes.ended) == ("slack", "slack/worse", "slack/ended")
