"""Commands print reports for people: names, units and times, without Python syntax."""

from collections.abc import Mapping
from typing import Any

import pytest
from fakes.signals import NOON, make_signal

from core.domain import FailureRisk, ModelRef, SignalKind
from flows.commands import console
from flows.commands.report_lines import rows
from models.lifecycle.event_matching import EventScore
from pipelines.learn.evaluate import EvaluationReport
from pipelines.learn.promote import KindPromotion, PromotionReport
from pipelines.learn.report import TrainReport
from pipelines.watch.deliver import DeliveryReport
from pipelines.watch.forecast import ForecastReport
from pipelines.watch.predict_failure import PredictReport
from pipelines.watch.sink_delivery import SinkReport

MODEL = ModelRef(name="acme.forecaster", version=3, run_id="4f2a")
BREACH = make_signal(kind=SignalKind.BREACH, summary="disk of checkout is full in 4 h")
RISK = FailureRisk(
    probability_by_horizon_s={3_600: 0.01, 21_600: 0.6}, when=None, likely_type="disk_full", factors=()
)
SCORE = EventScore(signals=4, incidents=3, precision=0.75, recall=1.0, f1=0.857, median_lead_s=5_400.0)
LATE = EventScore(signals=0, incidents=3, precision=None, recall=0.0, f1=None, median_lead_s=-600.0)
MET: dict[str, Any] = {"series": 7, "signals": (BREACH,), "withdrawn": (), "watched": 0}


def printed(capsys: pytest.CaptureFixture[str], report: Any) -> str:
    console.out.width = 200
    console.show(report, as_json=False)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("report", "lines"),
    [
        (
            ForecastReport(model=MODEL, at=NOON, skipped={"shop/cpu": "fewer than two values"}, **MET),
            {
                "model": "acme.forecaster version 3, run 4f2a",
                "at": "2026-03-02 12:00 UTC",
                "signals": "s1 warning: disk of checkout is full in 4 h",
                "withdrawn": "-",
                "skipped shop/cpu": "fewer than two values",
            },
        ),
        (
            PredictReport(
                at=NOON, model=MODEL, risks={"cart": RISK}, signals=(), new=1, updated=0, withdrawn=0
            ),
            {"risks cart": "1% within 1 h, 60% within 6 h, likely disk full"},
        ),
        (
            EvaluationReport(start=NOON, end=NOON, overall=SCORE, by_kind={"failure_risk": LATE}),
            {
                "overall": "4 signals, 3 incidents: precision 0.75, recall 1.00, F1 0.86, "
                "median 1 h 30 min before the incident",
                "by kind failure risk": "0 signals, 3 incidents: recall 0.00, median 10 min after the incident",
            },
        ),
        (
            PromotionReport(
                by_kind={
                    "detector": KindPromotion(challenger=MODEL, promoted=False, reason="no better"),
                    "failure": KindPromotion(challenger=None, promoted=False, reason="there is none"),
                }
            ),
            {
                "by kind detector": "version 3 not promoted: no better",
                "by kind failure": "not promoted: there is none",
            },
        ),
        (
            DeliveryReport(
                enqueued=1_200, sinks={"slack": SinkReport(delivered=3, sent=1, failed=2, error="429")}
            ),
            {"enqueued": "1,200", "sinks slack": "3 delivered (1 posted), 2 failed: 429"},
        ),
        (
            TrainReport(model=MODEL, trained=20, skipped={}, metrics={"coverage_80": 0.80314, "mase": 1}),
            {"skipped": "-", "metrics": "coverage 80 0.8031, mase 1"},
        ),
    ],
)
def test_a_report_is_printed_as_text(
    capsys: pytest.CaptureFixture[str], report: object, lines: Mapping[str, str]
) -> None:
    printed_rows = dict(rows(report))
    assert {name: printed_rows[name] for name in lines} == lines
    text = printed(capsys, report)
    assert not any(of_python in text for of_python in ("datetime", "Signal(", "{'", "<", "None"))


def test_the_figures_of_one_item_are_on_one_line_without_missing_ones() -> None:
    models = {
        "auto_ets": {"mase": 0.76, "coverage": {}, "owa": None},
        "ours": {"mase": 0.5, "coverage": {80: 0.79}},
    }
    assert list(rows({"models": models, "winners": {}})) == [
        ("models auto ets", "mase 0.76"),
        ("models ours", "mase 0.5, coverage 80 0.79"),
        ("winners", "-"),
    ]


def test_a_list_has_its_name_before_the_first_line_only() -> None:
    assert list(rows({"applied": ("0001", "0002"), "pending": []})) == [
        ("applied", "0001"),
        ("", "0002"),
        ("pending", "-"),
    ]


def test_brackets_in_a_name_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """In the markup of Rich, `[/tmp]` would close a style that was never opened."""
    assert "[/tmp] [red]" in printed(capsys, {"mount": "[/tmp] [red]"})
