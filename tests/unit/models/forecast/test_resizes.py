"""A resized disk changes its used share at once, and Forewarn reads this step as no growth and no anomaly."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from core.arrays import FloatArray
from core.domain import Direction, EventKind, Role, Series, SeriesKind
from core.frames import EXCLUSIONS, SAMPLES
from core.resizes import is_resize_of, resize_event
from models.breach.bundle import BreachBundle
from models.breach.outlook import BreachOutlook
from models.detect.bundle import DetectorBundle, DetectorOptions
from models.forecast.bundle import ForecasterBundle
from models.forecast.choice.selection import Plan, select
from models.forecast.entry import Entry
from models.forecast.files import ForecastParts
from models.forecast.history import histories
from models.forecast.protocols import History
from models.forecast.recent import recent_of
from models.forecast.resizes import adapted_history, adapted_samples, measure_resize
from models.signals.anomaly import anomaly_signals

TRAINED = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 14
RESIZED = TRAINED + timedelta(hours=8)
NOW = RESIZED + timedelta(hours=2)
USED = Series(
    tenant="t",
    service="web1",
    metric="filesystem_used_ratio",
    labels={"mountpoint": "/var"},
    kind=SeriesKind.RATIO,
    unit="ratio",
    role=Role.CAPACITY,
    direction=Direction.UP_IS_BAD,
    limit=1.0,
)
FREE = replace(USED, metric="filesystem_free_ratio", direction=Direction.DOWN_IS_BAD, limit=0.0)
FREE_BYTES = replace(FREE, metric="filesystem_avail_bytes", kind=SeriesKind.GAUGE, unit="bytes")
SERIES = (USED, FREE, FREE_BYTES)


def course(
    series: Series, *, before: float, after: float, used: float = 40.0, pace: float = 0.0
) -> pl.DataFrame:
    """A disk in percent of its first size, which grows by `pace` an hour from five hours before the resize on."""
    start, end = TRAINED - timedelta(days=DAYS), NOW + timedelta(days=1)
    times = pl.datetime_range(start, end, "5m", closed="left", eager=True, time_zone="UTC")
    seconds = times.dt.epoch("s").to_numpy()
    hours = np.maximum((seconds - RESIZED.timestamp()) / 3_600 + 5, 0.0)
    filled = used + pace * hours + np.random.default_rng(3).normal(0, 0.1, len(times))
    size = np.where(seconds < RESIZED.timestamp(), before, after)
    values = filled / size
    if series is not USED:
        values = size - filled if series is FREE_BYTES else 1 - values
    columns = {"series_id": [series.series_id] * len(times), "ts": times, "value": values}
    return pl.DataFrame(columns, schema=dict(SAMPLES))


def outlook_at(series: Series, samples: pl.DataFrame, now: datetime, *, known: bool = True) -> BreachOutlook:
    past = histories(samples, {series.series_id: series}, step_s=3_600, end=TRAINED, steps=24 * DAYS)
    history = past[series.series_id]
    entry = Entry(series=series, history=history, choice=select(history, Plan(origins=6)))
    bundle = BreachBundle(ForecasterBundle(ForecastParts(entries={series.series_id: entry})))
    if known:
        resize = measure_resize(series, RESIZED, samples)
        assert resize is not None
        bundle = bundle.with_resizes({series.series_id: [resize]})
    _, outlook = bundle.outlook(series.series_id, recent_of(samples)[series.series_id], now)
    assert outlook is not None
    return outlook


@pytest.mark.parametrize("series", SERIES, ids=lambda one: one.metric)
@pytest.mark.parametrize(("before", "after"), [(100.0, 200.0), (100.0, 60.0)], ids=["doubled", "shrunk"])
@pytest.mark.parametrize("minutes", [5, 20, 65, 125])
def test_a_resized_disk_that_does_not_grow_is_no_breach(
    series: Series, before: float, after: float, minutes: int
) -> None:
    samples = course(series, before=before, after=after)
    outlook = outlook_at(series, samples, RESIZED + timedelta(minutes=minutes))
    used = 40.0 / after
    level = {USED.metric: used, FREE.metric: 1 - used, FREE_BYTES.metric: after - 40.0}[series.metric]
    whole = after if series is FREE_BYTES else 1.0
    assert outlook.level == pytest.approx(level, rel=0.01)
    assert abs(outlook.growth.per_hour) < 0.001 * whole
    assert outlook.breach.probability == 0.0


@pytest.mark.parametrize("series", SERIES, ids=lambda one: one.metric)
@pytest.mark.parametrize(("before", "after"), [(100.0, 200.0), (200.0, 100.0)], ids=["doubled", "halved"])
@pytest.mark.parametrize("minutes", [20, 125])
def test_the_prediction_is_that_of_a_disk_that_always_had_the_new_size(
    series: Series, before: float, after: float, minutes: int
) -> None:
    pace = 3.0 if after == 100.0 else 8.0
    now = RESIZED + timedelta(minutes=minutes)
    resized = outlook_at(series, course(series, before=before, after=after, pace=pace), now)
    always = outlook_at(series, course(series, before=after, after=after, pace=pace), now, known=False)
    assert resized.growth.per_hour == pytest.approx(always.growth.per_hour, rel=0.1)
    assert abs(resized.breach.probability - always.breach.probability) < 0.1
    assert resized.breach.when is not None
    assert always.breach.when is not None
    left = always.breach.when.p50 - now
    assert abs(resized.breach.when.p50 - always.breach.when.p50) < max(0.1 * left, timedelta(minutes=30))


def test_the_fields_of_an_event_find_the_series_and_its_mirror_and_no_other() -> None:
    size = resize_event(USED, "size", 1e11, 2e11, unit="bytes", at=RESIZED)
    assert size.title == "web1 /var filesystem_used_ratio: size from 93.1 GiB to 186 GiB"
    whole = replace(USED, metric="memory_used_ratio", labels={})
    others = (
        replace(USED, labels={"mountpoint": "/"}),
        replace(USED, service="web2"),
        replace(USED, metric="disk_busy_ratio", role=Role.SATURATION),
        whole,
    )
    assert all(is_resize_of(size, one) for one in SERIES)
    assert not any(is_resize_of(size, one) for one in others)
    memory = resize_event(whole, "size", 1e9, 2e9, unit="bytes", at=RESIZED)
    assert [one for one in (*SERIES, *others) if is_resize_of(memory, one)] == [whole]
    assert is_resize_of(replace(size, title="web1 grew"), FREE)
    by_hand = replace(size, metric=None, labels={})
    assert not is_resize_of(by_hand, USED)
    assert not is_resize_of(replace(size, kind=EventKind.DEPLOY), USED)


def test_used_bytes_do_not_change_with_the_size() -> None:
    used = replace(USED, metric="filesystem_used_bytes", kind=SeriesKind.GAUGE, unit="bytes")
    samples = course(FREE_BYTES, before=100.0, after=200.0).with_columns(series_id=pl.lit(used.series_id))
    assert measure_resize(used, RESIZED, samples) is None
    assert measure_resize(USED, RESIZED, samples) is None  # it has no samples


def test_values_that_step_at_another_time_are_not_adapted() -> None:
    samples = course(FREE_BYTES, before=100.0, after=200.0)
    assert measure_resize(FREE_BYTES, RESIZED + timedelta(minutes=30), samples) is None
    assert measure_resize(FREE_BYTES, RESIZED - timedelta(hours=5), samples) is None


@pytest.mark.parametrize("series", SERIES, ids=lambda one: one.metric)
def test_samples_and_hours_are_adapted_alike(series: Series) -> None:
    samples = course(series, before=100.0, after=200.0, pace=1.0).filter(pl.col("ts") < NOW)
    resize = measure_resize(series, RESIZED, samples)
    assert resize is not None

    def hourly(values: FloatArray) -> History:
        frame = samples.with_columns(value=pl.Series(values))
        return histories(frame, {series.series_id: series}, step_s=3_600, end=NOW, steps=24)[series.series_id]

    recent = recent_of(samples)[series.series_id]
    by_hours, by_samples = (
        adapted_history(hourly(recent.values), [resize]),
        hourly(adapted_samples(recent, [resize]).values),
    )
    assert by_hours.in_unit(by_hours.values) == pytest.approx(by_samples.in_unit(by_samples.values), rel=1e-9)


@pytest.mark.parametrize("to", [60.0, 40.5], ids=["below the threshold", "past the threshold"])
def test_a_resize_explains_the_step_of_its_series_unless_it_is_full(to: float) -> None:
    samples = course(USED, before=100.0, after=to)
    learned = DetectorBundle.fit(
        samples.filter(pl.col("ts") < TRAINED),
        [USED],
        pl.DataFrame(schema=dict(EXCLUSIONS)),
        options=DetectorOptions(seed=3),
    )
    event = resize_event(USED, "size", 100.0, to, unit="bytes", at=RESIZED)
    other = resize_event(replace(USED, service="web2"), "size", 1.0, to, unit="", at=RESIZED)
    for events in ((event,), (other,)):
        scored = learned.score(samples.filter(pl.col("ts") >= TRAINED), events)
        found = anomaly_signals(learned.fleet, scored, None, since=TRAINED, events=events)
        open_ = [one for one in found if one.suppressed_by is None]
        explained = events == (event,) and to == 60.0
        assert bool(open_) != explained, [(one.summary, one.started_at, one.filters) for one in found]
        if explained:
            assert any("size was changed" in result.reason for one in found for result in one.filters)
            later = scored.filter(pl.col("ts") >= RESIZED + timedelta(hours=20))
            for known, alerts in (((event,), 0), ((), 1)):
                lasting = anomaly_signals(learned.fleet, later, None, since=TRAINED, events=known)
                assert len([one for one in lasting if one.suppressed_by is None]) == alerts
