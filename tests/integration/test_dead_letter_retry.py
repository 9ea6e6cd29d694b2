"""Dead letters are listed, shown and retried: a sample is stored at most once, and never lost."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from fakes.platform import NOW, advanced, platform_of

from core.batch import Batch
from core.dead_letters import DeadLetterFilter
from core.domain import Series, SeriesKind
from core.frames import SAMPLES
from pipelines.collect import retry_dead_letters as retry_module
from pipelines.collect.ingest import ingest_batch
from pipelines.collect.retry_dead_letters import RetryReport, retry_dead_letters
from pipelines.common.tenant_platform import Platform
from pipelines.stores.store import Store

HOUR = timedelta(hours=1)
Row = tuple[Series, datetime, float]


@pytest.fixture
def platform(store: Store) -> Platform:
    return platform_of(store)


def series(platform: Platform, metric: str = "latency", kind: SeriesKind = SeriesKind.GAUGE) -> Series:
    return Series(tenant=platform.tenant, service="shop", metric=metric, kind=kind)


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    return pl.DataFrame([(one.series_id, ts, value) for one, ts, value in rows], schema=SAMPLES, orient="row")


def send(platform: Platform, *rows: Row, counts: Sequence[Row] = (), known: bool = True) -> None:
    every = [one for one, *_ in (*rows, *counts)] if known else []
    batch = Batch(series=every, samples=frame(rows), counts=frame(counts) if counts else None)
    ingest_batch(platform, "push", batch)


def stored(platform: Platform) -> list[tuple[datetime, float]]:
    found = platform.store.samples.read(NOW - 99 * HOUR, NOW + 99 * HOUR)
    return [(ts, value) for _, ts, value in found.iter_rows()]


def reasons(platform: Platform) -> list[str]:
    return [one.reason for one in platform.store.dead_letters.list()]


def test_a_sample_of_the_future_is_stored_when_its_time_has_come(platform: Platform) -> None:
    send(platform, (series(platform), NOW + HOUR, 1.5), (series(platform), NOW, 1.0))
    report = retry_dead_letters(platform)
    assert (report.stored, report.rejected_again) == (0, 1)
    assert report.reasons[0].endswith("is in the future")
    later = advanced(platform, hours=2)
    assert retry_dead_letters(later) == RetryReport(stored=1)
    assert stored(platform) == [(NOW, 1.0), (NOW + HOUR, 1.5)]
    assert platform.store.dead_letters.count() == 0
    assert retry_dead_letters(later) == RetryReport()


def test_a_sample_of_an_unknown_series_is_stored_when_the_series_exists(platform: Platform) -> None:
    late = series(platform)
    send(platform, (late, NOW, 1.5), known=False)
    assert retry_dead_letters(platform).rejected_again == 1
    platform.store.series.register([late])
    assert retry_dead_letters(platform) == RetryReport(stored=1)
    assert stored(platform) == [(NOW, 1.5)]


def test_a_value_outside_a_ratio_is_stored_when_the_series_is_a_gauge(platform: Platform) -> None:
    ratio = series(platform, kind=SeriesKind.RATIO)
    send(platform, (ratio, NOW, 5.0))
    platform.store.series.register([replace(ratio, kind=SeriesKind.GAUGE)])
    assert retry_dead_letters(platform) == RetryReport(stored=1)
    assert stored(platform) == [(NOW, 5.0)]


def test_a_contradicting_value_stays_with_the_newest_reason_and_its_time(platform: Platform) -> None:
    one = series(platform)
    send(platform, (one, NOW + HOUR, 1.0))
    (before,) = platform.store.dead_letters.list()
    later = advanced(platform, hours=2)
    send(later, (one, NOW + HOUR, 2.0))
    report = retry_dead_letters(later)
    assert (report.stored, report.rejected_again) == (0, 1)
    (after,) = platform.store.dead_letters.list()
    assert after.reason == "value 1.0 contradicts 2.0, which is stored for that time"
    assert (after.letter_id, after.seen_at, after.row) == (before.letter_id, before.seen_at, before.row)
    assert stored(platform) == [(NOW + HOUR, 2.0)]


def test_a_sample_that_is_stored_already_is_not_doubled(platform: Platform) -> None:
    one = series(platform)
    send(platform, (one, NOW + HOUR, 1.0))
    later = advanced(platform, hours=2)
    send(later, (one, NOW + HOUR, 1.0))
    assert retry_dead_letters(later) == RetryReport(stored=1)
    assert stored(platform) == [(NOW + HOUR, 1.0)]


def test_counts_become_rates_and_not_samples(platform: Platform) -> None:
    jobs = series(platform, "jobs", SeriesKind.COUNTER)
    send(platform, counts=[(jobs, NOW, 100.0), (jobs, NOW + HOUR, 3700.0)])
    later = advanced(platform, hours=2)
    assert retry_dead_letters(later) == RetryReport(stored=1)
    assert stored(platform) == [(NOW + HOUR, 1.0)]


def test_a_rate_of_a_counter_stays_a_rate(platform: Platform) -> None:
    jobs = series(platform, "jobs", SeriesKind.COUNTER)
    send(platform, (jobs, NOW + HOUR, 2.5))
    assert retry_dead_letters(advanced(platform, hours=2)) == RetryReport(stored=1)
    assert stored(platform) == [(NOW + HOUR, 2.5)]


def test_a_value_of_a_gauge_that_is_a_counter_now_is_a_count(platform: Platform) -> None:
    jobs = series(platform, "jobs")
    send(platform, (jobs, NOW + HOUR, 3700.0))
    counter = replace(jobs, kind=SeriesKind.COUNTER)
    send(platform, counts=[(counter, NOW, 100.0)])
    assert retry_dead_letters(advanced(platform, hours=2)) == RetryReport(stored=1)
    assert stored(platform) == [(NOW + HOUR, 1.0)]


def test_a_rate_of_a_series_that_is_a_gauge_now_is_not_retried(platform: Platform) -> None:
    jobs = series(platform, "jobs", SeriesKind.COUNTER)
    send(platform, (jobs, NOW + HOUR, 2.5))
    platform.store.series.register([replace(jobs, kind=SeriesKind.GAUGE)])
    report = retry_dead_letters(advanced(platform, hours=2))
    assert (report.stored, report.not_retried) == (0, 1)
    assert "is a rate" in report.remedies[0]
    assert stored(platform) == []


def old_row(name: str, ts: datetime = NOW, value: float = 1.5) -> str:
    return json.dumps({"series": name, "ts": ts.isoformat(), "value": value})


def add(platform: Platform, source: str, *rows: str, reason: str = "bad") -> None:
    platform.store.dead_letters.add(source, pl.DataFrame({"row": rows, "reason": [reason] * len(rows)}))


def test_rows_of_an_older_release_are_found_by_the_name_of_their_series(platform: Platform) -> None:
    gauge, counter = series(platform), series(platform, "jobs", SeriesKind.COUNTER)
    # The labels of these series differ, and their names do not.
    twins = [replace(gauge, metric="x", labels=one) for one in ({"a": "1,b=2"}, {"a": "1", "b": "2"})]
    platform.store.series.register([gauge, counter, *twins])
    add(
        platform,
        "csv:/a",
        *(old_row(name) for name in (gauge.name, counter.name, twins[0].name, "shop/gone")),
    )
    report = retry_dead_letters(platform)
    assert (report.stored, report.rejected_again, report.not_retried) == (1, 0, 3)
    assert stored(platform) == [(NOW, 1.5)]
    assert [remedy.partition(":")[0] for remedy in report.remedies] == ["2 of csv", "1 of csv"]


def test_rows_that_are_no_sample_stay_and_the_report_has_the_remedy(platform: Platform) -> None:
    add(platform, "webhook:alerts", json.dumps({"labels": {}}), "x" * 50_000)
    add(platform, "csv:/a", json.dumps({"file": "a.csv", "line": 2, "time": "soon", "value": "1"}))
    add(platform, "remote_write", json.dumps({"labels": ["a\\xff"]}), "\0\0")
    add(platform, "push", json.dumps({"series": "a/b", "ts": None, "value": "nan"}))
    before = platform.store.dead_letters.list()
    report = retry_dead_letters(platform)
    assert report == RetryReport(not_retried=6, remedies=report.remedies)
    assert [remedy.split(": ")[1].split()[:4] for remedy in report.remedies] == [
        ["The", "values", "are", "not"],
        ["Correct", "the", "body", "and"],
        ["Correct", "the", "file", "and"],
        ["The", "series,", "the", "time"],
    ]
    assert platform.store.dead_letters.list() == before


def test_file_and_line_stay_with_a_row_that_is_rejected_again(platform: Platform) -> None:
    one = series(platform)
    rows = [(one.series_id, NOW + HOUR, 1.0, "a.csv", 7), (one.series_id, NOW + HOUR, 1.0, "b.csv", 9)]
    schema = {**SAMPLES, "file": pl.String, "line": pl.Int64}
    for row in rows:
        origins = pl.DataFrame([row], schema=schema, orient="row")
        ingest_batch(platform, "csv", Batch(series=[one], samples=origins.select(*SAMPLES), origins=origins))
    before = platform.store.dead_letters.list()
    assert [letter.reason.partition(":")[0] for letter in before] == ["line 9", "line 7"]
    assert retry_dead_letters(platform).rejected_again == 2
    assert platform.store.dead_letters.list() == before
    assert retry_dead_letters(advanced(platform, hours=2)) == RetryReport(stored=2)
    assert stored(platform) == [(NOW + HOUR, 1.0)]


def test_filters_and_limit_choose_what_is_listed_and_retried(platform: Platform) -> None:
    one = series(platform)
    for minutes in (61, 62, 63):
        send(platform, (one, NOW + timedelta(minutes=minutes), 1.0))
    add(platform, "csv:/a", "x", reason="100% 'odd'_reason")
    letters = platform.store.dead_letters
    assert [group.count for group in letters.by_reason()] == [3, 1]
    assert len(letters.by_reason(limit=1)) == 1
    for part, count in (("FUTURE", 3), ("100%", 1), ("odd'_", 1), ("%", 1), ("_", 1), ("none", 0)):
        assert len(letters.list(which=DeadLetterFilter(reason=part))) == count, part
    assert len(letters.list(which=DeadLetterFilter(source="csv:/a"))) == 1
    assert letters.list(which=DeadLetterFilter(since=datetime.now(UTC) + HOUR)) == []
    assert len(letters.list(which=DeadLetterFilter(since=datetime.now(UTC) - HOUR))) == 4
    later = advanced(platform, hours=2)
    assert retry_dead_letters(later, DeadLetterFilter(source="push"), 2) == RetryReport(stored=2)
    assert retry_dead_letters(later, DeadLetterFilter(reason="future")) == RetryReport(stored=1)
    assert reasons(platform) == ["100% 'odd'_reason"]


def test_a_failure_in_the_middle_neither_loses_nor_doubles_a_sample(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = series(platform)
    times = [NOW + HOUR + timedelta(minutes=n) for n in range(10)]
    send(platform, *((one, ts, float(n)) for n, ts in enumerate(times)))
    monkeypatch.setattr(retry_module, "CHUNK_ROWS", 3)
    calls: list[int] = []

    def fail(self: object, letters: object) -> int:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return 0

    later = advanced(platform, hours=2)
    with monkeypatch.context() as patch:
        patch.setattr(type(platform.store.dead_letters), "put_back", fail)
        with pytest.raises(KeyboardInterrupt):
            retry_dead_letters(later)
    assert (len(stored(platform)), platform.store.dead_letters.count()) == (6, 4)
    assert retry_dead_letters(later) == RetryReport(stored=4)
    assert [ts for ts, _ in stored(platform)] == times


def test_another_tenant_neither_sees_nor_retries_them(platform: Platform) -> None:
    send(platform, (series(platform), NOW + HOUR, 1.0))
    other = platform_of(Store(platform.store.dead_letters._session.pool, "other"))  # type: ignore[attr-defined]
    assert retry_dead_letters(advanced(other, hours=2)) == RetryReport()
    assert platform.store.dead_letters.count() == 1
