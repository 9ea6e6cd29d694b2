"""Turns a report into lines of text for people: one line for each field or item."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import singledispatch
from typing import Any

from core.domain import FailureRisk, ModelRef, Signal, TimeRange
from core.formatting import format_duration, format_moment, format_time_range
from models.lifecycle.event_matching import EventScore
from models.words.page import risk_in_words, spaced
from pipelines.learn.promote import KindPromotion
from pipelines.watch.sink_delivery import SinkReport

#: So many digits of an id are shown. Commands accept the beginning of an id.
ID_DIGITS = 12


def rows(report: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name and line of each field. A list has a line for each item; only the first one has the name."""
    fields = _fields(report)
    for key, value in fields.items():
        name = f"{prefix}{spaced(key)}"
        if (line := line_of(value)) is not None:
            yield name, line
        elif isinstance(value, (list, tuple, set, frozenset)):
            lines = [line_of(item) or str(item) for item in value]
            yield from zip([name, *[""] * len(lines)], lines or ["-"], strict=False)
        elif not _is_group(value) and (figures := _figures(value)):
            yield name, ", ".join(f"{label} {line_of(figure)}" for label, figure in figures)
        elif _fields(value):
            yield from rows(value, f"{name} ")
        else:
            yield name, "-"


def _fields(report: Any) -> Mapping[str, Any]:
    if dataclasses.is_dataclass(report):
        return {field.name: getattr(report, field.name) for field in dataclasses.fields(report)}
    return report if isinstance(report, Mapping) else {}


def _is_group(value: Any) -> bool:
    """Whether each part has parts of its own, and therefore its own line."""
    return all(_fields(one) for one in _fields(value).values())


def _figures(value: Any, prefix: str = "") -> list[tuple[str, float]]:
    """The numbers in `value`, without missing ones, if it contains only numbers; else nothing."""
    found: list[tuple[str, float]] = []
    for key, one in _fields(value).items():
        name = f"{prefix}{spaced(key)}"
        if one is None or one == {}:
            continue
        if isinstance(one, (int, float)):
            found += [] if math.isnan(one) else [(name, one)]
        elif inner := _figures(one, f"{name} "):
            found += inner
        else:
            return []
    return found


@singledispatch
def line_of(value: Any) -> str | None:
    """One line of text; null if `value` has parts that need their own lines."""
    has_parts = isinstance(value, (Mapping, list, tuple, set, frozenset)) or dataclasses.is_dataclass(value)
    return None if has_parts else str(value)


@line_of.register
def _(value: None) -> str:
    return "-"


@line_of.register
def _(value: bool) -> str:
    return "yes" if value else "no"


@line_of.register
def _(value: int) -> str:
    return f"{value:,}"


@line_of.register
def _(value: float) -> str:
    return f"{value:.4g}"


@line_of.register
def _(value: datetime) -> str:
    return format_moment(value)


@line_of.register
def _(value: ModelRef) -> str:
    return f"{value.name} version {value.version}, run {value.run_id}"


@line_of.register
def _(value: Signal) -> str:
    return f"{value.signal_id[:ID_DIGITS]} {value.severity}: {value.summary}"


@line_of.register
def _(value: TimeRange) -> str:
    return format_time_range(value)


@line_of.register
def _(value: FailureRisk) -> str:
    return risk_in_words(value)


@line_of.register
def _(value: EventScore) -> str:
    shares = {"precision": value.precision, "recall": value.recall, "F1": value.f1}
    figures = ", ".join(f"{name} {share:.2f}" for name, share in shares.items() if share is not None)
    lead = value.median_lead_s
    if lead is not None:
        figures += f", median {format_duration(abs(lead))} {'before' if lead >= 0 else 'after'} the incident"
    return f"{value.signals} signals, {value.incidents} incidents" + (f": {figures}" if figures else "")


@line_of.register
def _(value: KindPromotion) -> str:
    version = "" if value.challenger is None else f"version {value.challenger.version} "
    return f"{version}{'promoted' if value.promoted else 'not promoted'}: {value.reason}"


@line_of.register
def _(value: SinkReport) -> str:
    counts = f"{value.delivered} delivered ({value.sent} posted), {value.failed} failed"
    counts += f", {value.given_up} given up" if value.given_up else ""
    return f"{counts}: {value.error}" if value.error else counts


def not_done(reports: Mapping[str, Any]) -> Iterator[str]:
    """The steps that were skipped and the models that were not promoted, with the reasons."""
    from pipelines.learn.promote import PromotionReport
    from pipelines.steps import Skipped

    for step, report in reports.items():
        if isinstance(report, Skipped):
            yield f"{step}: skipped: {report.reason}"
        elif isinstance(report, PromotionReport):
            for kind, result in report.by_kind.items():
                if result.challenger is not None and not result.promoted:
                    yield f"{kind} version {result.challenger.version}: not promoted: {result.reason}"
