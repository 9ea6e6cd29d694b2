"""Breach signals: what maintenance disturbs wakes nobody, and what it fills does; who may be a cause of others.

Each example also runs with series that are bad when they are low.
"""

import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.domain import Band, Breach, Event, EventKind, ModelRef, Role, Series, Severity, Signal, TimeRange
from models.breach.cascade import MAX_LAG_S, CascadeModel, CascadeRate
from models.breach.growth import Growth
from models.breach.outlook import BreachPattern
from models.series.thresholds import is_upward
from models.signals.breach import BreachContext, SeriesOutlook, breach_signals, likely_cascades
from models.words.one_line import describe
from models.words.page import signal_page

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MODEL = ModelRef(name="forecaster", version=1, run_id="r")
DISK = Series(tenant="t", service="db", metric="disk_used_bytes", unit="bytes", role=Role.CAPACITY, limit=1e9)
SLOW = Series(
    tenant="t", service="db", metric="latency_seconds", unit="seconds", role=Role.LATENCY, slo_threshold=0.5
)
QUEUE = Series(tenant="t", service="db", metric="queue_depth", role=Role.SATURATION, slo_threshold=100.0)
ERRORS = Series(
    tenant="t", service="db", metric="error_ratio", unit="ratio", role=Role.ERRORS, slo_threshold=0.02
)
RATE = CascadeRate(
    cause_breaches=9, followed=9, own=True, share=0.95, lag_quantiles_s=(0.0, 60.0, 600.0, 1_200.0, 1_800.0)
)
#: The same series, bad when they are low.
LOW = {
    "DISK": replace(DISK, metric="disk_free_bytes", limit=0.0),
    "SLOW": replace(SLOW, metric="apdex", unit=""),
    "QUEUE": replace(QUEUE, metric="queue_slots_free"),
}
CAUSES = (DISK, SLOW, LOW["DISK"], LOW["SLOW"])
KNOWN = CascadeModel(by_kind={(one.metric, ERRORS.metric, False): RATE for one in CAUSES})


