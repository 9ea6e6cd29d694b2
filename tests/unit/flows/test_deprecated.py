"""Old names of commands and options keep working for one release, and print a notice on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from fakes.signals import NOON, make_signal
from typer.testing import CliRunner, Result

from core.clock import FixedClock
from core.diagnosis import Feedback, FeedbackValue
from core.domain import FilterResult, Signal
from flows.cli import app
from flows.commands import signals, watching
from pipelines.watch.diagnose import DiagnosisReport

SIGNAL = make_signal(tenant="acme")


class FakeSignals:
    """Holds one signal and records which signals were asked for."""

    def __init__(self) -> None:
        self.suppressed: list[bool] = []

    def find(self, *, suppressed: bool, **_rest: Any) -> list[Signal]:
        self.suppressed.append(suppressed)
        return []

    def get(self, _signal_id: str) -> Signal:
        return SIGNAL


class FakeFeedback:
    def __init__(self) -> None:
        self.stored: list[Feedback] = []

    def add(self, feedback: list[Feedback]) -> int:
        self.stored += feedback
        return len(feedback)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The store of the platform that the commands open."""
    store = SimpleNamespace(signals=FakeSignals(), feedback=FakeFeedback())

    @contextmanager
    def open_platform(*_arguments: Any, **_options: Any) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(store=store, tenant="acme", clock=FixedClock(NOON))

    monkeypatch.setattr("pipelines.wiring.open_platform", open_platform)
    monkeypatch.setattr("getpass.getuser", lambda: "kim")
    return store


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def notice(old: str, new: str) -> str:
    return f"deprecated: `{old}` ends with the next release; use `{new}`\n"


@pytest.mark.parametrize(
    ("name", "errors"), [("detect", ""), ("score", notice("forewarn score", "forewarn detect"))]
)
def test_detect_has_its_old_name(monkeypatch: pytest.MonkeyPatch, name: str, errors: str) -> None:
    calls: list[dict[str, Any]] = []
    monkeypatch.setattr(watching, "run_step", lambda function, **options: calls.append(options))
    result = run(name, "--since-h", "2", "--tenant", "acme", "--at", "2026-03-02")
    assert result.stderr == errors
    assert len(calls) == 1
    assert calls[0]["tenant"] == "acme"
    assert f"{calls[0]['start']:%Y-%m-%d %H:%M}" == "2026-03-01 22:00"


@pytest.mark.parametrize(
    ("name", "errors"),
    [(["diagnose"], ""), (["hypotheses", "score"], notice("forewarn hypotheses score", "forewarn diagnose"))],
)
def test_diagnose_has_its_old_name(monkeypatch: pytest.MonkeyPatch, name: list[str], errors: str) -> None:
    monkeypatch.setattr(watching, "report_of", lambda *_, **__: DiagnosisReport(records=(), new=0))
    result = run(*name)
    assert result.stderr == errors
    assert "0 open incidents" in result.stdout


@pytest.mark.parametrize(
    ("options", "suppressed", "errors"),
    [
        ([], False, ""),
        (["--suppressed"], True, ""),
        (["--stopped"], True, notice("--stopped", "--suppressed")),
    ],
)
def test_suppressed_signals_have_their_old_option(
    store: SimpleNamespace, options: list[str], suppressed: bool, errors: str
) -> None:
    result = run("signals", "list", *options)
    assert result.stderr == errors
    assert store.signals.suppressed == [suppressed]


@pytest.mark.parametrize(
    ("arguments", "value", "by"),
    [
        (["feedback", "s1", "true_positive"], FeedbackValue.TRUE_POSITIVE, "kim"),
        (["feedback", "s1", "false_positive", "--by", "lee"], FeedbackValue.FALSE_POSITIVE, "lee"),
        (["mark", "s1", "true"], FeedbackValue.TRUE_POSITIVE, "kim"),
        (["mark", "s1", "false"], FeedbackValue.FALSE_POSITIVE, "kim"),
    ],
)
def test_feedback_on_a_signal_has_its_old_name_and_values(
    store: SimpleNamespace, arguments: list[str], value: FeedbackValue, by: str
) -> None:
    result = run("signals", *arguments, "--note", "a real outage")
    assert result.stderr.startswith("deprecated: `forewarn signals mark") == (arguments[0] == "mark")
    assert store.feedback.stored == [
        Feedback(tenant="acme", subject_id="s1", value=value, at=NOON, by=by, note="a real outage")
    ]
    assert result.stdout == f"stored: {value}: {SIGNAL.summary}\n"


@pytest.mark.parametrize("group", [[], ["signals"], ["signals", "list"]])
def test_help_does_not_list_old_names(group: list[str]) -> None:
    lines = run(*group, "--help").stdout.splitlines()
    names = {line.split()[1] for line in lines if line.startswith("│") and len(line.split()) > 1}
    assert names
    assert not names & {"score", "hypotheses", "mark", "--stopped"}


def test_the_table_of_suppressed_signals_names_the_filter() -> None:
    row = make_signal(filters=(FilterResult(name="alert budget", passed=False, reason="used up"),))
    cells = list(signals.signal_table([row]).columns[2].cells)
    assert cells == [f"{row.summary} (suppressed by: alert budget)"]
