"""Pushed raw samples wait in the database until golden signals are computed from them."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from fakes.platform import platform_of
from fakes.raw_histories import STALE
from fakes.remote_write import T0, compressed, metadata, time_series

from core.clock import FixedClock
from core.errors import UnavailableError
from core.settings import Settings
from pipelines.collect.ingest import IngestReport
from pipelines.collect.pull import pull
from pipelines.collect.stage import Staging
from pipelines.common.tenant_platform import Platform
from pipelines.sources import pushed_signals
from pipelines.sources.remote_write import RemoteWriteReceiver
from pipelines.stores.store import Store

SETTINGS = Settings(_env_file=None, golden_signals=True)
HITS = {"__name__": "http_requests_total", "job": "shop", "code": "200"}
FREE = {
    "__name__": "node_filesystem_avail_bytes",
    "job": "node",
    "instance": "web1:9100",
    "mountpoint": "/var",
}
TRAFFIC = "shop/http_requests_per_second"


def at(store: Store, seconds: float) -> Platform:
    return platform_of(store, FixedClock(T0 + timedelta(seconds=seconds)), settings=SETTINGS)


def push(platform: Platform, *parts: bytes) -> IngestReport:
    """A request to a service that has just been started."""
    receiver = RemoteWriteReceiver(platform.tenant)
    return Staging(platform).store(receiver.name, receiver.decode(compressed(*parts))).report


def counts(labels: Mapping[str, str], start: int, end: int, per_s: float = 2.0, every_s: int = 15) -> bytes:
    return time_series(labels, [(second, per_s * second) for second in range(start, end, every_s)])


def signals(store: Store) -> dict[str, dict[int, float]]:
    """Name of the series -> seconds after `T0` -> value."""
    names = {one.series_id: one.name for one in store.series.find()}
    found: dict[str, dict[int, float]] = {name: {} for name in names.values()}
    for series_id, ts, value in store.samples.read(T0, T0 + timedelta(days=1)).iter_rows():
        found[names[series_id]][round((ts - T0).total_seconds())] = value
    return found


def test_a_time_is_computed_once_no_more_samples_are_expected_for_it(store: Store) -> None:
    push(at(store, 640), counts(HITS, 0, 640))
    assert pull(at(store, 640)) is not None
    assert list(signals(store)[TRAFFIC]) == [300], "the samples of 600 s may come until 660 s"
    push(at(store, 900), counts(HITS, 640, 900, every_s=20))
    pull(at(store, 900))
    assert signals(store)[TRAFFIC] == pytest.approx({300: 2.0, 600: 2.0}, rel=1e-9)


def test_late_repeated_and_unordered_samples_count_once(store: Store) -> None:
    push(at(store, 300), counts(HITS, 150, 300))
    for _ in range(2):
        push(at(store, 310), counts(HITS, 0, 150))
    push(at(store, 400), counts(HITS, 300, 400))
    pull(at(store, 400))
    assert signals(store)[TRAFFIC] == pytest.approx({300: 2.0}, rel=1e-9)


def test_samples_that_a_sender_held_back_are_computed_when_they_come(store: Store) -> None:
    push(at(store, 400), counts(HITS, 0, 400))
    pull(at(store, 400))
    pull(at(store, 4_000))  # the service was down
    push(at(store, 4_100), counts(HITS, 400, 4_100))
    pull(at(store, 4_100))
    assert list(signals(store)[TRAFFIC]) == list(range(300, 4_001, 300))


def test_a_pull_that_fails_goes_on_where_it_stopped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushed_signals, "CHUNK_S", 600)
    push(at(store, 2_000), counts(HITS, 0, 2_000))
    add = type(store.dead_letters).add
    calls = []

    def fails_at_second(self: object, source: str, rejected: object) -> int:
        calls.append(source)
        if len(calls) == 2:
            raise UnavailableError("the database does not answer")
        return add(store.dead_letters, source, rejected)  # type: ignore[arg-type]

    monkeypatch.setattr(type(store.dead_letters), "add", fails_at_second)
    with pytest.raises(UnavailableError):
        pull(at(store, 2_000))
    assert list(signals(store)[TRAFFIC]) == [300]
    pull(at(store, 2_000))
    assert list(signals(store)[TRAFFIC]) == [300, 600, 900, 1200, 1500, 1800]


def test_raw_samples_are_removed_an_hour_after_they_were_used(store: Store) -> None:
    for hour in range(3):
        start, end = hour * 3_600, (hour + 1) * 3_600
        push(at(store, end), counts(HITS, start, end), counts(FREE, start, end))
        pull(at(store, end))
    kept = store.pushed.extent()
    assert kept is not None
    assert kept.first == T0 + timedelta(hours=1), "requests of the last hour and the window before it"


def test_a_series_that_has_ended_has_no_value_at_once(store: Store) -> None:
    gauge = {"__name__": "redis_up", "job": "redis", "instance": "a:9121"}
    push(at(store, 700), time_series(gauge, [(250, 1.0), (299, STALE), (600, 1.0)]), counts(HITS, 0, 700))
    pull(at(store, 700))
    assert signals(store)["redis/redis_up{instance=a:9121}"] == {600: 1.0}


def test_what_cannot_be_kept_is_a_dead_letter_and_the_rest_is_kept(store: Store) -> None:
    day = 86_400
    report = push(
        at(store, 2 * day),
        time_series(HITS, [(60, 1.0), (2 * day - 60, 2.0)]),
        time_series(FREE, [(2 * day + 3_600, 1.0)]),
        time_series({"__name__": "bad\nname"}, [(2 * day, 1.0)]),
    )
    assert (report.inserted, report.rejected) == (1, 3)
    reasons = sorted(letter.reason for letter in store.dead_letters.list())
    assert [reason.partition(":")[0] for reason in reasons] == [
        "a sample is older than a day",
        "a sample lies in the future",
        reasons[2].partition(":")[0],
    ]
    assert "control characters" in reasons[2]


def test_values_of_a_metric_that_turns_out_to_be_a_counter_are_removed(store: Store) -> None:
    jobs = {"__name__": "jobs_done", "job": "shop"}
    push(at(store, 400), counts(jobs, 0, 400))
    pull(at(store, 400))
    push(at(store, 700), metadata("jobs_done", 1), counts(jobs, 400, 700, every_s=20))
    pull(at(store, 700))
    assert signals(store)["shop/jobs_done"] == pytest.approx({600: 2.0}, rel=1e-9)
    (letter,) = store.dead_letters.list()
    assert letter.reason.startswith("these values were removed")


def test_without_golden_signals_nothing_is_kept_and_nothing_is_pulled(store: Store) -> None:
    push(at(store, 400), counts(HITS, 0, 400))
    assert pull(platform_of(store, FixedClock(T0 + timedelta(seconds=400)))) is None
