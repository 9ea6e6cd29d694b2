"""Baselines learn the season, survive anomalies, widen with little history, and follow a deploy."""

import numpy as np
import pytest

from core.durations import DAY_S
from models.baseline.baselines import Baselines, concatenate, fit_baselines
from models.baseline.seasons import DAILY, NONE, WEEKLY, slot_length_s
from models.series.grid import Grid, slot_of

MONDAY_S = 1_767_571_200  # 2026-01-05 00:00 UTC
STEP_S = 300


def grid_of(values: np.ndarray, step_s: int = STEP_S, start_s: int = MONDAY_S) -> Grid:
    matrix = np.atleast_2d(values)
    return Grid(np.arange(len(matrix), dtype=np.int64), start_s, step_s, matrix)


def daily_course(days: float, *, seed: int = 1, weekend: float = 0.0, noise: float = 0.5) -> np.ndarray:
    times_s = MONDAY_S + STEP_S * np.arange(int(days * 288))
    weekday = (times_s - MONDAY_S) // DAY_S % 7
    course = 20 + 5 * np.sin(2 * np.pi * times_s / DAY_S) - weekend * (weekday >= 5)
    made: np.ndarray = course + np.random.default_rng(seed).normal(0, noise, times_s.size)
    return made


def test_a_daily_course_is_learned_and_expected_again() -> None:
    table = fit_baselines(grid_of(daily_course(30))).baselines
    assert table.seasonality[0] == DAILY
    ahead = MONDAY_S + 30 * DAY_S + STEP_S * np.arange(288)
    assert np.abs(table.expected(0, ahead) - (20 + 5 * np.sin(2 * np.pi * ahead / DAY_S))).max() < 0.6


