"""A night over a fleet: after the first pass the common trees are learned, tried on every series, and travel along."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from fakes.platform import platform_of
from fakes.ports import FakeStore

from core.domain import Role, Series
from core.settings import Settings
from models.forecast.bundle import ForecasterBundle
from models.forecast.catalog import select_forecasters
from models.forecast.checks import example
from models.forecast.choice.fleet_model import MIN_SERIES
from models.forecast.files import ForecastParts, head_files
from pipelines.common.progress import silent
from pipelines.learn.bundle_on_disk import BundleOnDisk
from pipelines.learn.train_forecasters import (
    ChunkPool,
    FitJob,
    FleetTraining,
    _with_candidates,
    fit_chunk,
    summary,
)

ONE_WORKER = platform_of(FakeStore("t"), settings=Settings(_env_file=None, compute="processes", workers=1))


def test_a_fleet_with_a_common_habit_gets_the_common_trees_in_the_second_pass(
    tmp_path: Path,
) -> None:
    t = np.arange(24 * 28)
    dips = 40.0 * np.isin(t // 12 % 9, (4, 5))
    jobs = []
    for number in range(MIN_SERIES):
        noise = np.random.default_rng(number).normal(0, 3, len(t))
        values = 100 + 20 * np.sin(2 * np.pi * t / 24) - dips + noise
        series = Series(tenant="t", service=f"shop-{number}", metric="requests_per_second", role=Role.TRAFFIC)
        history = replace(example(), values=values)
        jobs.append(FitJob(series_id=series.series_id, series=series, history=history))
    spread = ChunkPool(ONE_WORKER, len(jobs))
    chosen, entries = BundleOnDisk(tmp_path / "chosen"), BundleOnDisk(tmp_path / "entries")
    chosen.add(one.entry for one in fit_chunk(jobs) if one.entry is not None)
    chosen.close()
    told: list[int] = []
    night = FleetTraining(
        spread, 1, lambda _step, at, _total: told.append(at), [job.series_id for job in jobs]
    )
    trees = _with_candidates(night, chosen, entries, select_forecasters(()))
    assert trees is not None
    assert told == [MIN_SERIES]
    found = {one.series.series_id: one for one in entries.entries()}
    assert list(found) == [job.series_id for job in jobs]
    assert sum("global_trees" in one.choice.weights for one in found.values()) > MIN_SERIES / 2
    parts = ForecastParts(entries=found, trees=trees)
    bundle = ForecasterBundle(parts)
    entries.keep(head_files(parts, entries.series_ids))
    again = ForecasterBundle.from_files(entries)
    key = next(iter(found))
    assert np.array_equal(bundle.forecast(key).yhat, again.forecast(key).yhat)


def test_a_night_without_samples_learns_nothing_and_says_so(tmp_path: Path) -> None:
    spread = ChunkPool(ONE_WORKER, 1)
    night = FleetTraining(spread, 1, silent, [7])
    chosen, entries = BundleOnDisk(tmp_path / "chosen"), BundleOnDisk(tmp_path / "entries")
    night.fit([], chosen, "forecasters", 1)
    assert _with_candidates(night, chosen, entries, select_forecasters(())) is None
    assert summary(entry.choice for entry in entries.entries()) == {"series": 0.0}
    assert night.skipped == {7: "no samples in the window"}
