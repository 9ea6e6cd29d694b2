"""A breach and a plan are drawn without a window and end as files, whichever side is bad."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fakes.paths import paths_of

from core.domain import Role, Series
from models.breach.capacity import plan_capacity
from models.breach.growth import Present
from models.breach.outlook import SeriesPast, predict_breach
from models.forecast.bundle import ForecasterBundle, Prediction
from models.forecast.choice.selection import Plan, select
from models.forecast.entry import Entry
from models.forecast.files import ForecastParts
from models.forecast.intervals.conformal import ErrorModel
from models.forecast.protocols import History
from models.series.magnitude import exponents_of, to_ordinary
from models.series.thresholds import threshold_of
from pipelines.plots.breach_and_capacity import plot_breach, plot_capacity, save

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DISK = Series(
    tenant="t", service="db", metric="disk_used_bytes", unit="bytes", role=Role.CAPACITY, limit=100.0
)


FREE = replace(DISK, metric="disk_free_bytes", limit=0.0)


@pytest.fixture(params=[DISK, FREE], ids=["high is bad", "low is bad"])
def series(request: pytest.FixtureRequest) -> Series:
    chosen: Series = request.param
    return chosen


@pytest.fixture
def history(series: Series) -> History:
    values = np.concatenate([np.full(480, 40.0), 40 + 6.0 * np.arange(1, 8)])
    values = values + np.random.default_rng(1).normal(0, 0.3, len(values))
    if series is FREE:
        values = 100.0 - values
    start = NOW - timedelta(hours=len(values))
    return History(values=values, start=start, step_s=3_600, seasons=(24, 168))


def test_a_breach_is_drawn_with_its_limit_and_its_range(
    series: Series, history: History, tmp_path: Path
) -> None:
    entry = Entry(series=series, history=history, choice=select(history, Plan()))
    bundle = ForecasterBundle(ForecastParts(entries={series.series_id: entry}))
    prediction = bundle.forecast(series.series_id)
    outlook = predict_breach(
        series,
        SeriesPast.of(series, history, 24),
        bundle.paths(prediction),
        Present(
            at=history.end,
            level=float(history.values[-1]),
            level_an_hour_ago=float(history.values[-2]),
        ),
        rng=np.random.default_rng(1),
    )
    assert outlook is not None
    figure = plot_breach(series, history, prediction, outlook, outlook.breach.when)
    title = "disk of db is full in " if series is DISK else "disk free of db runs out in "
    assert figure.axes[0].get_title(loc="left").startswith(title)
    low, high = figure.axes[0].get_ylim()
    assert low <= (threshold_of(series) or 0.0) <= high
    assert save(figure, tmp_path / "breach.png").stat().st_size > 5_000


def test_a_plan_is_drawn(series: Series, history: History, tmp_path: Path) -> None:
    found = plan_capacity(series, history, at=NOW, seed=1)
    assert found is not None
    assert (np.diff(found.fan, axis=1) >= 0).all()
    figure = plot_capacity(found, at=NOW)
    assert save(figure, tmp_path / "plots" / "plan.svg").exists()
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "64 B" in ticks


def test_what_runs_out_downwards_is_not_called_full() -> None:
    free = replace(DISK, metric="disk_free_bytes", limit=10.0)
    values = 60.0 - np.arange(24 * 20) / 10
    history = History(values=values, start=NOW - timedelta(hours=len(values)), step_s=3_600)
    found = plan_capacity(free, history, at=NOW, seed=1)
    assert found is not None
    assert (
        plot_capacity(found, at=NOW)
        .axes[0]
        .get_title(loc="left")
        .startswith("disk free of db falls below 10 B")
    )


@pytest.mark.parametrize("one", [0.0, 5e-324, 1e-12, 1e18, 1.7e308, -1.7e308])
@pytest.mark.parametrize("limit", [0.0, 1.7e308])
@pytest.mark.parametrize("unit", ["bytes", "seconds"])
def test_any_float_is_drawn(one: float, limit: float, unit: str) -> None:
    series = replace(DISK, limit=limit, unit=unit)
    values = np.where(np.arange(240) % 5 == 0, 40.0, one)
    exponent = int(exponents_of(values[None, :])[0])
    history = History(
        values=to_ordinary(values, exponent),
        start=NOW - timedelta(hours=240),
        step_s=3_600,
        exponent=exponent,
    )
    width = np.full(24, abs(one) / 20)
    prediction = Prediction(
        series_id=series.series_id,
        made_at=NOW,
        step_s=3_600,
        yhat=np.full(24, one),
        lower={0.8: one - width, 0.95: one - width},
        upper={0.8: one + width, 0.95: one + width},
        models={},
        errors=ErrorModel(memories=(), rho=0.0),
    )
    outlook = predict_breach(
        series,
        SeriesPast.of(series, history, 24),
        paths_of(np.full((8, 24), one)),
        Present(at=NOW, level=one, level_an_hour_ago=40.0),
        rng=np.random.default_rng(1),
    )
    plan = plan_capacity(series, history, at=NOW, seed=1, horizon_days=10, outlook=outlook)
    assert outlook is not None
    assert plan is not None
    for figure in (
        plot_breach(series, history, prediction, outlook, outlook.breach.when),
        plot_capacity(plan, at=NOW),
    ):
        figure.savefig(BytesIO(), dpi=30)
        axes = figure.axes[0]
        texts = [axes.get_title(loc="left"), *(label.get_text() for label in axes.get_yticklabels())]
        assert not re.search(r"\b(nan|inf)\b|-0(\.0*)?(?![\d.])", " ".join(texts)), texts