def test_a_weekend_is_learned_as_a_weekly_course() -> None:
    table = fit_baselines(grid_of(daily_course(30, weekend=8.0))).baselines
    assert table.seasonality[0] == WEEKLY
    saturday_noon = np.array([MONDAY_S + 33 * DAY_S + DAY_S // 2 + DAY_S * 0])
    monday_noon = np.array([MONDAY_S + 35 * DAY_S + DAY_S // 2])
    assert slot_of(saturday_noon, DAY_S, 7 * DAY_S)[0] == 5
    assert table.expected(0, monday_noon)[0] - table.expected(0, saturday_noon)[0] == pytest.approx(
        8, abs=1.0
    )


def test_noise_has_no_season() -> None:
    noise = np.random.default_rng(3).normal(5, 1, (4, 30 * 288))
    assert (fit_baselines(grid_of(noise)).baselines.seasonality == NONE).all()


def test_anomalies_in_the_history_hardly_move_what_is_expected() -> None:
    clean = daily_course(30)
    dirty = clean.copy()
    dirty[np.random.default_rng(4).choice(clean.size, 400, replace=False)] += 100
    tables = [fit_baselines(grid_of(one)).baselines for one in (clean, dirty)]
    ahead = MONDAY_S + 30 * DAY_S + STEP_S * np.arange(288)
    assert np.abs(tables[0].expected(0, ahead) - tables[1].expected(0, ahead)).max() < 0.5


def test_what_is_excluded_is_not_learned() -> None:
    values = daily_course(30)
    values[4000:6000] = 500.0
    excluded = np.zeros((1, values.size), dtype=np.bool_)
    excluded[0, 4000:6000] = True
    fitted = fit_baselines(grid_of(values), excluded=excluded)
    assert fitted.baselines.percentiles[0].max() < 30
    assert fitted.baselines.count[0] == values.size - 2000


def test_the_band_holds_about_95_percent_of_the_next_day() -> None:
    values = np.stack([daily_course(31, seed=seed) for seed in range(20)])
    table = fit_baselines(grid_of(values[:, : 30 * 288])).baselines
    ahead = MONDAY_S + 30 * DAY_S + STEP_S * np.arange(288)
    inside = []
    for row in range(20):
        lower, upper = table.band(row, ahead)
        inside.append(np.mean((values[row, 30 * 288 :] >= lower) & (values[row, 30 * 288 :] <= upper)))
    assert 0.93 < np.mean(inside) < 1.0


def test_with_little_history_the_band_is_wider() -> None:
    widths = []
    for days in (0.5, 3, 30):
        table = fit_baselines(grid_of(np.random.default_rng(5).normal(10, 1, int(days * 288)))).baselines
        lower, upper = table.band(0, np.array([MONDAY_S + 40 * DAY_S]))
        widths.append(float(upper[0] - lower[0]))
    assert widths[0] > widths[1] > widths[2]


def test_after_the_shift_of_a_deploy_the_new_level_is_normal_within_hours() -> None:
    values = daily_course(20)
    deploy = MONDAY_S + int(19.6 * DAY_S)
    values[int(19.6 * 288) :] += 10
    fitted = fit_baselines(grid_of(values), deploys_s={0: [deploy]})
    shift = fitted.shifts[0][-1]
    assert abs(shift.at_s - deploy) <= 2 * 3600
    assert shift.deploy_s == deploy
    assert fitted.baselines.level[0] == pytest.approx(30, abs=1.0)


def test_quiet_series_have_no_shifts() -> None:
    values = np.stack([daily_course(30, seed=seed) for seed in range(20)])
    assert sum(map(len, fit_baselines(grid_of(values)).shifts)) == 0


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.full(2000, 7.0), id="constant"),
        pytest.param(np.full(2000, np.nan), id="all missing"),
        pytest.param(np.where(np.arange(2000) % 50 == 0, 1.0, 0.0), id="sparse"),
        pytest.param(np.where(np.arange(2000) % 3 == 0, np.nan, 4.0), id="gaps"),
        pytest.param(np.arange(2000) % 288.0, id="daily reset"),
        pytest.param(np.array([5.0]), id="one value"),
    ],
)
def test_odd_series_get_finite_baselines(values: np.ndarray) -> None:
    table = fit_baselines(grid_of(values)).baselines
    assert np.isfinite(table.scale).all()
    assert (table.scale > 0).all()
    if np.isfinite(values).any():
        lower, upper = table.band(0, np.array([MONDAY_S + 10 * DAY_S]))
        assert np.isfinite([lower, upper]).all()
    else:
        assert np.isnan(table.level[0])


def test_all_at_once_equals_one_by_one() -> None:
    values = np.stack([daily_course(20, seed=seed, weekend=seed) for seed in range(5)])
    together = fit_baselines(grid_of(values)).baselines
    single = concatenate(
        [fit_baselines(Grid(np.array([i]), MONDAY_S, STEP_S, values[i : i + 1])).baselines for i in range(5)]
    )
    for name, array in together.to_arrays().items():
        np.testing.assert_array_equal(array, single.to_arrays()[name], err_msg=name)


def test_arrays_bring_a_table_back() -> None:
    table = fit_baselines(grid_of(daily_course(10))).baselines
    back = Baselines.from_arrays(table.to_arrays())
    assert (back.slot_s, back.end_s) == (table.slot_s, table.end_s)
    np.testing.assert_array_equal(back.daily, table.daily)


@pytest.mark.parametrize(("step_s", "slot_s"), [(60, 300), (300, 300), (3600, 3600), (420, 432)])
def test_a_slot_divides_the_day(step_s: int, slot_s: int) -> None:
    assert slot_length_s(step_s) == slot_s
    values = np.random.default_rng(6).normal(size=3 * DAY_S // step_s)
    assert np.isfinite(fit_baselines(grid_of(values, step_s)).baselines.level[0])


@pytest.mark.parametrize("first_weekday", range(7))
def test_a_quiet_weekend_is_found_whatever_weekday_the_window_begins_with(first_weekday: int) -> None:
    day = np.arange(28).repeat(24) + first_weekday  # 1970-01-05 was a Monday
    rng = np.random.default_rng(5)
    values = 100 - 40.0 * (day % 7 >= 5) + rng.normal(0, 1, day.size)
    grid = Grid(np.array([1]), (4 + first_weekday) * 86_400, 3600, values[None, :])
    baselines = fit_baselines(grid).baselines
    assert baselines.seasonality[0] == WEEKLY
    coming = baselines.end_s + 3600 * np.arange(7 * 24, dtype=np.int64)
    truth = 100 - 40.0 * (((coming // 86_400) + 3) % 7 >= 5)
    assert np.max(np.abs(baselines.expected(0, coming) - truth)) < 5
