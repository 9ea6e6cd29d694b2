"""Feedback in the current form, in the form of the previous release, and on subjects that do not exist."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from fakes.platform import platform_of
from fakes.ports import FakeStore, unsupported
from fakes.serving import FakeRegistry
from fakes.signals import make_signal

from core.clock import FixedClock
from core.counts import SignalCounts
from core.diagnosis import (
    CauseKind,
    Diagnosis,
    DiagnosisRecord,
    DiagnosisRepository,
    Feedback,
    Hypothesis,
    PolicyDecision,
    ScoredHypothesis,
)
from core.domain import Signal
from core.errors import NotFoundError
from core.ports import FeedbackRepository, SignalRepository
from serving.contract.deprecated import deprecation_headers
from serving.contract.requests import FeedbackRequest
from serving.endpoints.feedback import store_feedback
from serving.state.loaded_models import LoadedModels
from serving.state.tenants import TenantContext

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SIGNAL = make_signal("5" * 32)
HYPOTHESIS = Hypothesis(tenant="t", service="checkout", cause=CauseKind.DEPLOY, statement="bad deploy")
SCORED = ScoredHypothesis(hypothesis=HYPOTHESIS, confidence=0.8, uncertainty=0.1, factors=())
RECORD = DiagnosisRecord(
    tenant="t",
    incident_id="i1",
    service="checkout",
    made_at=NOW,
    signal_ids=(SIGNAL.signal_id,),
    diagnosis=Diagnosis(decision=PolicyDecision.SHOW, reason="", ranked=(SCORED,), shown=(SCORED,)),
)


class OneSignal(SignalRepository):
    def upsert(self, signals: Sequence[Signal]) -> tuple[int, int]:
        unsupported(self, "upsert")

    def get(self, signal_id: str) -> Signal:
        if not SIGNAL.signal_id.startswith(signal_id):
            raise NotFoundError(f"no signal {signal_id}")
        return SIGNAL

    def find(self, **filters: object) -> list[Signal]:
        unsupported(self, "find")

    def counts(self, since: datetime) -> SignalCounts:
        unsupported(self, "counts")

    def unfinished(self) -> list[Signal]:
        unsupported(self, "unfinished")


class OneDiagnosis(DiagnosisRepository):
    def add(self, records: Iterable[DiagnosisRecord]) -> int:
        unsupported(self, "add")

    def of_signals(self, signal_ids: Collection[str], *, until: datetime) -> Sequence[DiagnosisRecord]:
        unsupported(self, "of_signals")

    def causes(self, subject_ids: Collection[str]) -> Mapping[str, CauseKind]:
        unsupported(self, "causes")

    def list(self, **filters: object) -> list[DiagnosisRecord]:
        return [RECORD]


class StoredFeedback(FeedbackRepository):
    def __init__(self) -> None:
        self.stored: list[Feedback] = []

    def add(self, feedback: Iterable[Feedback]) -> int:
        self.stored += feedback
        return len(self.stored)

    def list(self, subjects: Sequence[str] | None = None) -> list[Feedback]:
        unsupported(self, "list")


def give(**body: Any) -> tuple[Feedback, dict[str, Any], dict[str, str]]:
    """The stored feedback, the response, and the deprecation headers."""
    feedback = StoredFeedback()
    store = FakeStore("t", signals=OneSignal(), diagnoses=OneDiagnosis(), feedback=feedback)
    platform = platform_of(store, clock=FixedClock(NOW))
    context = TenantContext(platform, LoadedModels(FakeRegistry(), retry_s=1))
    request = FeedbackRequest.model_validate(body)
    response = store_feedback(context, request)
    (stored,) = feedback.stored
    shown = {"subject_id": response.subject_id, "value": response.value, "signal_id": response.signal_id}
    return stored, shown, deprecation_headers(request)


def feedback_on(subject_id: str, value: Any, by: str, note: str) -> Feedback:
    return Feedback(tenant="t", subject_id=subject_id, value=value, at=NOW, by=by, note=note)


@pytest.mark.parametrize("value", ["true_positive", "false_positive"])
def test_feedback_on_a_signal(value: str) -> None:
    feedback, response, headers = give(signal_id="5555", value=value, by="ada", note="load test")
    assert feedback == feedback_on(SIGNAL.signal_id, value, "ada", "load test")
    assert response == {"subject_id": SIGNAL.signal_id, "value": value, "signal_id": "5555"}
    assert headers == {}


@pytest.mark.parametrize("subject_id", [HYPOTHESIS.hypothesis_id, RECORD.diagnosis_id])
@pytest.mark.parametrize("value", ["accepted", "rejected"])
def test_feedback_on_a_hypothesis_or_a_diagnosis(subject_id: str, value: str) -> None:
    feedback, response, headers = give(subject_id=subject_id, value=value, by="ada", note="")
    assert feedback == feedback_on(subject_id, value, "ada", "")
    assert response == {"subject_id": subject_id, "value": value, "signal_id": None}
    assert headers == {}


@pytest.mark.parametrize(("real", "value"), [(True, "true_positive"), (False, "false_positive")])
def test_the_old_form_still_works_and_is_marked_as_deprecated(real: bool, value: str) -> None:
    feedback, response, headers = give(signal_id=SIGNAL.signal_id, real=real, who="ada", note="known")
    assert feedback == feedback_on(SIGNAL.signal_id, value, "ada", "known")
    assert response["signal_id"] == SIGNAL.signal_id
    assert headers["Deprecation"].startswith("@")
    assert "use value" in headers["Warning"]


def test_the_old_form_needs_no_name() -> None:
    feedback, _, _ = give(signal_id=SIGNAL.signal_id, real=True)
    assert feedback.by == "api"


@pytest.mark.parametrize(
    "body",
    [
        {"signal_id": "66", "value": "true_positive", "by": "ada"},
        {"signal_id": "66", "real": True},
        {"subject_id": "66", "value": "accepted", "by": "ada"},
        {"subject_id": SIGNAL.signal_id, "value": "accepted", "by": "ada"},
    ],
)
def test_an_unknown_subject_is_not_found(body: dict[str, Any]) -> None:
    with pytest.raises(NotFoundError):
        give(**body)
