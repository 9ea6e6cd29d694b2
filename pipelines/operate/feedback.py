"""Feedback of people about signals, hypotheses and diagnoses."""

from dataclasses import dataclass

from core.diagnosis import Feedback, FeedbackValue
from core.domain import Signal
from core.errors import NotFoundError
from pipelines.common.tenant_platform import Platform


@dataclass(frozen=True, slots=True)
class Subject:
    """What feedback on a hypothesis or a diagnosis is about.

    Attributes:
        subject_id: the whole id.
        statement: of the hypothesis; of a diagnosis, that of its likeliest hypothesis.
    """

    subject_id: str
    statement: str


def signal_feedback(
    platform: Platform, signal_id: str, value: FeedbackValue, *, by: str, note: str
) -> Signal:
    """Store whether a signal was a true positive.

    Args:
        signal_id: the id, or its beginning.
    Returns:
        The signal.
    Raises:
        NotFoundError: no signal has this id, or several begin with it.
    """
    signal = platform.store.signals.get(signal_id)
    _add(platform, signal.signal_id, value, by=by, note=note)
    return signal


def hypothesis_feedback(
    platform: Platform, subject_id: str, value: FeedbackValue, *, by: str, note: str
) -> Subject:
    """Store whether people accept a hypothesis, or a diagnosis as a whole.

    Args:
        subject_id: the id of a stored hypothesis or diagnosis, or its beginning.
    Raises:
        NotFoundError: no hypothesis or diagnosis has this id, or several begin with it.
    """
    found: dict[str, str] = {}
    for record in platform.store.diagnoses.list():
        top = record.diagnosis.top
        found[record.diagnosis_id] = top.hypothesis.statement if top else "no hypothesis"
        for scored in record.diagnosis.ranked:
            found[scored.hypothesis.hypothesis_id] = scored.hypothesis.statement
    matching = [known for known in found if known.startswith(subject_id)]
    if not matching:
        raise NotFoundError(
            f"there is no hypothesis or diagnosis {subject_id!r}; `forewarn diagnose` lists ids"
        )
    if len(matching) > 1:
        raise NotFoundError(f"several hypotheses or diagnoses begin with {subject_id!r}; give more of the id")
    _add(platform, matching[0], value, by=by, note=note)
    return Subject(matching[0], found[matching[0]])


def _add(platform: Platform, subject_id: str, value: FeedbackValue, *, by: str, note: str) -> None:
    feedback = Feedback(
        tenant=platform.tenant, subject_id=subject_id, value=value, by=by, at=platform.clock.now(), note=note
    )
    platform.store.feedback.add([feedback])
