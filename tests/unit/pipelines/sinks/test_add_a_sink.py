"""Follows the recipe "Add a sink" of CONTRIBUTING: one file, and one line in `SINKS`."""

from collections.abc import Sequence

import pytest
from fakes.signals import NOON, make_signal

from core.clock import FixedClock
from core.domain import Signal
from core.ports import SignalSink
from core.settings import Settings
from pipelines.sinks.alerts import Links, SinkSetup
from pipelines.sinks.configured import SINKS, configured_sinks


class PaperTape(SignalSink):
    """A toy sink: it prints one line for each signal on a tape."""

    name = "tape"

    def __init__(self, links: Links) -> None:
        self._links = links
        self.lines: list[str] = []

    @classmethod
    def configured(cls, setup: SinkSetup) -> SignalSink | None:
        return cls(setup.links) if setup.settings.runbook_url else None

    def send(self, signals: Sequence[Signal]) -> None:
        self.lines += [f"{signal.service}: {self._links.signal(signal)}" for signal in signals]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SINKS, "tape", PaperTape.configured)  # the line of the recipe


def test_a_registered_sink_is_built_from_the_settings_and_receives_signals() -> None:
    settings = Settings(_env_file=None, runbook_url="http://runbooks")
    (tape,) = configured_sinks(settings, FixedClock(NOON))
    assert isinstance(tape, PaperTape)
    tape.send([make_signal("s1"), make_signal("s2", service="cart")])
    console = settings.service_url
    assert tape.lines == [f"checkout: {console}/#signal=s1", f"cart: {console}/#signal=s2"]


def test_a_sink_that_the_settings_do_not_name_is_not_built() -> None:
    settings = Settings(_env_file=None, webhook_url="http://hook")
    assert [sink.name for sink in configured_sinks(settings)] == ["webhook"]
