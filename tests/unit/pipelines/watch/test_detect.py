"""New signals continue known ones."""

from dataclasses import replace
from datetime import timedelta

from fakes.signals import make_signal

from core.domain import FilterResult, SignalKind
from pipelines.watch.detect import continue_known


def test_a_missing_series_that_spreads_over_its_service_stays_one_signal() -> None:
    first = make_signal("first", kind=SignalKind.MISSING, series_id=1)
    whole = make_signal("whole", kind=SignalKind.MISSING, metric=None, minute=5)
    (kept,) = continue_known([whole], [first])
    assert (kept.signal_id, kept.started_at, kept.metric) == ("first", first.started_at, None)
    (still,) = continue_known([make_signal("one", kind=SignalKind.MISSING, series_id=2, minute=5)], [kept])
    assert still.signal_id == "first"


def test_signals_of_other_series_services_and_times_stay_their_own() -> None:
    known = [make_signal("known", series_id=1), make_signal("silent", kind=SignalKind.MISSING)]
    found = [
        make_signal("other series", series_id=2),
        make_signal("other time", series_id=1, minute=90),
        make_signal("other service", "web", kind=SignalKind.MISSING),
        make_signal("same", series_id=1, minute=10),
    ]
    ids = [one.signal_id for one in continue_known(found, known)]
    assert ids == ["other series", "other time", "other service", "known"]


def test_what_was_suppressed_before_does_not_move_the_start_of_a_finding() -> None:
    failed = FilterResult(name="noticeable", passed=False, reason="inside the expected range")
    known = replace(make_signal("known", series_id=1), filters=(failed,))
    found = make_signal("found", series_id=1, minute=20)
    (kept,) = continue_known([found], [known])
    assert (kept.signal_id, kept.started_at) == ("known", found.started_at)
    (again,) = continue_known([replace(found, started_at=found.started_at + timedelta(minutes=5))], [kept])
    assert again.started_at == found.started_at
