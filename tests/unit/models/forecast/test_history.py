"""From samples to an even grid: bins close at the present, masks spare the last hours, gaps take their season."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.domain import Role, Series, SeriesKind
from core.errors import InputError, InsufficientDataError
from core.frames import SAMPLES
from models.forecast.history import (
    ServiceCalendar,
    bounds_of,
    fill_gaps,
    histories,
    mask_spans,
    on_grid,
    resolution,
    seasons_of,
)
from models.forecast.prepared import make_ready
from models.forecast.protocols import Bounds, History

START = datetime(2026, 1, 5, tzinfo=UTC)


def samples(values: list[float], step_s: int = 300, start: datetime = START) -> pl.DataFrame:
    ts = [start + timedelta(seconds=step_s * number) for number in range(len(values))]
    return pl.DataFrame({"series_id": [1] * len(values), "ts": ts, "value": values}, schema=dict(SAMPLES))


def test_bins_close_at_the_present_whatever_the_minute() -> None:
    frame = samples([float(value) for value in range(24)])
    end = START + timedelta(minutes=120)
    assert on_grid(frame, step_s=3_600, end=end, steps=2)[1].tolist() == [5.5, 17.5]
    later = on_grid(frame, step_s=3_600, end=START + timedelta(minutes=100), steps=1)
    assert later[1].tolist() == [np.mean(range(8, 20))]


def test_nothing_at_or_after_the_present_is_read() -> None:
    frame = samples([1.0] * 12 + [1e9] * 12)
    assert on_grid(frame, step_s=3_600, end=START + timedelta(hours=1), steps=1)[1].tolist() == [1.0]


def test_a_bin_without_values_is_missing_and_not_zero() -> None:
    frame = pl.concat([samples([1.0] * 12), samples([3.0] * 12, start=START + timedelta(hours=2))])
    values = on_grid(frame, step_s=3_600, end=START + timedelta(hours=3), steps=3)[1]
    assert np.isnan(values[1])
    assert values[[0, 2]].tolist() == [1.0, 3.0]


def test_masks_spare_the_last_hours() -> None:
    span = (START + timedelta(hours=2), START + timedelta(hours=10))
    masked = mask_spans(np.ones(10), START, 3_600, [span], keep_last=3)
    assert np.isnan(masked[2:7]).all()
    assert np.isfinite(masked[[0, 1, 7, 8, 9]]).all()


def test_a_long_gap_takes_its_course_from_the_seasons_around_it() -> None:
    values = np.tile(np.arange(24.0), 6)
    holes = values.copy()
    holes[60:72] = np.nan
    assert fill_gaps(holes, 24) == pytest.approx(values)


def test_a_short_gap_is_bridged() -> None:
    values = np.arange(10, dtype=np.float64)
    values[4] = np.nan
    assert fill_gaps(values, None) == pytest.approx(np.arange(10.0))


def test_one_value_is_too_few() -> None:
    with pytest.raises(InsufficientDataError):
        fill_gaps(np.array([np.nan, 1.0]), None)


@pytest.mark.parametrize(
    ("series", "bounds"),
    [
        ({"kind": SeriesKind.RATIO}, Bounds(lower=0.0, upper=1.0)),
        ({"role": Role.TRAFFIC}, Bounds(lower=0.0)),
        ({"role": Role.SATURATION}, Bounds()),
    ],
)
def test_bounds_follow_the_kind_and_the_role(series: dict[str, Any], bounds: Bounds) -> None:
    assert bounds_of(Series(tenant="t", service="s", metric="m", **series)) == bounds


def test_seasons_are_a_day_and_a_week() -> None:
    assert seasons_of(3_600) == (24, 168)
    assert seasons_of(300) == (288, 2016)
    assert seasons_of(86_400) == (7,)


def test_the_past_of_a_backtest_knows_no_later_deploy() -> None:
    history = History(
        values=np.ones(10),
        start=START,
        step_s=3_600,
        deploys=(START + timedelta(hours=2), START + timedelta(hours=8)),
    )
    assert history.until(5).deploys == (START + timedelta(hours=2),)
    assert history.until(5).end == START + timedelta(hours=5)


def test_seasons_must_ascend() -> None:
    with pytest.raises(InputError):
        History(values=np.ones(10), start=START, step_s=3_600, seasons=(168, 24))


def test_histories_begin_with_the_first_value_and_leave_out_exclusions() -> None:
    series = Series(tenant="t", service="s", metric="m")
    frame = samples([1.0] * 12 * 48).with_columns(series_id=pl.lit(series.series_id))
    end = START + timedelta(hours=48)
    found = histories(
        frame,
        {series.series_id: series},
        step_s=3_600,
        end=end,
        steps=100,
        calendar=ServiceCalendar(
            exclusions={"s": [(START + timedelta(hours=4), START + timedelta(hours=6))]}
        ),
    )
    history = found[series.series_id]
    assert history.start == START
    assert history.end == end
    assert np.flatnonzero(np.isnan(history.values)).tolist() == [4, 5]


def test_the_resolution_is_the_smallest_step_between_values() -> None:
    assert resolution(np.array([1.0, 1.5, 1.5, 3.0])) == 0.5
    assert resolution(np.full(3, 7.0)) > 0


def test_a_fine_grid_is_forecast_on_24_points_and_gets_its_shape_back() -> None:
    t = np.arange(288 * 10)
    values = 10 + np.sin(2 * np.pi * t / 288) + (t % 12 == 0)
    ready = make_ready(History(values=values, start=START, step_s=300, seasons=(288, 2016)))
    assert ready.factor == 12
    assert ready.seasons == (24,)
    path = ready.path(lambda coarse, seasons, steps: np.resize(coarse[-24:], steps), 288)
    assert path == pytest.approx(values[-288:], abs=0.12)
