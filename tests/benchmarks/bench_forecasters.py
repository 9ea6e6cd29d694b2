"""How long a forecast takes beside Prophet, in one run on the same series: 720 hourly points, 24 h ahead."""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import numpy as np
import pandas as pd

from models.forecast.choice.candidates import TRIED_WEIGHTS, Candidate, with_candidates
from models.forecast.choice.fleet_model import ORIGINS_TRIED, FleetModel
from models.forecast.choice.members import member_forecasts
from models.forecast.choice.selection import Choice, Plan, select
from models.forecast.combination import combine
from models.forecast.fleet.global_trees import GlobalTrees, examples, learn
from models.forecast.intervals.conformal import LEVELS
from models.forecast.libraries.prophet import quiet
from models.forecast.protocols import Bounds, History

#: Timed, and learned from for the common trees.
SERIES, FLEET = 12, 24
POINTS, HORIZON = 720, 24
START = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = Plan(horizon_steps=HORIZON)
NAMES = {
    "prophet": "Prophet, 1,000 samples",
    "known": "default, selection known",
    "trees": "the same with the common trees",
    "afresh": "default, selection done afresh",
    "trees afresh": "the same with the common trees, which are learned once a fleet",
}


def histories() -> list[History]:
    """Seasonal load with noise that lasts, level shifts and bursts; each of another kind."""
    found = []
    for seed in range(FLEET):
        rng = np.random.default_rng(seed)
        t = np.arange(POINTS)
        noise = np.zeros(POINTS)
        for step in range(1, POINTS):
            noise[step] = 0.8 * noise[step - 1] + rng.normal(0, 0.05)
        load = 1 + 0.4 * np.sin(2 * np.pi * t / 24) + 0.15 * (t // 24 % 7 < 5)
        shift = 1 + 0.3 * (t > rng.integers(200, 700))
        values = 100 * load * shift * np.exp(noise)
        found.append(History(values=values, start=START, step_s=3_600, seasons=(24, 168)))
    return found


def forecast_known(history: History, choice: Choice, trees: GlobalTrees | None = None) -> None:
    """What a run does once selection is known: fit, median, both intervals."""
    yhat = combine(member_forecasts(history, choice.weights, HORIZON, trees), choice.weights)
    for level in LEVELS:
        choice.errors.interval(yhat, level, Bounds())


def forecast_afresh(history: History, common: FleetModel | None = None) -> None:
    """The same with selection done anew."""
    choice = select(history, PLAN)
    if common is None:
        forecast_known(history, choice)
    else:
        forecast_known(history, with_candidates(choice, history, PLAN, [common.candidate]), common.trees)


def forecast_prophet(history: History) -> None:
    """Prophet as it comes: 1,000 samples for its interval."""
    with quiet():
        from prophet import Prophet

        times = pd.date_range(history.start.replace(tzinfo=None), periods=POINTS + HORIZON, freq="h")
        model = Prophet(uncertainty_samples=1_000)
        model.fit(pd.DataFrame({"ds": times[:POINTS], "y": history.values}))
        model.predict(pd.DataFrame({"ds": times[POINTS:]}))


def timed(run: Callable[[], None], repeat: int) -> float:
    """Median seconds, after one run that loads and compiles."""
    run()
    seconds = []
    for _ in range(repeat):
        begun = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def main() -> list[dict[str, float | str]]:
    """Print a table; the promises are ratios of 0.05 and 1.0."""
    fleet = histories()
    choices = [select(history, PLAN) for history in fleet]
    trees = learn([examples(history, HORIZON) for history in fleet], seed=1)
    fleet_errors = dict.fromkeys(TRIED_WEIGHTS, 1.0) | {TRIED_WEIGHTS[2]: 0.9}
    common = FleetModel(trees, Candidate(forecaster=trees, origins=ORIGINS_TRIED, fleet_errors=fleet_errors))
    sums = dict.fromkeys(NAMES, 0.0)
    for history, choice in zip(fleet[:SERIES], choices, strict=False):
        shared = with_candidates(choice, history, PLAN, [common.candidate])
        # In turn on each series, so that whatever else the machine does weighs on all alike.
        sums["prophet"] += timed(partial(forecast_prophet, history), 3)
        sums["known"] += timed(partial(forecast_known, history, choice), 9)
        sums["trees"] += timed(partial(forecast_known, history, shared, trees), 9)
        sums["afresh"] += timed(partial(forecast_afresh, history), 3)
        sums["trees afresh"] += timed(partial(forecast_afresh, history, common), 3)
    rows: list[dict[str, float | str]] = [
        {
            "what": NAMES[key],
            "ms a series": round(1e3 * sums[key] / SERIES, 2),
            "of Prophet": round(sums[key] / sums["prophet"], 4),
        }
        for key in NAMES
    ]
    print(f"| {POINTS} hourly points, {HORIZON} h ahead | ms a series | of Prophet's time |")
    print("|---|---|---|")
    for row in rows:
        print(f"| {row['what']} | {row['ms a series']} | {row['of Prophet']} |")
    return rows


if __name__ == "__main__":
    main()
