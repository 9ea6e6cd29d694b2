"""Feedback about signals and hypotheses is stored under their whole ids."""

from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.platform import platform_of
from fakes.signals import NOON, make_signal

from core.clock import FixedClock
from core.diagnosis import FeedbackValue
from core.errors import NotFoundError
from pipelines.common.tenant_platform import Platform
from pipelines.operate.feedback import Subject, hypothesis_feedback, signal_feedback
from pipelines.stores.store import Store
from pipelines.watch.diagnose import diagnose


@pytest.fixture
def platform(store: Store) -> Platform:
    """A platform with one open incident."""
    platform = platform_of(store, clock=FixedClock(NOON + timedelta(hours=1)))
    found = [make_signal("s1", deviation_sigma=4.0), make_signal("s2", minute=1, metric="errors")]
    store.signals.upsert([replace(signal, tenant=store.tenant) for signal in found])
    return platform


def test_feedback_about_a_signal_is_stored(platform: Platform) -> None:
    signal = signal_feedback(platform, "s1", FeedbackValue.FALSE_POSITIVE, by="kim", note="a test")
    assert signal.signal_id == "s1"
    stored = platform.store.feedback.list(["s1"])
    assert [(one.value, one.by, one.note) for one in stored] == [
        (FeedbackValue.FALSE_POSITIVE, "kim", "a test")
    ]
    with pytest.raises(NotFoundError, match="no signal 'nope'"):
        signal_feedback(platform, "nope", FeedbackValue.TRUE_POSITIVE, by="kim", note="")


def test_feedback_about_a_hypothesis_counts_in_the_next_diagnosis(platform: Platform) -> None:
    record = diagnose(platform).records[0]
    top = record.diagnosis.ranked[0].hypothesis
    subject = hypothesis_feedback(platform, top.hypothesis_id[:12], FeedbackValue.REJECTED, by="kim", note="")
    assert subject == Subject(top.hypothesis_id, top.statement)
    later = diagnose(platform).records[0].diagnosis.ranked
    same = next(one.hypothesis for one in later if one.hypothesis.hypothesis_id == top.hypothesis_id)
    assert (same.accepted, same.rejected) == (0, 1)


def test_a_diagnosis_is_accepted_by_its_own_id(platform: Platform) -> None:
    record = diagnose(platform).records[0]
    subject = hypothesis_feedback(platform, record.diagnosis_id, FeedbackValue.ACCEPTED, by="kim", note="")
    assert subject.statement == record.diagnosis.ranked[0].hypothesis.statement
    assert [one.subject_id for one in platform.store.feedback.list()] == [record.diagnosis_id]


@pytest.mark.parametrize(("subject_id", "message"), [("nope", "no hypothesis or diagnosis"), ("", "several")])
def test_an_unknown_or_ambiguous_id_is_refused(platform: Platform, subject_id: str, message: str) -> None:
    diagnose(platform)
    with pytest.raises(NotFoundError, match=message):
        hypothesis_feedback(platform, subject_id, FeedbackValue.ACCEPTED, by="kim", note="")
    assert platform.store.feedback.list() == []
