"""Measure the shipped forecaster on any data set, as shipped: nothing is set per data set.

Each origin knows what lies before it and nothing more. Without a test file and without origins the series
are forecast beyond their end, and only the forecasts are written.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from core.errors import InputError, InsufficientDataError
from models.forecast.catalog import CATALOG
from models.forecast.choice.common_trees import CommonTrees, learn_fleet
from models.forecast.choice.members import member_forecasts
from models.forecast.choice.selection import Choice, Plan, select
from models.forecast.choice.shares import with_candidates
from models.forecast.combination import combine
from models.forecast.intervals.conformal import LEVELS
from models.forecast.prepared import make_ready
from models.forecast.protocols import FloatArray, History
from pipelines.bench.forecast_metrics import coverage, mase, msis, naive2, owa, scale_of, smape
from pipelines.bench.forecast_sets import BenchSeries, read_set
from pipelines.common.parallel import chunked, map_chunks
from pipelines.common.progress import Progress, silent

DEFAULT = "forewarn"
#: What a forecast learns from at most: seasons of the longest kind before the origin.
LEARNS_FROM = 6
DAY_S, WEEKS_TO_SEE = 86_400, 3
#: Of the common trees.
SEED = 1
#: Below this there is nothing to forecast from.
LEAST_VALUES = 2
#: A peer's fit on 5-minute values takes minutes with all of the past.
CHUNK = 8
COLUMNS = ("yhat", "lo_80", "hi_80", "lo_95", "hi_95")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFigures:
    """Means over all series and origins; NaN where there was nothing to compare with.

    Attributes:
        smape: 0 to 200. mase: 1 = the seasonal naive in the past. owa: 1 = Naive 2.
        coverage: level -> share inside; empty for models that give no interval here.
        won: on how many series the model had the smallest MASE.
    """

    mase: float
    smape: float
    owa: float
    seconds_a_series: float
    won: int
    msis: float = float("nan")
    coverage: Mapping[str, float] = field(default_factory=dict)
    width: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastBench:
    """What was measured, by model; `winners` says which member of the pool had most weight, how often."""

    data_format: str
    series: int
    origins: int
    horizon: int
    season: tuple[int, ...]
    models: Mapping[str, ModelFigures]
    winners: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One series at one origin.

    Attributes:
        past, actual: what was known, and what came, NaN = unknown.
        common: what was learned across all series at this origin, and `choice` what selection found before.
    """

    series: BenchSeries
    past: FloatArray
    actual: FloatArray
    horizon: int
    season: tuple[int, ...]
    peers: tuple[str, ...]
    choice: Choice | None = None
    common: CommonTrees | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _BenchResult:
    """One model at one origin."""

    unique_id: str
    origin: int
    model: str
    seconds: float
    frame: dict[str, FloatArray]
    figures: dict[str, float]
    most_weight: str = ""


def bench_forecast(
    path: Path,
    data_format: str = "csv",
    *,
    horizon: int = 24,
    season: Sequence[int] = (24, 168),
    out: Path | None = None,
    json_file: Path | None = None,
    origins: int = 0,
    peers: Sequence[str] = (),
    workers: int = 1,
    progress: Progress = silent,
) -> ForecastBench:
    """Forecast every series of a set and compare with what came.

    Args:
        season: steps of each season, ascending.
        out: folder for `forecasts.parquet` of the default, and one file a peer.
        origins: rolling origins before the end, a horizon apart; 0 = the test file, or beyond the end.
        peers: models of `CATALOG` that are run beside the default, on the same series.
    Raises:
        InputError: the set cannot be read, or a season makes no sense.
    """
    seasons = tuple(sorted(set(season)))
    if any(one < 2 for one in seasons):
        raise InputError(f"a season has at least 2 steps, got {season}")
    found = read_set(path, data_format)
    short = [one.unique_id for one in found if np.isfinite(one.values).sum() < LEAST_VALUES]
    if short:
        raise InsufficientDataError(
            f"a forecast needs {LEAST_VALUES} values; leave out the series with fewer: {', '.join(short[:5])}"
            + (f" and {len(short) - 5} more" if len(short) > 5 else "")
        )
    told: list[_BenchResult] = []
    rounds = _rounds(found, horizon, seasons, origins, tuple(peers))
    total = sum(map(len, rounds))
    for tasks in rounds:
        for part in map_chunks(_run, chunked(_chosen(tasks, workers, progress), CHUNK), workers=workers):
            told += part
            progress("series forecast", sum(one.model == DEFAULT for one in told), total)
    report = _report(told, data_format, horizon, seasons)
    if out is not None:
        _write(told, out)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(asdict(report), indent=2, sort_keys=True))
    return report


