"""A night over a fleet: after the first pass the common trees are learned, tried on every series, and travel along."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from core.domain import Role, Series
from models.forecasters.bundle import ForecasterBundle
from models.forecasters.checks import example
from models.forecasters.fleet import LEARN_FROM_LEAST
from models.forecasters.selection import Plan
from pipelines.train.forecasters import Job, Spread, _with_candidates, fit_chunk


def test_a_fleet_with_a_common_habit_gets_the_common_trees_in_the_second_pass() -> None:
    t = np.arange(24 * 28)
    dips = 40.0 * np.isin(t // 12 % 9, (4, 5))
    plan = Plan(origins=8)
    jobs = []
    for number in range(LEARN_FROM_LEAST):
        noise = np.random.default_rng(number).normal(0, 3, len(t))
        values = 100 + 20 * np.sin(2 * np.pi * t / 24) - dips + noise
        series = Series(tenant="t", service=f"shop-{number}", metric="requests_per_second", role=Role.TRAFFIC)
        history = replace(example(), values=values)
        jobs.append(Job(series_id=series.series_id, series=series, history=history, plan=plan))
    spread = Spread(SimpleNamespace(settings=SimpleNamespace(compute="processes", workers=1)), len(jobs))
    told: list[int] = []
    done, trees = _with_candidates(fit_chunk(jobs), plan, 1, spread, lambda _what, at, _of: told.append(at))
    assert trees is not None
    assert told == [LEARN_FROM_LEAST]
    entries = {one.series_id: one.entry for one in done if one.entry is not None}
    assert len(entries) == LEARN_FROM_LEAST
    assert sum("global_trees" in one.choice.weights for one in entries.values()) > LEARN_FROM_LEAST / 2
    bundle = ForecasterBundle(entries, trees=trees)
    again = ForecasterBundle.from_files(bundle.to_files())
    key = next(iter(entries))
    assert np.array_equal(bundle.forecast(key).yhat, again.forecast(key).yhat)
