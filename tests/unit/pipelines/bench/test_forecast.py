"""The forecasting bench: the layouts it reads, the figures it gives, and that it never looks ahead."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from data_sets import DATASETS

from core.errors import InputError, InsufficientDataError
from models.forecast.choice.fleet_model import MIN_SERIES
from pipelines.bench.forecast import bench_forecast
from pipelines.bench.forecast_metrics import coverage, mase, msis, naive2, owa, scale_of, smape
from pipelines.bench.forecast_run import ForecastSetup, with_week
from pipelines.bench.forecast_sets import read_set


def course(n: int, seed: int = 1) -> np.ndarray:
    t = np.arange(n)
    return 100 + 20 * np.sin(2 * np.pi * t / 24) + np.random.default_rng(seed).normal(0, 2, n)


def write_m4(folder: Path, *, with_test: bool, lengths: tuple[int, ...] = (400, 500)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    width = max(lengths)
    train, test = ["V1," + ",".join(f"V{k}" for k in range(2, width + 2))], ["V1,V2"]
    for number, n in enumerate(lengths, start=1):
        values = course(n + 24, number)
        cells = [f"{value:.3f}" for value in values[:n]] + [""] * (width - n)
        train.append(f'"H{number}",' + ",".join(cells))
        test.append(f'"H{number}",' + ",".join(f"{value:.3f}" for value in values[n:]))
    (folder / "Hourly-train.csv").write_text("\n".join(train))
    if with_test:
        (folder / "Hourly-test.csv").write_text("\n".join(test))
    return folder


def test_a_series_too_short_to_forecast_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    folder = write_m4(tmp_path / "m4", with_test=False, lengths=(400, 1))
    with pytest.raises(InsufficientDataError, match="leave out the series with fewer: H2"):
        bench_forecast(folder, "m4", ForecastSetup(horizon=24, season=(24,)), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_m4_with_a_test_file_is_scored_and_written(tmp_path: Path) -> None:
    folder = write_m4(tmp_path / "m4", with_test=True)
    report = bench_forecast(
        folder,
        "m4",
        ForecastSetup(horizon=24, season=(24, 168)),
        out=tmp_path / "out",
        json_file=tmp_path / "figures.json",
    )
    ours = report.models["forewarn"]
    assert report.series == 2
    assert 0.3 < ours.mase < 1.0
    assert ours.owa < 1
    assert 0.5 < ours.coverage["80"] <= 1
    frame = pl.read_parquet(tmp_path / "out" / "forecasts.parquet")
    assert frame.columns == ["unique_id", "step", "yhat", "lo_80", "hi_80", "lo_95", "hi_95"]
    assert frame.height == 48
    assert frame["step"].min() == 1
    assert json.loads((tmp_path / "figures.json").read_text())["models"]["forewarn"]["mase"] == ours.mase


def test_the_train_file_alone_finds_its_test_file(tmp_path: Path) -> None:
    folder = write_m4(tmp_path, with_test=True)
    assert all(one.future is not None for one in read_set(folder / "Hourly-train.csv", "m4"))


def test_without_a_test_file_it_forecasts_beyond_the_end(tmp_path: Path) -> None:
    folder = write_m4(tmp_path / "m4", with_test=False)
    report = bench_forecast(folder, "m4", ForecastSetup(horizon=12), out=tmp_path / "out")
    assert np.isnan(report.models["forewarn"].mase)
    assert pl.read_parquet(tmp_path / "out" / "forecasts.parquet").height == 24


def test_without_anything_to_compare_with_the_error_names_the_two_remedies(tmp_path: Path) -> None:
    folder = write_m4(tmp_path / "m4", with_test=False)
    with pytest.raises(InputError, match=r"no test file.* --origins N .* or --out FOLDER"):
        bench_forecast(folder, "m4", ForecastSetup(horizon=12), json_file=tmp_path / "figures.json")
    assert not (tmp_path / "figures.json").exists()
    bench_forecast(
        folder, "m4", ForecastSetup(horizon=12), out=tmp_path / "out", json_file=tmp_path / "figures.json"
    )
    figures = json.loads((tmp_path / "figures.json").read_text(), parse_constant=pytest.fail)
    assert figures["models"]["forewarn"]["mase"] is None


def test_a_series_too_short_for_one_origin_is_named_and_not_dropped(tmp_path: Path) -> None:
    folder = write_m4(tmp_path / "m4", with_test=False, lengths=(400, 30))
    with pytest.raises(InsufficientDataError, match=r"24 steps need 32 values; .* fewer: H2"):
        bench_forecast(folder, "m4", ForecastSetup(horizon=24, origins=2))


def test_rolling_origins_do_not_see_what_comes_after_them(tmp_path: Path) -> None:
    folder = write_m4(tmp_path / "a", with_test=False, lengths=(400,))
    other = write_m4(tmp_path / "b", with_test=False, lengths=(400,))
    file = other / "Hourly-train.csv"
    lines = file.read_text().split("\n")
    cells = lines[1].split(",")
    lines[1] = ",".join(cells[:-24] + ["99999"] * 24)
    file.write_text("\n".join(lines))
    for folder_, out in ((folder, "x"), (other, "y")):
        bench_forecast(folder_, "m4", ForecastSetup(horizon=24, origins=2), out=tmp_path / out)
    first, second = (pl.read_parquet(tmp_path / out / "forecasts.parquet") for out in "xy")
    assert first.equals(second)


def test_what_is_learned_across_many_series_does_not_see_what_comes_after_the_origin(tmp_path: Path) -> None:
    t = np.arange(400)
    dips = 40.0 * np.isin(t // 12 % 9, (4, 5))
    rows = [course(400, seed) - dips for seed in range(MIN_SERIES)]
    wild = [np.r_[row[:-12], np.full(12, 99_999.0)] for row in rows]
    for name, found in (("a", rows), ("b", wild)):
        (tmp_path / name).mkdir()
        lines = [f"H{number}," + ",".join(map(str, row)) for number, row in enumerate(found)]
        (tmp_path / name / "Hourly-train.csv").write_text("\n".join(["V1,V2", *lines]))
    reports = [
        bench_forecast(
            tmp_path / name, "m4", ForecastSetup(horizon=12, season=(24,), origins=1), out=tmp_path / out
        )
        for name, out in ("ax", "by")
    ]
    assert reports[0].winners.get("global_trees", 0) > 0
    first, second = (pl.read_parquet(tmp_path / out / "forecasts.parquet") for out in "xy")
    assert first.equals(second)


def test_a_week_is_looked_at_where_only_the_day_was_named(tmp_path: Path) -> None:
    t = np.arange(24 * 35 + 48)
    quiet = np.where(t // 24 % 7 >= 5, 0.4, 1.0)
    values = (100 + 30 * np.sin(2 * np.pi * t / 24)) * quiet + np.random.default_rng(2).normal(0, 1, len(t))
    cells = [f"{value:.3f}" for value in values]
    (tmp_path / "Hourly-train.csv").write_text("V1,V2\nH1," + ",".join(cells[:-48]))
    (tmp_path / "Hourly-test.csv").write_text("V1,V2\nH1," + ",".join(cells[-48:]))
    day, week = (
        bench_forecast(tmp_path, "m4", ForecastSetup(horizon=48, season=one)) for one in ((24,), (24, 168))
    )
    assert day.models["forewarn"].smape == pytest.approx(week.models["forewarn"].smape)
    assert day.models["forewarn"].smape < 5
    assert with_week((24,), 3_600, 400) == (24,)
    assert with_week((7,), 3_600, 4_000) == (7,)
    assert with_week((288,), 300, 8_000) == (288, 2_016)


def test_odd_series_of_the_competition_are_forecast_all_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    rows = {
        "constant": np.full(700, 42.0),
        "short": course(40),
        "zeros at night": np.maximum(0, np.sin(2 * np.pi * np.arange(700) / 24)) * rng.uniform(1, 2, 700),
        "huge": course(700) * 1e9,
        "shifted": course(700) + 200.0 * (np.arange(700) > 600),
    }
    lines = ["V1,V2"] + [f'"{key}",' + ",".join(map(str, row)) + ",," for key, row in rows.items()]
    (tmp_path / "Hourly-train.csv").write_text("\n".join(lines))
    bench_forecast(tmp_path, "m4", ForecastSetup(horizon=48, season=(24,)), out=tmp_path / "out")
    frame = pl.read_parquet(tmp_path / "out" / "forecasts.parquet")
    assert frame.height == 48 * len(rows)
    told = frame.select(pl.col(pl.Float64))
    assert told.select(pl.all_horizontal(pl.all().is_finite().all())).item()
    assert frame.filter(unique_id="constant")["yhat"].to_list() == pytest.approx([42.0] * 48)
    assert frame.filter(unique_id="shifted")["yhat"].mean() == pytest.approx(300, rel=0.1)
    night = np.arange(700, 748) % 24 > 13
    assert frame.filter(unique_id="zeros at night")["yhat"].to_numpy()[night].max() < 0.3


def test_csv_is_read_by_whatever_names(tmp_path: Path) -> None:
    ts = pl.datetime_range(
        pl.datetime(2026, 1, 1), pl.datetime(2026, 1, 10), interval="1h", eager=True
    ).alias("when")
    pl.DataFrame({"when": ts, "load": course(len(ts))}).write_csv(tmp_path / "host.csv")
    [one] = read_set(tmp_path, "csv")
    assert one.unique_id == "host"
    assert one.step_s == 3_600
    assert len(one.values) == len(ts)


def test_a_long_csv_has_many_series(tmp_path: Path) -> None:
    n = 60
    frame = pl.DataFrame(
        {
            "unique_id": ["a"] * n + ["b"] * n,
            "ds": [3_600 * step for step in range(n)] * 2,
            "y": np.concatenate([course(n), course(n, 2)]),
        }
    )
    frame.write_csv(tmp_path / "long.csv")
    assert sorted(one.unique_id for one in read_set(tmp_path / "long.csv", "csv")) == ["a", "b"]


def test_unknown_formats_and_missing_paths_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown format"):
        read_set(tmp_path, "xml")
    with pytest.raises(InputError, match="does not exist"):
        read_set(tmp_path / "nothing", "m4")
    with pytest.raises(InputError, match="holds no series"):
        read_set(tmp_path, "kpi")


@pytest.mark.skipif(not DATASETS.exists(), reason=f"no data sets at {DATASETS}")
def test_worldcup98_is_forecast_better_than_by_the_seasonal_naive() -> None:
    report = bench_forecast(DATASETS / "worldcup98", "worldcup98", ForecastSetup(horizon=24, origins=4))
    assert report.models["forewarn"].mase < 0.9


def test_the_measures_are_those_of_m4() -> None:
    past = np.tile([1.0, 3.0], 4) + np.repeat(np.arange(4.0), 2)
    scale = scale_of(past, 2)
    assert scale == pytest.approx(1.0)
    assert mase(np.array([2.0, 4.0]), np.array([3.0, 3.0]), scale) == pytest.approx(1.0)
    assert smape(np.array([1.0]), np.array([3.0])) == pytest.approx(100.0)
    assert smape(np.array([0.0]), np.array([0.0])) == 0.0
    low, high, actual = np.array([0.0, 0.0]), np.array([1.0, 1.0]), np.array([0.5, 2.0])
    assert coverage(actual, low, high) == 0.5
    assert msis(actual, low, high, 1.0, 0.95) == pytest.approx(1 + 40 * 1.0 / 2)
    assert owa(0.5, 10.0, 1.0, 20.0) == pytest.approx(0.5)


def test_naive2_takes_a_season_out_and_puts_it_back() -> None:
    past = np.tile(np.array([1.0, 2.0, 3.0, 2.0]), 10)
    assert naive2(past, 4, 6) == pytest.approx([1.0, 2.0, 3.0, 2.0, 1.0, 2.0])
    assert naive2(np.random.default_rng(1).normal(10, 1, 60), 4, 2).std() == 0.0
