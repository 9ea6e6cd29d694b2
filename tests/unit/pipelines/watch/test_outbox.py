"""The lane names are stored: another name would send every signal again after an upgrade."""

from core.outbox import DeliveryLane


def test_lanes_have_the_names_that_the_database_stores() -> None:
    assert [str(lane) for lane in DeliveryLane] == ["new", "escalated", "ended"]
