"""Compare two replays of the same time: what a change of models, settings or rules alters."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from core.errors import InputError
from models.lifecycle.replay_figures import first_messages
from models.lifecycle.replay_records import AlertMessage
from pipelines.common.tenant_platform import Platform
from pipelines.replay.plan import ReplayPlan
from pipelines.replay.report import ReplayReport, report_of_replay

#: An alert of the other replay so close is about the same.
_SAME_WITHIN = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two replays.

    Attributes:
        differences: what was set otherwise -> its value in the one and in the other.
        only_one, only_other: first messages of the alerts that the other replay does not have.
    """

    one: ReplayReport
    other: ReplayReport
    differences: Mapping[str, tuple[str, str]]
    only_one: tuple[AlertMessage, ...]
    only_other: tuple[AlertMessage, ...]


def compare_replays(live: Platform, one: str, other: str) -> Comparison:
    """Set two replays side by side.

    Raises:
        InputError: they replay different times.
    """
    first, second = (report_of_replay(live, name) for name in (one, other))
    if (first.plan.start, first.until) != (second.plan.start, second.until):
        raise InputError(
            f"{one!r} and {other!r} replay different times, so that their figures cannot be compared"
        )
    return Comparison(
        one=first,
        other=second,
        differences=_differences(first.plan, second.plan),
        only_one=_only(first, second),
        only_other=_only(second, first),
    )


def _differences(one: ReplayPlan, other: ReplayPlan) -> dict[str, tuple[str, str]]:
    plans = [
        {
            "every": f"{plan.every_s} s",
            "retrain": str(plan.retrain),
            "history": f"{plan.history_s} s",
            **plan.settings,
        }
        for plan in (one, other)
    ]
    names = dict.fromkeys([*plans[0], *plans[1]])
    both = {name: (plans[0].get(name, "default"), plans[1].get(name, "default")) for name in names}
    return {name: pair for name, pair in both.items() if pair[0] != pair[1]}


def _only(one: ReplayReport, other: ReplayReport) -> tuple[AlertMessage, ...]:
    """Alerts that have no counterpart: the same service and metric at about the same time."""
    theirs = first_messages(other.messages)
    return tuple(
        mine
        for mine in first_messages(one.messages)
        if not any(
            (mine.service, mine.metric) == (their.service, their.metric)
            and abs(mine.at - their.at) <= _SAME_WITHIN
            for their in theirs
        )
    )
