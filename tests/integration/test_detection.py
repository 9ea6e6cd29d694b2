"""The nightly chain of detection on a real database: baselines, training, scoring, and the same again."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import cast

import numpy as np
import polars as pl
import pytest
from fakes.platform import platform_of
from fakes.ports import NoRegistry
from fakes.signals import make_signal
from polars.testing import assert_frame_equal

from core.clock import FixedClock
from core.diagnosis import Feedback, FeedbackValue
from core.domain import Event, EventKind, ModelRef, Series, Signal, SignalKind
from core.errors import ModelUnavailableError
from core.frames import SAMPLES
from core.settings import Settings
from core.training import Training
from models.detect.bundle import DetectorBundle
from models.detect.series_model import SeriesModel
from models.series.clock import LocalClock
from models.signals.anomaly import anomaly_signals
from models.signals.ends import NO_ENDS
from pipelines.collect.ingest import ingest
from pipelines.common.progress import silent
from pipelines.common.tenant_platform import Platform
from pipelines.learn import baseline as baseline_module
from pipelines.learn import train_detectors as train_detectors_module
from pipelines.learn.baseline import build_baselines, next_times_s
from pipelines.learn.learning_window import learning_window
from pipelines.learn.train_detectors import train_detectors
from pipelines.sources.simulated import SimulatedFleet
from pipelines.stores.store import Store
from pipelines.watch import score_fleet as score_fleet_module
from pipelines.watch import score_part as score_part_module
from pipelines.watch.detect import detect
from pipelines.watch.score_fleet import FleetScores, FleetScoring
from pipelines.watch.score_part import KEPT_BYTES, KeptRows, Window

END = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class FakeRegistry(NoRegistry):
    """Keeps bundles in memory; the newest is the champion."""

    kept: list[tuple[ModelRef, Mapping[str, bytes]]] = field(default_factory=list)
    trainings: list[Training] = field(default_factory=list)

    def register(self, kind: str, files: Mapping[str, bytes], training: Training) -> ModelRef:
        ref = ModelRef(name=kind, version=len(self.kept) + 1, run_id="run")
        self.kept.append((ref, files))
        self.trainings.append(training)
        return ref

    def resolve(self, kind: str, alias: str = "champion") -> ModelRef | None:
        return self.kept[-1][0] if self.kept else None

    def load(
        self, kind: str, alias: str = "champion", names: Collection[str] = ()
    ) -> tuple[ModelRef, Mapping[str, bytes]]:
        if not self.kept:
            raise ModelUnavailableError(f"no {kind}")
        return self.kept[-1]


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def empty(store: Store, registry: FakeRegistry) -> Platform:
    """A platform without samples."""
    return platform_of(store, FixedClock(END), registry=registry)


@pytest.fixture
def platform(empty: Platform) -> Platform:
    """A platform with the samples of a simulated fleet."""
    ingest(empty, SimulatedFleet(2, 12, end=END, tenant=empty.tenant))
    return empty


def test_the_chain_finds_and_finds_the_same_again(
    platform: Platform, store: Store, registry: FakeRegistry
) -> None:
    with pytest.raises(ModelUnavailableError):
        detect(platform, start=END - DAY, end=END)
    baselines = build_baselines(platform, at=END - 2 * DAY)
    assert baselines.series == 16
    assert baselines.seasonal > 0
    current = store.baselines.current()
    assert current is not None
    assert current[1].height == 16

    trained = train_detectors(platform, at=END - 2 * DAY)
    assert trained.trained == 16
    assert trained.metrics["calibration_error"] < 0.1
    assert registry.trainings[0].window_end == END - 2 * DAY

    first = detect(platform, start=END - 2 * DAY, end=END)
    assert first.points > 16 * 500
    assert first.new == first.signals
    again = detect(platform, start=END - 2 * DAY, end=END)
    assert (again.new, again.signals) == (0, first.signals)


def test_a_fleet_is_learned_service_after_service_as_at_once(
    platform: Platform, store: Store, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for at_once in (1_000, 1):
        monkeypatch.setattr(train_detectors_module, "SERIES_PER_JOB", at_once)
        monkeypatch.setattr(baseline_module, "SERIES_PER_READ", at_once)
        report = train_detectors(platform, at=END - 2 * DAY)
        build_baselines(platform, at=END - 2 * DAY)
        current = store.baselines.current()
        assert current is not None
        found.append((report, DetectorBundle.from_files(registry.kept[-1][1]), current[1].sort("series_id")))
    (one, first, baselines), (other, second, same_baselines) = found
    assert first.budgets == second.budgets
    assert other.metrics == pytest.approx(one.metrics, rel=1e-12)
    samples = platform.store.samples.read(END - 2 * DAY, END)
    order = ("series_id", "ts")
    assert_frame_equal(second.score(samples).sort(order), first.score(samples).sort(order), check_exact=True)
    assert_frame_equal(same_baselines, baselines, check_exact=True)


def test_an_hour_at_a_time_finds_the_same_troubles_as_all_at_once(platform: Platform) -> None:
    train_detectors(platform, at=END - 2 * DAY)
    hours = [END - DAY + timedelta(hours=6 * i) for i in range(5)]
    for start, end in pairwise(hours):
        detect(platform, start=start, end=end)
    seen = platform.store.signals.find(kind=SignalKind.ANOMALY, limit=10_000)
    detect(platform, start=END - DAY, end=END)
    after = platform.store.signals.find(kind=SignalKind.ANOMALY, limit=10_000)
    assert len(after) <= len(seen) + max(1, len(seen) // 10)


@pytest.mark.parametrize("kept_bytes", [0, KEPT_BYTES], ids=["scored again", "kept"])
def test_service_after_service_finds_the_same_as_the_fleet_at_once(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, kept_bytes: int
) -> None:
    monkeypatch.setattr(score_part_module, "_kept", KeptRows(kept_bytes))
    train_detectors(platform, at=END - 2 * DAY)
    ref, bundle = platform.models.get("detector", DetectorBundle.from_files)
    window = Window(context=END - 2 * DAY, start=END - DAY, end=END)

    def scores(at_once: int) -> FleetScores:
        monkeypatch.setattr(score_fleet_module, "SERIES_AT_ONCE", at_once)
        scoring = FleetScoring(
            platform=platform,
            model=ref,
            fleet=bundle.fleet,
            stored=[],
            window=window,
            since=window.start,
            events=[],
            ends=NO_ENDS,
            scorer=bundle,
        )
        return scoring.scores(silent)

    whole, parts = scores(1_000), scores(1)
    samples = platform.store.samples.read(window.context, window.end)
    rows = bundle.score(samples)
    anomalies = rows.filter("is_anomaly").sort("series_id", "ts").select("series_id", "ts")
    signals = anomaly_signals(bundle.fleet, rows, ref, since=window.start, until=window.end)
    for found in (whole, parts):
        assert_frame_equal(found.anomalies.sort("series_id", "ts"), anomalies)
        assert list(found.signals) == signals
        assert found.points == rows.filter(pl.col("ts") >= window.start).height
    assert signals
    assert parts.missing == whole.missing
    assert parts.first_values == whole.first_values


CYCLE = timedelta(minutes=5)


def watched(platform: Platform, until: datetime) -> None:
    """Cycles every five minutes, as they run live: each sees what came since the one before."""
    end = END
    while end < until:
        end += CYCLE
        detect(platform, end=end)


def write_course(platform: Platform, series: Series, values: list[float]) -> None:
    rows = [(series.series_id, END + CYCLE * at, value) for at, value in enumerate(values)]
    platform.store.samples.write(pl.DataFrame(rows, schema=dict(SAMPLES), orient="row"))


def broken_series(platform: Platform) -> Series:
    """The latency of the first service, with a detector; nothing after `END` is stored of the others."""
    train_detectors(platform, at=END)
    detect(platform, start=END - timedelta(hours=1), end=END)
    return next(one for one in platform.store.series.find() if one.metric.startswith("latency"))


def anomaly_of(platform: Platform, series: Series) -> Signal:
    found = platform.store.signals.find(kind=SignalKind.ANOMALY, since=END, limit=1_000)
    (signal,) = [one for one in found if one.series_id == series.series_id and one.started_at >= END]
    return signal


def test_an_anomaly_ends_with_its_last_value_within_two_cycles_of_when_it_can_be_known(
    platform: Platform,
) -> None:
    series = broken_series(platform)
    usual = platform.store.samples.read(END - CYCLE, END, [series.series_id])["value"][0]
    write_course(platform, series, [usual] * 3 + [usual * 50] * 8 + [usual] * 20)
    last = END + CYCLE * 10
    watched(platform, last + timedelta(minutes=25))
    assert anomaly_of(platform, series).ended_at is None
    watched_until = last + timedelta(minutes=30) + 2 * CYCLE
    detect(platform, end=watched_until - CYCLE)
    detect(platform, end=watched_until)
    signal = anomaly_of(platform, series)
    assert (signal.started_at, signal.ended_at) == (END + CYCLE * 3, last)
    detect(platform, end=watched_until + CYCLE)
    assert anomaly_of(platform, series) == signal


def test_an_anomaly_of_a_series_that_stops_ends_with_its_last_value(platform: Platform) -> None:
    series = broken_series(platform)
    usual = platform.store.samples.read(END - CYCLE, END, [series.series_id])["value"][0]
    write_course(platform, series, [usual] * 3 + [usual * 50] * 8)
    watched(platform, END + CYCLE * 20)
    assert anomaly_of(platform, series).ended_at == END + CYCLE * 10


def test_an_anomaly_that_a_new_model_does_not_find_is_closed(
    platform: Platform, registry: FakeRegistry
) -> None:
    series = broken_series(platform)
    usual = platform.store.samples.read(END - CYCLE, END, [series.series_id])["value"][0]
    write_course(platform, series, [usual] * 3 + [usual * 50] * 8)
    watched(platform, END + CYCLE * 11)
    bundle = DetectorBundle.from_files(registry.kept[-1][1])
    del cast("dict[int, SeriesModel]", bundle.models)[series.series_id]
    registry.register("detector", bundle.to_files(), registry.trainings[-1])
    detect(platform, end=END + CYCLE * 12)
    assert anomaly_of(platform, series).ended_at == END + CYCLE * 11


def test_silent_services_are_told_once_each_and_end_when_all_is_back_even_after_days(
    platform: Platform,
) -> None:
    train_detectors(platform, at=END - 2 * DAY)
    later = END + timedelta(hours=3)
    report = detect(platform, start=END, end=later)
    assert report.missing == 2  # services, of 8 series each
    silent = {one.signal_id: one for one in platform.store.signals.find(kind=SignalKind.MISSING)
              if one.started_at > END - DAY and one.ended_at is None}  # fmt: skip
    assert {one.summary.split(" series")[0].split(": ")[1] for one in silent.values()} == {"8 of 8"}
    later = END + 3 * DAY  # the last value is long out of sight
    series = platform.store.series.find()
    back = [(one.series_id, later - timedelta(minutes=5 * k), 1.0) for one in series for k in range(1, 4)]
    samples = pl.DataFrame(back, schema=dict(SAMPLES), orient="row").sort("series_id", "ts")
    platform.store.samples.write(samples)
    detect(platform, start=later - timedelta(hours=1), end=later)
    for signal_id in silent:
        assert platform.store.signals.get(signal_id).ended_at == later - timedelta(minutes=15)


def test_a_confirmed_anomaly_is_left_out_of_what_is_learned_until_it_is_called_false(
    empty: Platform, store: Store
) -> None:
    one = Series(tenant=store.tenant, service="cart", metric="latency")
    rng = np.random.default_rng(1)
    times = [END - timedelta(minutes=5 * k) for k in range(10 * 288, 0, -1)]
    begin, finish = END - timedelta(hours=30), END - timedelta(hours=20)
    values = [float(rng.normal(100, 1)) + (500 if begin <= at <= finish else 0) for at in times]
    store.series.register([one])
    store.samples.write(
        pl.DataFrame(
            {"series_id": [one.series_id] * len(times), "ts": times, "value": values}, schema=dict(SAMPLES)
        )
    )
    signal = make_signal("found", "cart", tenant=store.tenant, series_id=one.series_id, started_at=begin,
                         ended_at=finish)  # fmt: skip
    store.signals.upsert([signal])

    def mean() -> float:
        build_baselines(empty)
        current = store.baselines.current()
        assert current is not None
        return float(current[1]["mean"][0])

    def say(value: FeedbackValue, minutes: int) -> None:
        at = END - timedelta(minutes=10 - minutes)
        store.feedback.add(
            [Feedback(tenant=store.tenant, subject_id="found", value=value, at=at, by="ann", note="")]
        )

    assert mean() == pytest.approx(100 + 500 * 121 / 2880, abs=0.5)
    say(FeedbackValue.TRUE_POSITIVE, minutes=1)
    assert mean() == pytest.approx(100, abs=0.1)
    before_that = learning_window(empty, at=END - timedelta(minutes=30))
    assert before_that.exclusions.is_empty()
    say(FeedbackValue.FALSE_POSITIVE, minutes=2)
    assert mean() == pytest.approx(100 + 500 * 121 / 2880, abs=0.5)


def test_maintenance_and_incidents_are_left_out_of_what_is_learned(platform: Platform) -> None:
    window = learning_window(platform, at=END - DAY)
    assert window.end == END - DAY
    assert window.exclusions.height > 0
    assert window.exclusions.filter(pl.col("end") < pl.col("start")).is_empty()


def test_the_clock_and_the_holidays_to_come_reach_the_models_and_the_baselines(
    platform: Platform, registry: FakeRegistry
) -> None:
    coming, late = END + timedelta(days=40), END + timedelta(days=800)
    platform.store.events.add(
        Event(tenant=platform.tenant, service="*", kind=EventKind.HOLIDAY, at=at, title="a day off")
        for at in (coming, late)
    )
    platform = replace(platform, settings=Settings(_env_file=None, time_zone="America/New_York"))
    train_detectors(platform, at=END)
    bundle = DetectorBundle.from_files(registry.load("detector")[1])
    days = (int(coming.timestamp()) // 86_400,)
    assert {one.baselines.clock for one in bundle.models.values()} == {LocalClock("America/New_York", days)}
    assert build_baselines(platform, at=END).series == 16


def test_a_stored_profile_is_that_of_the_coming_days() -> None:
    noon = int(datetime(2026, 3, 27, 12, tzinfo=UTC).timestamp())  # a Friday
    times_s = next_times_s(noon, 7 * 86_400, 3600)
    assert times_s.min() == noon
    assert times_s.max() == noon + (7 * 24 - 1) * 3600
    monday = int(datetime(2026, 3, 30, tzinfo=UTC).timestamp())
    assert times_s[0] == monday
    assert times_s[4 * 24 + 12] == noon