def _rounds(
    found: Sequence[BenchSeries], horizon: int, season: tuple[int, ...], origins: int, peers: tuple[str, ...]
) -> list[list[_Task]]:
    """All series at the oldest origin, then all at the next one: what is learned across them lies before it."""
    rounds: dict[int, list[_Task]] = {}
    for series in found:
        for back, past, actual in _cuts(series, horizon, origins):
            task = _Task(series=series, past=past, actual=actual, horizon=horizon, season=season, peers=peers)
            rounds.setdefault(back, []).append(task)
    return [rounds[back] for back in sorted(rounds, reverse=True)]


def _cuts(series: BenchSeries, horizon: int, origins: int) -> list[tuple[int, FloatArray, FloatArray]]:
    """How many horizons before the end, what was known then, and what came."""
    values, future = series.values, series.future
    if not origins:
        unknown = np.full(horizon, np.nan)
        return [(0, values, unknown if future is None else future[:horizon])]
    whole = values if future is None else np.concatenate([values, future])
    cuts = [(back, len(whole) - (back + 1) * horizon) for back in range(origins)]
    return [(back, whole[:cut], whole[cut : cut + horizon]) for back, cut in cuts if cut >= 8]


def _chosen(tasks: Sequence[_Task], workers: int, progress: Progress) -> list[_Task]:
    """The tasks with what selection found for each, and what the common trees learned from all, as in a night."""
    chosen: list[_Task] = []
    for part in map_chunks(_choose, chunked(tasks, CHUNK), workers=workers):
        chosen += part
        progress("series looked back on", len(chosen), len(tasks))
    begun = time.perf_counter()
    common = learn_fleet(
        [_history(task) for task in chosen],
        [task.choice for task in chosen if task.choice is not None],
        Plan(horizon_steps=chosen[0].horizon),
        seed=SEED,
    )
    each = (time.perf_counter() - begun) / len(chosen)
    return [replace(task, common=common, seconds=task.seconds + each) for task in chosen]


def _choose(tasks: Sequence[_Task]) -> list[_Task]:
    done = []
    for task in tasks:
        begun = time.perf_counter()
        choice = select(_history(task), Plan(horizon_steps=task.horizon))
        done.append(replace(task, choice=choice, seconds=time.perf_counter() - begun))
    return done


def _run(tasks: Sequence[_Task]) -> list[_BenchResult]:
    return [told for task in tasks for told in _origin(task)]


def _history(task: _Task) -> History:
    past = task.past
    seasons = with_week(task.season, task.series.step_s, len(past))
    longest = seasons[-1] if seasons else len(past)
    known = np.flatnonzero(np.isfinite(past))
    first = max(int(known[0]) if len(known) else 0, len(past) - max(LEARNS_FROM * longest, 1_000))
    start = task.series.start.timestamp() + first * task.series.step_s
    return History(
        values=past[first:],
        start=task.series.start.fromtimestamp(start, task.series.start.tzinfo),
        step_s=task.series.step_s,
        seasons=seasons,
    )


def with_week(seasons: tuple[int, ...], step_s: int, known: int) -> tuple[int, ...]:
    """The seasons that were named, and the week where only a day was and three weeks of values are known.

    What people do by the day they also do by the week; backtests decide how much it counts. Measures keep to the
    seasons that were named.
    """
    if len(seasons) != 1 or seasons[0] * step_s != DAY_S or known < WEEKS_TO_SEE * 7 * seasons[0]:
        return seasons
    return (seasons[0], 7 * seasons[0])


def _origin(task: _Task) -> list[_BenchResult]:
    history, past, actual = _history(task), task.past, task.actual
    clean = past[np.isfinite(past)]
    season = task.season[0] if task.season else 1
    reference = naive2(clean, season, task.horizon)[: len(actual)]
    scale = scale_of(past, season)
    told = [_default(task, history)]
    told += [one for one in (_peer(task, name, history) for name in task.peers) if one]
    for one in told:
        one.figures.update(_judge(one.frame, actual, scale, reference))
    return told


