"""Run the shipped forecaster and its peers over the series and origins of a data set.

At each origin the models know only what lies before it.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.arrays import FloatArray
from core.durations import DAY_S
from core.errors import InputError, InsufficientDataError
from models.forecast.catalog import find_forecaster
from models.forecast.choice.candidates import with_candidates
from models.forecast.choice.fleet_model import FleetModel, learn_fleet_model
from models.forecast.choice.members import member_forecasts
from models.forecast.choice.selection import Choice, Plan, select
from models.forecast.combination import combine
from models.forecast.intervals.conformal import LEVELS
from models.forecast.prepared import make_ready
from models.forecast.protocols import History
from pipelines.bench.forecast_metrics import coverage, mase, msis, naive2, scale_of, smape
from pipelines.bench.forecast_sets import BenchSeries
from pipelines.common.progress import Progress
from pipelines.processes.parallel import chunked, map_chunks

DEFAULT = "forewarn"
#: An origin needs so many values before it.
LEAST_BEFORE_ORIGIN = 8
#: A forecast learns from at most so many of the longest seasons before the origin.
MAX_SEASONS = 6
WEEKS_TO_SEE = 3
#: The seed of the fleet model.
SEED = 1
#: Series of one job for a worker; a peer may need minutes for one series.
CHUNK = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastSetup:
    """How every series is forecast.

    Attributes:
        horizon: steps ahead, at least 1.
        season: steps of each season, in any order.
        origins: rolling origins before the end, a horizon apart; 0: compare with the test file, or forecast beyond the
            end.
        peers: forecasters of the catalog that run beside the default, on the same series.
        workers: processes.
    Raises:
        InputError: a season has fewer than two steps.
    """

    horizon: int = 24
    season: tuple[int, ...] = (24, 168)
    origins: int = 0
    peers: tuple[str, ...] = ()
    workers: int = 1

    def __post_init__(self) -> None:
        if any(one < 2 for one in self.season):
            raise InputError(f"a season has at least 2 steps, got {self.season}")
        object.__setattr__(self, "season", tuple(sorted(set(self.season))))


DEFAULT_SETUP = ForecastSetup()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastTask:
    """One series at one origin.

    Attributes:
        past, actual: the values before and after the origin, NaN = unknown.
        choice: the weights that selection found for this series; null: selection has not run yet.
        fleet: the model that was learned from all series at this origin; null: none.
        seconds: duration of both.
    """

    series: BenchSeries
    past: FloatArray
    actual: FloatArray
    setup: ForecastSetup
    choice: Choice | None = None
    fleet: FleetModel | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastResult:
    """The forecast of one model for one series at one origin.

    Attributes:
        origin: how many values were known.
        frame: column -> values, one for each step.
        figures: measure -> value; empty if no value after the origin is known.
        most_weight: the member with the largest weight; "" for peers.
    """

    unique_id: str
    origin: int
    model: str
    seconds: float
    frame: dict[str, FloatArray]
    figures: dict[str, float]
    most_weight: str = ""


def forecast_set(
    found: Sequence[BenchSeries], setup: ForecastSetup, progress: Progress
) -> list[ForecastResult]:
    """Forecast all series at all origins with the default and the peers."""
    results: list[ForecastResult] = []
    rounds = _rounds(found, setup)
    total = sum(map(len, rounds))
    for tasks in rounds:
        chosen = _chosen(tasks, setup.workers, progress)
        for part in map_chunks(_run, chunked(chosen, CHUNK), workers=setup.workers):
            results += part
            progress("forecast series", sum(one.model == DEFAULT for one in results), total)
    return results


def _rounds(found: Sequence[BenchSeries], setup: ForecastSetup) -> list[list[ForecastTask]]:
    """The tasks of each origin, the oldest origin first. The fleet model learns from all series before one origin."""
    rounds: dict[int, list[ForecastTask]] = {}
    for series in found:
        for back, past, actual in _cuts(series, setup.horizon, setup.origins):
            task = ForecastTask(series=series, past=past, actual=actual, setup=setup)
            rounds.setdefault(back, []).append(task)
    return [rounds[back] for back in sorted(rounds, reverse=True)]


def _cuts(series: BenchSeries, horizon: int, origins: int) -> list[tuple[int, FloatArray, FloatArray]]:
    """Each origin: how many horizons it lies before the end, the values before it and the values after it."""
    values, future = series.values, series.future
    if not origins:
        unknown = np.full(horizon, np.nan)
        return [(0, values, unknown if future is None else future[:horizon])]
    whole = values if future is None else np.concatenate([values, future])
    cuts = [(back, len(whole) - (back + 1) * horizon) for back in range(origins)]
    return [
        (back, whole[:cut], whole[cut : cut + horizon]) for back, cut in cuts if cut >= LEAST_BEFORE_ORIGIN
    ]


def _chosen(tasks: Sequence[ForecastTask], workers: int, progress: Progress) -> list[ForecastTask]:
    """Select the weights of each series and learn the fleet model, as training does."""
    chosen: list[ForecastTask] = []
    for part in map_chunks(_choose, chunked(tasks, CHUNK), workers=workers):
        chosen += part
        progress("backtest series", len(chosen), len(tasks))
    begun = time.perf_counter()
    fleet = learn_fleet_model(
        [_history(task) for task in chosen],
        [task.choice for task in chosen if task.choice is not None],
        Plan(horizon_steps=chosen[0].setup.horizon),
        seed=SEED,
    )
    each = (time.perf_counter() - begun) / len(chosen)
    return [replace(task, fleet=fleet, seconds=task.seconds + each) for task in chosen]


def _choose(tasks: Sequence[ForecastTask]) -> list[ForecastTask]:
    done = []
    for task in tasks:
        begun = time.perf_counter()
        choice = select(_history(task), Plan(horizon_steps=task.setup.horizon))
        done.append(replace(task, choice=choice, seconds=time.perf_counter() - begun))
    return done


def _run(tasks: Sequence[ForecastTask]) -> list[ForecastResult]:
    return [result for task in tasks for result in _results_at_origin(task)]


def _history(task: ForecastTask) -> History:
    past = task.past
    seasons = with_week(task.setup.season, task.series.step_s, len(past))
    longest = seasons[-1] if seasons else len(past)
    known = np.flatnonzero(np.isfinite(past))
    first = max(int(known[0]) if len(known) else 0, len(past) - max(MAX_SEASONS * longest, 1_000))
    start = task.series.start.timestamp() + first * task.series.step_s
    return History(
        values=past[first:],
        start=task.series.start.fromtimestamp(start, task.series.start.tzinfo),
        step_s=task.series.step_s,
        seasons=seasons,
    )


def with_week(seasons: tuple[int, ...], step_s: int, known: int) -> tuple[int, ...]:
    """The given seasons, and the week if only a day is given and three weeks of values are known.

    Daily patterns of people usually have a weekly pattern too; backtests decide its weight. The measures use the given
    seasons alone.
    """
    if len(seasons) != 1 or seasons[0] * step_s != DAY_S or known < WEEKS_TO_SEE * 7 * seasons[0]:
        return seasons
    return (seasons[0], 7 * seasons[0])


def _results_at_origin(task: ForecastTask) -> list[ForecastResult]:
    history, past, actual = _history(task), task.past, task.actual
    clean = past[np.isfinite(past)]
    season = task.setup.season[0] if task.setup.season else 1
    reference = naive2(clean, season, task.setup.horizon)[: len(actual)]
    scale = scale_of(past, season)
    results = [_default(task, history)]
    results += [one for one in (_peer(task, name, history) for name in task.setup.peers) if one]
    for one in results:
        one.figures.update(_figures(one.frame, actual, scale, reference))
    return results


def _default(task: ForecastTask, history: History) -> ForecastResult:
    begun = time.perf_counter()
    choice, fleet = task.choice, task.fleet
    assert choice is not None  # noqa: S101 - `_chosen` has set it
    if fleet is not None:
        choice = with_candidates(choice, history, Plan(horizon_steps=task.setup.horizon), [fleet.candidate])
    members = member_forecasts(history, choice.weights, task.setup.horizon, fleet.trees if fleet else None)
    yhat = combine(members, choice.weights)
    bounds = make_ready(history).bounds
    frame = {"yhat": yhat}
    for level in LEVELS:
        low, high = choice.errors.interval(yhat, level, bounds)
        frame[f"lo_{level:.0%}".rstrip("%")], frame[f"hi_{level:.0%}".rstrip("%")] = low, high
    return ForecastResult(
        unique_id=task.series.unique_id,
        origin=len(task.past),
        model=DEFAULT,
        seconds=task.seconds + time.perf_counter() - begun,
        frame=frame,
        figures={},
        most_weight=max(sorted(choice.weights), key=choice.weights.__getitem__),
    )


def _peer(task: ForecastTask, name: str, history: History) -> ForecastResult | None:
    begun = time.perf_counter()
    try:
        yhat = find_forecaster(name).fit(history).predict(task.setup.horizon)
    except InsufficientDataError:
        return None
    return ForecastResult(
        unique_id=task.series.unique_id,
        origin=len(task.past),
        model=name,
        seconds=time.perf_counter() - begun,
        frame={"yhat": yhat},
        figures={},
    )


def _figures(
    frame: Mapping[str, FloatArray], actual: FloatArray, scale: float, reference: FloatArray
) -> dict[str, float]:
    if not np.isfinite(actual).any():
        return {}
    yhat = frame["yhat"][: len(actual)]
    figures = {
        "mase": mase(actual, yhat, scale),
        "smape": smape(actual, yhat),
        "naive2_mase": mase(actual, reference, scale),
        "naive2_smape": smape(actual, reference),
    }
    for level in LEVELS:
        name = f"{level:.0%}".rstrip("%")
        if f"lo_{name}" in frame:
            low, high = frame[f"lo_{name}"][: len(actual)], frame[f"hi_{name}"][: len(actual)]
            figures[f"coverage_{name}"] = coverage(actual, low, high)
            figures[f"width_{name}"] = float(np.mean(high - low)) / scale
            if level == LEVELS[-1]:
                figures["msis"] = msis(actual, low, high, scale, level)
    return figures
