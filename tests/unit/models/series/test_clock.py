"""Seasons by the clock on the wall, and holidays: named cases on a made course."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from core.domain import Event, EventKind, Series
from core.durations import DAY_S
from core.frames import EXCLUSIONS
from models.baseline.baselines import Baselines, fit_baselines
from models.detect.bundle import DetectorBundle, DetectorOptions
from models.series.clock import LocalClock, clocks, is_time_zone, to_local
from models.series.grid import Grid

BERLIN = "Europe/Berlin"
STEP_S = 900
#: Clocks go forward in the night to 29 March 2026 and back in that to 25 October 2026.
FORWARD, BACK = date(2026, 3, 29), date(2026, 10, 25)


def epoch(day: date, hour: float = 0.0) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + 3600 * hour)


def days_of(*days: date) -> tuple[int, ...]:
    return tuple(epoch(day) // DAY_S for day in days)


def course(times_s: np.ndarray, holidays: tuple[int, ...] = (), weekend: float = 40.0) -> np.ndarray:
    """What people in Berlin do: most at 14:00 by their clock, `weekend` less on days off."""
    local = np.array([
        datetime.fromtimestamp(int(at), ZoneInfo(BERLIN)).replace(tzinfo=UTC).timestamp() for at in times_s
    ])  # fmt: skip
    day = (local // DAY_S).astype(int)
    off = (((day + 3) % 7) >= 5) | np.isin(day, holidays)
    # sharp enough that an hour's difference is many spreads
    work = 100 * np.exp(-(((local % DAY_S) / 3600 - 14) ** 2) / 8)
    rng = np.random.default_rng(3)
    made: np.ndarray = 200 + work - weekend * off + rng.normal(0, 1, local.size)
    return made


def learned(
    end: date,
    days: int = 28,
    clock: LocalClock | None = None,
    holidays: tuple[int, ...] = (),
    gap: bool = False,
) -> Baselines:
    times_s = np.arange(epoch(end) - days * DAY_S, epoch(end), STEP_S, dtype=np.int64)
    values = course(times_s, holidays)[None, :]
    if gap:
        values[:, 5 * 96 : 8 * 96] = np.nan
    grid = Grid(np.array([1]), int(times_s[0]), STEP_S, values)
    return fit_baselines(grid, clock=clock or LocalClock(BERLIN)).baselines


def worst_miss(baselines: Baselines, day: date) -> float:
    """Largest distance of expectation and truth over a day, in spreads."""
    times_s = np.arange(epoch(day), epoch(day) + DAY_S, STEP_S, dtype=np.int64)
    return float(np.max(np.abs(course(times_s) - baselines.expected(0, times_s))))


@pytest.mark.parametrize("change", [FORWARD, BACK])
@pytest.mark.parametrize("gap", [False, True])
def test_the_season_holds_on_the_days_after_clocks_changed(change: date, gap: bool) -> None:
    for after in (1, 2, 3):
        day = change + timedelta(days=after)
        local = learned(change, gap=gap)
        by_utc = learned(change, clock=LocalClock(), gap=gap)
        assert worst_miss(local, day) < 9.0
        assert worst_miss(by_utc, day) > 20.0  # what it saves


@pytest.mark.parametrize("change", [FORWARD, BACK])
def test_the_season_holds_when_clocks_changed_amid_what_was_learned(change: date) -> None:
    baselines = learned(change + timedelta(days=10))
    assert worst_miss(baselines, change + timedelta(days=12)) < 9.0
    assert float(baselines.scale[0].max()) < 4.0  # an hour off half the days would be far wider


def test_the_hour_that_lacks_is_a_gap_and_the_hour_that_comes_twice_is_averaged() -> None:
    def local(change: date) -> Grid:
        values = np.arange(24, dtype=np.float64)[None, :]
        return to_local(Grid(np.array([1]), epoch(change), 3600, values), LocalClock(BERLIN))

    forward, back = local(FORWARD), local(BACK)
    assert forward.values[0].tolist()[:3] == [0.0, pytest.approx(np.nan, nan_ok=True), 1.0]
    assert forward.values.shape[1] == 25
    assert back.values[0].tolist()[:2] == [0.5, 2.0]
    assert back.values.shape[1] == 23


def test_local_time_and_back_is_where_one_was() -> None:
    clock = LocalClock(BERLIN)
    for at in (epoch(FORWARD, 0.5), epoch(FORWARD, 1.5), epoch(BACK, 5.0), epoch(date(2026, 7, 1))):
        assert clock.utc_s(int(clock.local_s(np.array([at]))[0])) == at


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/St_Johns", "Pacific/Chatham"])
def test_zones_that_are_off_by_parts_of_an_hour_keep_every_value(zone: str) -> None:
    grid = Grid(np.array([1]), epoch(date(2026, 5, 4)), 300, np.arange(288, dtype=np.float64)[None, :])
    assert np.array_equal(to_local(grid, LocalClock(zone)).values, grid.values)


def test_a_holiday_goes_like_a_sunday_and_its_band_holds_the_weekday_too() -> None:
    holiday = date(2026, 5, 14)  # a Thursday
    clock = LocalClock(BERLIN, days_of(holiday))
    baselines = learned(date(2026, 5, 13), clock=clock)
    noon, sunday = np.array([epoch(holiday, 10)]), np.array([epoch(date(2026, 5, 17), 10)])
    before = np.array([epoch(date(2026, 5, 13), 10)])
    assert baselines.season(0, noon) == pytest.approx(baselines.season(0, sunday))
    assert baselines.season(0, before)[0] > baselines.season(0, noon)[0] + 30
    usual, wide = baselines.scale_at(0, before)[0], baselines.scale_at(0, noon)[0]
    assert wide > 2 * usual
    as_weekday = abs(baselines.season(0, before)[0] - baselines.season(0, noon)[0])
    assert as_weekday / wide < 3  # no alarm if people work after all


def test_a_holiday_in_the_history_teaches_how_far_holidays_stray_and_not_what_its_weekday_is_like() -> None:
    seen = days_of(date(2026, 5, 1))  # a Friday
    aware = learned(date(2026, 5, 13), days=28, clock=LocalClock(BERLIN, seen), holidays=seen)
    assert 1.0 <= aware.holiday_width[0] < 2.0  # went like a Sunday, as expected
    unaware = learned(date(2026, 5, 13), days=28, holidays=seen)
    assert unaware.holiday_width[0] == 2.0


def test_a_bundle_keeps_its_clock_and_calls_neither_the_new_hour_nor_a_known_holiday_an_anomaly() -> None:
    series = Series(tenant="t", service="shop", metric="logins", step_s=STEP_S)
    holiday = FORWARD + timedelta(days=2)  # a Tuesday
    at = datetime(holiday.year, holiday.month, holiday.day, tzinfo=UTC)
    event = Event(tenant="t", service="*", kind=EventKind.HOLIDAY, at=at, title="Founders' day")

    def samples(first_s: int, days: int) -> pl.DataFrame:
        times_s = np.arange(first_s, first_s + days * DAY_S, STEP_S, dtype=np.int64)
        ts = pl.Series("ts", times_s * 1_000_000).cast(pl.Datetime("us", "UTC"))
        values = course(times_s, days_of(holiday))
        return pl.DataFrame({"series_id": [series.series_id] * times_s.size, "ts": ts, "value": values})

    border = epoch(FORWARD)
    history, future = samples(border - 28 * DAY_S, 28), samples(border, 4)
    none = pl.DataFrame(schema=dict(EXCLUSIONS))
    options = DetectorOptions(time_zone=BERLIN, alarms_per_week=0.5)
    bundle = DetectorBundle.fit(history, [series], none, [event], options)
    bundle = DetectorBundle.from_files(bundle.to_files())
    aware = bundle.score(future)["is_anomaly"].sum()
    plain = DetectorBundle.fit(history, [series], none, options=DetectorOptions(alarms_per_week=0.5))
    unaware = plain.score(future)["is_anomaly"].sum()
    assert aware == 0
    assert unaware > 10
    lower = -60 * ((pl.col("ts") > at + timedelta(hours=10)) & (pl.col("ts") < at + timedelta(hours=14)))
    worse = bundle.score(future.with_columns(pl.col("value") + lower))
    assert worse["is_anomaly"].sum() > 0  # a holiday is no licence


def test_series_live_by_their_label_or_by_the_setting_and_holidays_by_their_service() -> None:
    def one(service: str, **labels: str) -> Series:
        return Series(tenant="t", service=service, metric="m", labels=labels)

    series = [one("a"), one("b"), one("a", time_zone="Asia/Tokyo"), one("a", time_zone="Moon/Crater")]
    at = datetime(2026, 12, 25, tzinfo=UTC)
    events = [
        Event(tenant="t", service="*", kind=EventKind.HOLIDAY, at=at),
        Event(tenant="t", service="b", kind=EventKind.HOLIDAY, at=at, until=at + timedelta(days=2)),
        Event(tenant="t", service="*", kind=EventKind.DEPLOY, at=at),
    ]
    first, second = days_of(date(2026, 12, 25), date(2026, 12, 26))
    assert clocks(series, events, BERLIN) == {
        LocalClock(BERLIN, (first,)): [series[0], series[3]],
        LocalClock(BERLIN, (first, second)): [series[1]],
        LocalClock("Asia/Tokyo", (first,)): [series[2]],
    }
    assert [is_time_zone(name) for name in ("UTC", "Moon/Crater", "")] == [True, False, False]
