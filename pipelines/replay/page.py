"""The report of a replay as one HTML page with plots, which needs no other file."""

import io
from collections import Counter
from collections.abc import Sequence
from datetime import date
from html import escape
from typing import TYPE_CHECKING

from core.durations import DAY
from core.formatting import format_moment
from models.lifecycle.replay_figures import first_messages
from models.lifecycle.replay_records import CycleRecord
from models.lifecycle.replay_words import figure_lines, outcome_lines
from pipelines.plots.breach_and_capacity import days_of, figure_of
from pipelines.replay.report import ReplayReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours of incidents, of alerts that are about one, of other alerts, and of plain threshold rules.
INCIDENT, TRUE, FALSE, RULE = "#c23030", "#2f855a", "#d9822b", "#9fb3c8"
#: So many services have a line in the plot of the time; those with the most alerts.
MOST_SERVICES = 30
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;color:#1f2933;max-width:1000px;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em 1em .2em 0;text-align:left;vertical-align:top}"
    "svg{max-width:100%;height:auto}.false{color:#a65a00}"
)


def replay_page(report: ReplayReport, cycles: Sequence[CycleRecord]) -> str:
    """The page.

    Args:
        cycles: of the replay, in their order.
    Raises:
        ConfigurationError: Matplotlib is not installed.
    """
    plan, figures = report.plan, report.figures
    title = f"Replay {plan.name}"
    span = f"{format_moment(plan.start)} to {format_moment(plan.end)}, tenant {plan.tenant}"
    if not report.is_complete:
        span += f"; it has run until {format_moment(report.until)}"
    false = frozenset(figures.false_alerts)
    messages = [
        (
            format_moment(one.at),
            "ended" if one.ended_at is not None else str(one.severity),
            one.text + (" (no incident)" if one.alert_id in false and one.ended_at is None else ""),
        )
        for one in report.messages
    ]
    parts = [
        f"<h1>{escape(title)}</h1><p>{escape(span)}</p>",
        _section("When people would have heard what", _plot(_timeline(report))),
        _section("Alerts a day", _plot(_alerts_a_day(report))),
        _section("Figures", _table(figure_lines(figures))),
        _section("True incidents", _table(outcome_lines(figures.outcomes))),
        _section("Messages", _table(messages)),
        _section("Cost of a cycle", _plot(_cost(cycles))),
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>{content}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "<p>none</p>"
    lines = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _plot(figure: "Figure") -> str:
    """The figure as SVG within HTML."""
    file = io.StringIO()
    # Without a date, so that the same replay gives the same page.
    figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def _timeline(report: ReplayReport) -> "Figure":
    """A line for each service: its true incidents as bars, and its alerts as marks."""
    begins, outcomes = first_messages(report.messages), report.figures.outcomes
    heard = Counter([*(one.service for one in begins), *(one.service for one in outcomes)])
    services = sorted(service for service, _ in heard.most_common(MOST_SERVICES))
    places = {service: len(services) - number for number, service in enumerate(services)}
    figure = figure_of((10, 1.2 + 0.28 * max(len(services), 1)))
    axes = figure.add_subplot()
    shown = [one for one in outcomes if one.service in places]
    starts, lines = days_of([one.start for one in shown]), [places[one.service] for one in shown]
    axes.plot(starts, lines, "|", color=INCIDENT, markersize=14, markeredgewidth=3, label="incident")
    false = frozenset(report.figures.false_alerts)
    for is_false, colour, label in ((False, TRUE, "alert about one"), (True, FALSE, "other alert")):
        mine = [one for one in begins if (one.alert_id in false) is is_false and one.service in places]
        axes.plot(
            days_of([one.at for one in mine]),
            [places[one.service] for one in mine],
            "o",
            color=colour,
            markersize=5,
            label=label,
        )
    axes.set_yticks(list(places.values()), list(places))
    axes.set_xlim(*days_of([report.plan.start, report.until]))
    axes.xaxis_date()
    _legend(axes)
    return figure


def _alerts_a_day(report: ReplayReport) -> "Figure":
    """Alerts of each day: those about an incident and the others."""
    from matplotlib.ticker import MaxNLocator

    false = frozenset(report.figures.false_alerts)
    true_by_day: Counter[date] = Counter()
    false_by_day: Counter[date] = Counter()
    for one in first_messages(report.messages):
        (false_by_day if one.alert_id in false else true_by_day)[one.at.date()] += 1
    first = report.plan.start.replace(hour=0, minute=0, second=0, microsecond=0)
    days = [first + number * DAY for number in range((report.until - first) // DAY + 1)]
    right, wrong = ([count[day.date()] for day in days] for count in (true_by_day, false_by_day))
    figure = figure_of((10, 2.6))
    axes = figure.add_subplot()
    axes.bar(days_of(days), right, color=TRUE, label="about an incident")
    axes.bar(days_of(days), wrong, bottom=right, color=FALSE, label="others")
    axes.xaxis_date()
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)
    return figure


def _cost(cycles: Sequence[CycleRecord]) -> "Figure":
    """Seconds and MiB of each cycle."""
    figure = figure_of((10, 2.6))
    seconds, memory = figure.subplots(1, 2)
    times = days_of([one.at for one in cycles])
    for axes, values, label in (
        (seconds, [one.seconds for one in cycles], "seconds"),
        (memory, [one.mib for one in cycles], "MiB"),
    ):
        axes.plot(times, values, ".", color=RULE, markersize=3)
        axes.set_ylim(bottom=0)
        axes.xaxis_date()
        axes.set_title(label)
        axes.tick_params(axis="x", labelrotation=30)
    return figure


def _legend(axes: "Axes") -> None:
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, frameon=False)
