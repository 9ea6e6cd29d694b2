"""`forewarn feedback` and `forewarn signals feedback`: what people think of diagnoses and signals."""

import getpass
from enum import StrEnum
from typing import Annotated

import typer

from core.diagnosis import FeedbackValue
from core.errors import InputError
from flows.commands.console import TenantOption, out, settings_for

ByOption = Annotated[
    str | None,
    typer.Option("--by", help="Your name. Default: your login name.", show_default=False, metavar="NAME"),
]
NoteOption = Annotated[str, typer.Option("--note", help="Why you think so.", metavar="TEXT")]


class SignalFeedback(StrEnum):
    """Feedback about a signal."""

    TRUE_POSITIVE = FeedbackValue.TRUE_POSITIVE
    FALSE_POSITIVE = FeedbackValue.FALSE_POSITIVE


class HypothesisFeedback(StrEnum):
    """Feedback about a hypothesis or a diagnosis."""

    ACCEPTED = FeedbackValue.ACCEPTED
    REJECTED = FeedbackValue.REJECTED


def feedback(
    subject_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The id of a hypothesis or a diagnosis, or the beginning of the id."
        ),
    ],
    value: Annotated[HypothesisFeedback, typer.Argument(help="Was this the cause?")],
    by: ByOption = None,
    note: NoteOption = "",
    tenant: TenantOption = None,
) -> None:
    """Accept or reject a hypothesis. Later diagnoses take this into account."""
    from pipelines.operate.feedback import hypothesis_feedback
    from pipelines.wiring import open_platform

    with open_platform(settings_for(tenant)) as platform:
        subject = hypothesis_feedback(
            platform, subject_id, FeedbackValue(value), by=by or getpass.getuser(), note=note
        )
    out.print(f"stored: {value}: {subject.statement}", soft_wrap=True)


def feedback_on_signal(
    signal_id: Annotated[
        str, typer.Argument(metavar="ID", help="The id of the signal, or the beginning of the id.")
    ],
    value: Annotated[SignalFeedback, typer.Argument(help="Was something really wrong?")],
    by: ByOption = None,
    note: NoteOption = "",
    tenant: TenantOption = None,
) -> None:
    """Give feedback about a signal.

    Training leaves out the time of confirmed anomalies. Diagnoses ignore false positives.
    """
    _store(signal_id, FeedbackValue(value), by=by, note=note, tenant=tenant)


def mark(
    signal_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the signal.")],
    value: Annotated[str, typer.Argument(help="true or false.")],
    note: NoteOption = "",
    tenant: TenantOption = None,
) -> None:
    """Give feedback about a signal, under the old names of command and values."""
    values = {"true": FeedbackValue.TRUE_POSITIVE, "false": FeedbackValue.FALSE_POSITIVE}
    if value not in values:
        raise InputError(f"feedback is true or false, got {value!r}")
    _store(signal_id, values[value], by=None, note=note, tenant=tenant)


def _store(signal_id: str, value: FeedbackValue, *, by: str | None, note: str, tenant: str | None) -> None:
    from pipelines.operate.feedback import signal_feedback
    from pipelines.wiring import open_platform

    with open_platform(settings_for(tenant)) as platform:
        signal = signal_feedback(platform, signal_id, value, by=by or getpass.getuser(), note=note)
    out.print(f"stored: {value}: {signal.summary}", soft_wrap=True)