def _default(task: _Task, history: History) -> _BenchResult:
    begun = time.perf_counter()
    choice, common = task.choice, task.common
    assert choice is not None  # noqa: S101 - `_chosen` has seen every task
    if common is not None:
        choice = with_candidates(choice, history, Plan(horizon_steps=task.horizon), [common.candidate])
    said = member_forecasts(history, choice.weights, task.horizon, common.trees if common else None)
    yhat = combine(said, choice.weights)
    bounds = make_ready(history).bounds
    frame = {"yhat": yhat}
    for level in LEVELS:
        low, high = choice.errors.interval(yhat, level, bounds)
        frame[f"lo_{level:.0%}".rstrip("%")], frame[f"hi_{level:.0%}".rstrip("%")] = low, high
    return _BenchResult(
        unique_id=task.series.unique_id,
        origin=len(task.past),
        model=DEFAULT,
        seconds=task.seconds + time.perf_counter() - begun,
        frame=frame,
        figures={},
        most_weight=max(sorted(choice.weights), key=choice.weights.__getitem__),
    )


def _peer(task: _Task, name: str, history: History) -> _BenchResult | None:
    begun = time.perf_counter()
    try:
        yhat = CATALOG[name].fit(history).predict(task.horizon)
    except InsufficientDataError:
        return None
    return _BenchResult(
        unique_id=task.series.unique_id,
        origin=len(task.past),
        model=name,
        seconds=time.perf_counter() - begun,
        frame={"yhat": yhat},
        figures={},
    )


def _judge(
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


def _report(
    told: Sequence[_BenchResult], data_format: str, horizon: int, season: tuple[int, ...]
) -> ForecastBench:
    models = sorted({one.model for one in told}, key=lambda name: (name != DEFAULT, name))
    won = _wins(told)
    winners: dict[str, int] = {}
    for one in told:
        if one.most_weight:
            winners[one.most_weight] = winners.get(one.most_weight, 0) + 1
    return ForecastBench(
        data_format=data_format,
        series=len({one.unique_id for one in told}),
        origins=len({(one.unique_id, one.origin) for one in told}),
        horizon=horizon,
        season=season,
        models={
            name: _figures([one for one in told if one.model == name], won.get(name, 0)) for name in models
        },
        winners=dict(sorted(winners.items(), key=lambda item: (-item[1], item[0]))),
    )


def _wins(told: Sequence[_BenchResult]) -> dict[str, int]:
    mean: dict[str, dict[str, list[float]]] = {}
    for one in told:
        if np.isfinite(one.figures.get("mase", np.nan)):
            mean.setdefault(one.unique_id, {}).setdefault(one.model, []).append(one.figures["mase"])
    won: dict[str, int] = {}
    for by_model in mean.values():
        best = min(by_model, key=lambda name: (float(np.mean(by_model[name])), name))
        won[best] = won.get(best, 0) + 1
    return won


def _figures(told: Sequence[_BenchResult], won: int) -> ModelFigures:
    def mean(name: str) -> float:
        values = [one.figures[name] for one in told if np.isfinite(one.figures.get(name, np.nan))]
        return float(np.mean(values)) if values else float("nan")

    levels = [f"{level:.0%}".rstrip("%") for level in LEVELS]
    has = any("coverage_80" in one.figures for one in told)
    return ModelFigures(
        mase=mean("mase"),
        smape=mean("smape"),
        # As M4 defines it: the ratio of the means, not the mean of the ratios.
        owa=owa(mean("mase"), mean("smape"), mean("naive2_mase"), mean("naive2_smape")),
        seconds_a_series=float(np.mean([one.seconds for one in told])),
        won=won,
        msis=mean("msis"),
        coverage={level: mean(f"coverage_{level}") for level in levels} if has else {},
        width={level: mean(f"width_{level}") for level in levels} if has else {},
    )


def _write(told: Sequence[_BenchResult], out: Path) -> None:
    """One Parquet a model; where origins roll, `origin` is how many values were known."""
    rolling = len({(one.unique_id, one.origin) for one in told}) > len({one.unique_id for one in told})
    out.mkdir(parents=True, exist_ok=True)
    for model in sorted({one.model for one in told}):
        frames = []
        for one in told:
            if one.model == model:
                steps = len(one.frame["yhat"])
                columns = {name: one.frame.get(name, np.full(steps, np.nan)) for name in COLUMNS}
                origin = {"origin": [one.origin] * steps} if rolling else {}
                frames.append(
                    pl.DataFrame(
                        {
                            "unique_id": [one.unique_id] * steps,
                            **origin,
                            "step": np.arange(1, steps + 1),
                            **columns,
                        }
                    )
                )
        name = "forecasts" if model == DEFAULT else f"forecasts_{model}"
        pl.concat(frames).write_parquet(out / f"{name}.parquet")
