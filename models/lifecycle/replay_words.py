"""The figures of a replay as lines for people: a name and a text each."""

from collections.abc import Sequence

from core.formatting import format_duration, format_moment
from models.lifecycle.replay_figures import BreachFigures, IncidentOutcome, ReplayFigures

Line = tuple[str, str]
_NOT_KNOWN = "-"
_NOTICED_BY = {"forewarn": "Forewarn", "threshold": "a threshold rule", "people": "people"}


def figure_lines(figures: ReplayFigures) -> list[Line]:
    """The figures as names and texts, always in the same order, so that two replays can be set side by side."""
    cost, lead = figures.cost, figures.median_lead_s
    closed = figures.longest_to_close_s
    return [
        ("true incidents", f"{figures.incidents} ({figures.truth})"),
        ("alerts to people", f"{figures.alerts}, {figures.alerts_per_week:.1f} a week"),
        ("of these on true incidents", share(figures.true_alerts)),
        ("alerts of plain threshold rules", f"{figures.threshold_alerts}"),
        ("fewer alerts than those", share(figures.fewer_than_thresholds)),
        ("signals a week", f"{figures.signals_per_week:.1f}"),
        ("incidents found", share(figures.found)),
        ("missed, of warning or above", f"{figures.missed}"),
        ("incidents predicted", share(figures.predicted)),
        ("with 30 min or more to act", share(figures.in_time)),
        ("median lead time", _NOT_KNOWN if lead is None else _lead(lead)),
        ("breaches predicted within 3 h", _breaches(figures.breaches)),
        *((f"  {metric}", _breaches(one)) for metric, one in figures.breaches_by_metric.items()),
        ("first hypothesis names the service", share(figures.named_first)),
        ("one of the first three does", share(figures.named_in_three)),
        ("alerts that flapped", f"{figures.flaps}"),
        ("signals closed within two cycles", share(figures.closed_in_time)),
        ("longest time to close", _NOT_KNOWN if closed is None else format_duration(closed)),
        ("alert budget used", share(figures.budget_used)),
        *(
            (
                f"failure risk within {format_duration(one.horizon_s)}",
                f"{one.mean_probability:.3f} predicted, {one.failed:.3f} failed, Brier score {one.brier:.3f}",
            )
            for one in figures.calibration
        ),
        (
            "time for the replay",
            f"{format_duration(cost.seconds)}, {format_duration(cost.learning_s)} of it to learn",
        ),
        (
            "seconds of a cycle",
            f"{cost.cycle_s:.2f} (at first {cost.first_cycle_s:.2f}, at last {cost.last_cycle_s:.2f})",
        ),
        ("MiB", f"{cost.first_mib:,.0f} at first, {cost.last_mib:,.0f} at last"),
    ]


def side_by_side(one: ReplayFigures, other: ReplayFigures) -> list[tuple[str, str, str]]:
    """The lines of two replays: name, text of the one, text of the other. A line that only one has is not left out."""
    first, second = dict(figure_lines(one)), dict(figure_lines(other))
    return [(name, first.get(name, _NOT_KNOWN), second.get(name, _NOT_KNOWN)) for name in {**first, **second}]


def outcome_lines(outcomes: Sequence[IncidentOutcome]) -> list[tuple[str, str, str, str]]:
    """For each true incident: its start, service and type, and who noticed it when."""
    return [
        (format_moment(one.start), one.service, f"{one.severity} {one.type}", _noticed(one))
        for one in outcomes
    ]


def share(value: float | None) -> str:
    """A share in per cent; "-" where there is none.

    Examples:
        >>> share(0.5), share(None)
        ('50 %', '-')
    """
    return _NOT_KNOWN if value is None else f"{100 * value:.0f} %"


def _noticed(one: IncidentOutcome) -> str:
    lead = "no alert" if one.lead_s is None else f"alert {_lead(one.lead_s)}"
    return f"{lead}; first noticed by {_NOTICED_BY[one.first_by]}"


def _lead(seconds: float) -> str:
    return f"{format_duration(abs(seconds))} {'before' if seconds >= 0 else 'after'}"


def _breaches(one: BreachFigures) -> str:
    precision, recall = share(one.precision), share(one.recall)
    return f"precision {precision} of {one.predictions}, recall {recall} of {one.breaches}"