@pytest.fixture(params=[False, True], ids=["high is bad", "low is bad"], autouse=True)
def side(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, series in LOW.items() if request.param else ():
        monkeypatch.setattr(sys.modules[__name__], name, series)


def breach(probability: float, within_3h: float | None = None) -> Breach:
    """As likely within 3 h as within a day, unless told."""
    when = TimeRange(p10=NOW + HOUR, p50=NOW + 2 * HOUR, p90=NOW + 2.5 * HOUR)
    told = {10_800: probability if within_3h is None else within_3h, 86_400: probability}
    return Breach(
        threshold=1.0, probability=probability, horizon_s=86_400, when=when, probability_by_horizon_s=told
    )


def level_of(series: Series, level: float) -> float:
    """A level below or above the threshold of 1.0, as one on the same side, good or bad."""
    return level if is_upward(series) else 2.0 - level


def seen(
    series: Series,
    probability: float,
    *,
    pattern: BreachPattern = BreachPattern.FILL,
    impact_since: datetime | None = None,
) -> SeriesOutlook:
    return SeriesOutlook(
        series=series,
        pattern=pattern,
        breach=breach(probability),
        impact=breach(probability),
        impact_since=impact_since,
        growth=Growth(
            per_hour=1.0 if is_upward(series) else -1.0, span_s=3_600, usual_per_hour=0.0, weight=1.0
        ),
        level=level_of(series, 0.5),
        band=Band(expected=0.5, lower=0.4, upper=0.6),
    )


def window(start_h: float, end_h: float, service: str = "db") -> Event:
    at, until = NOW + start_h * HOUR, NOW + end_h * HOUR
    return Event(tenant="t", service=service, kind=EventKind.MAINTENANCE, at=at, until=until)


def signal_of(one: SeriesOutlook, *events: Event, known: Signal | None = None) -> Signal:
    before = {} if known is None else {one.series.series_id: known}
    context = BreachContext(now=NOW, cascades=CascadeModel(), events=events)
    [signal] = breach_signals({one.series.series_id: one}, before, MODEL, context)
    return signal


@pytest.mark.parametrize("name", ["SLOW", "QUEUE"])
@pytest.mark.parametrize("pattern", [BreachPattern.OVER, BreachPattern.FILL])
def test_what_maintenance_disturbs_is_kept_and_wakes_nobody(pattern: BreachPattern, name: str) -> None:
    one = seen(globals()[name], 1.0, pattern=pattern, impact_since=NOW - 0.2 * HOUR)
    assert signal_of(one, window(-1, 1)).suppressed_by == "unplanned"
    assert signal_of(one, window(-5, -2)).suppressed_by is None
    assert signal_of(one, window(-1, 1, service="other")).suppressed_by is None
    assert signal_of(one, window(-1, 1, service="*")).suppressed_by == "unplanned"


def test_what_people_know_of_does_not_vanish_in_maintenance() -> None:
    one = seen(SLOW, 1.0)
    assert signal_of(one, window(-1, 1), known=signal_of(one)).suppressed_by is None


def soon(
    probability: float, within_3h: float, *, pattern: BreachPattern = BreachPattern.FILL, level: float = 0.5
) -> SeriesOutlook:
    return replace(
        seen(SLOW, 0.0, pattern=pattern), breach=breach(probability, within_3h), level=level_of(SLOW, level)
    )


@pytest.mark.parametrize(
    ("probability", "within_3h", "severity"),
    [
        (0.95, 0.95, Severity.CRITICAL),
        (0.95, 0.82, Severity.CRITICAL),
        (0.95, 0.80, Severity.WARNING),
        (0.50, 0.49, Severity.CRITICAL),
        (0.46, 0.46, Severity.WARNING),
    ],
)
def test_critical_is_what_is_likely_and_sure_to_come_within_3_h_if_at_all(
    probability: float, within_3h: float, severity: Severity
) -> None:
    assert signal_of(soon(probability, within_3h)).severity is severity


def test_critical_stays_until_it_is_unlikely_within_3_h() -> None:
    first = signal_of(soon(0.9, 0.9))
    wavering = signal_of(soon(0.9, 0.3), known=first)
    assert wavering.severity is Severity.CRITICAL
    assert signal_of(soon(0.9, 0.2), known=wavering).severity is Severity.WARNING


def test_after_a_breach_critical_begins_anew() -> None:
    over = signal_of(soon(1.0, 1.0, pattern=BreachPattern.OVER, level=1.1))
    assert over.severity is Severity.CRITICAL
    assert signal_of(soon(0.9, 0.3), known=over).severity is Severity.WARNING


def test_maintenance_raises_nothing_to_critical_and_takes_nothing_from_it() -> None:
    warning, critical = signal_of(soon(0.9, 0.3)), signal_of(soon(0.9, 0.9))
    assert signal_of(soon(0.9, 0.9), window(-1, 1), known=warning).severity is Severity.WARNING
    assert signal_of(soon(0.9, 0.9), window(-1, 1), known=critical).severity is Severity.CRITICAL


def test_a_disk_goes_on_filling_in_maintenance() -> None:
    assert signal_of(seen(DISK, 0.9), window(-1, 1)).suppressed_by is None


def followed(cause: SeriesOutlook, *events: Event) -> bool:
    found = {one.series.series_id: one for one in (cause, seen(ERRORS, 0.0, pattern=BreachPattern.CLEAR))}
    return ERRORS.series_id in likely_cascades(found, BreachContext(now=NOW, cascades=KNOWN, events=events))


def test_what_maintenance_disturbs_sets_off_nothing_and_what_fills_does() -> None:
    assert followed(seen(SLOW, 0.9))
    assert not followed(seen(SLOW, 0.9), window(-1, 1))
    assert followed(seen(DISK, 0.9), window(-1, 1))


def test_a_reason_says_whether_it_is_the_series_own_or_of_others_alike() -> None:
    cause, effect = seen(DISK, 0.9), seen(ERRORS, 0.0, pattern=BreachPattern.CLEAR)
    found = {one.series.series_id: one for one in (cause, effect)}

    def reason(known: CascadeModel) -> str:
        signals = breach_signals(found, {}, MODEL, BreachContext(now=NOW, cascades=known))
        [signal] = [one for one in signals if one.series_id == ERRORS.series_id]
        return signal.factors[0].text

    alike = replace(RATE, own=False)
    assert reason(KNOWN) == f"follows db/{DISK.metric}. This followed in 9 of 9 earlier cases"
    assert reason(CascadeModel(by_kind={(DISK.metric, ERRORS.metric, False): alike})) == (
        f"follows {DISK.metric}. This followed in 9 of 9 earlier cases of similar series"
    )


def test_a_cause_is_one_from_when_it_is_felt_until_all_that_follows_has_come() -> None:
    assert followed(seen(DISK, 1.0, pattern=BreachPattern.OVER))
    assert followed(seen(DISK, 1.0, pattern=BreachPattern.OVER, impact_since=NOW - 0.1 * HOUR))
    assert not followed(
        seen(DISK, 1.0, pattern=BreachPattern.OVER, impact_since=NOW - timedelta(seconds=MAX_LAG_S))
    )
    assert not followed(seen(DISK, 0.2))


def test_growth_away_from_the_threshold_is_not_given_as_a_reason() -> None:
    growing = seen(DISK, 0.9)
    away = -5.0 * growing.growth.per_hour
    falling = replace(growing, growth=Growth(per_hour=away, span_s=3_600, usual_per_hour=0.0, weight=1.0))
    towards, back = ("grew", "fell") if is_upward(DISK) else ("fell", "grew")
    assert towards in signal_of(growing).summary
    assert signal_of(growing).factors
    assert back not in signal_of(falling).summary
    assert not signal_of(falling).factors


def test_a_series_over_its_threshold_shows_since_when() -> None:
    crossed = NOW - 3 * HOUR
    over = replace(seen(QUEUE, 1.0, pattern=BreachPattern.OVER), level=130.0, over_since=crossed)
    signal = signal_of(over)
    side_of = "over" if is_upward(QUEUE) else "below"
    assert signal.summary == (
        f"db {QUEUE.metric} is {side_of} its threshold of 100 since {crossed:%Y-%m-%d %H:%M} UTC; the value is 130"
    )
    assert signal.breach is not None
    assert signal.breach.when == TimeRange(p10=crossed, p50=crossed, p90=crossed)
    assert signal.peak_at == crossed


@pytest.mark.parametrize("pattern", [BreachPattern.OVER, BreachPattern.FILL])
def test_a_proposed_threshold_is_called_proposed_and_wakes_nobody(pattern: BreachPattern) -> None:
    accepted = seen(SLOW, 1.0, pattern=pattern)
    series = replace(SLOW, slo_threshold=None, proposed_threshold=0.5)
    signal = signal_of(replace(accepted, series=series))
    assert signal.severity is Severity.WARNING
    assert signal_of(accepted).severity is Severity.CRITICAL
    value = "500 ms" if SLOW.unit else "0.5"
    assert f"its proposed threshold of {value}" in signal.summary
    assert "its proposed threshold of" in describe(signal, NOW)
    shown = signal_page(signal)
    assert "proposed threshold" in shown or "proposed" in shown["passes"][0]
    assert "proposed" not in signal_of(accepted).summary


def test_only_values_past_a_proposed_threshold_are_reported_and_a_reported_breach_stays() -> None:
    series = replace(SLOW, slo_threshold=None, proposed_threshold=0.5)
    near = replace(seen(SLOW, 1.0, pattern=BreachPattern.FILL), series=series)
    past = replace(seen(SLOW, 1.0, pattern=BreachPattern.OVER), series=series)
    assert signal_of(near).suppressed_by == "accepted"
    begun = signal_of(past, known=signal_of(near))
    assert begun.suppressed_by is None
    assert signal_of(near, known=begun).suppressed_by is None
