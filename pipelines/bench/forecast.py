"""`forewarn bench forecast`: measure the default forecasters on any data set, with the same settings for all of them.

At each origin the models know only the values before it. Without a test file and without origins the series can be
forecast beyond their end; then the forecasts are written and no figures are measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from core.errors import InputError, InsufficientDataError
from core.json_text import json_text
from models.forecast.intervals.conformal import LEVELS
from pipelines.bench.forecast_metrics import owa
from pipelines.bench.forecast_run import (
    DEFAULT,
    DEFAULT_SETUP,
    LEAST_BEFORE_ORIGIN,
    ForecastResult,
    ForecastSetup,
    forecast_set,
)
from pipelines.bench.forecast_sets import BenchSeries, read_set
from pipelines.common.progress import Progress, silent

#: A series with fewer values cannot be forecast.
LEAST_VALUES = 2
COLUMNS = ("yhat", "lo_80", "hi_80", "lo_95", "hi_95")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastFigures:
    """Means of one model over all series and origins; NaN if no value after an origin is known.

    Attributes:
        mase: 1 = as good as the seasonal naive forecast in the past.
        smape: 0 to 200.
        owa: 1 = as good as Naive 2.
        won: number of series on which the model had the smallest MASE.
        coverage: level -> share of values inside the interval; empty for models without intervals.
        width: level -> mean width of the interval in units of the MASE scale; empty likewise.
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
class ForecastBenchReport:
    """The figures of all models.

    Attributes:
        models: name -> figures.
        winners: member -> how often it had the largest weight.
    """

    data_format: str
    series: int
    origins: int
    horizon: int
    season: tuple[int, ...]
    models: Mapping[str, ForecastFigures]
    winners: Mapping[str, int]


def bench_forecast(
    path: Path,
    data_format: str = "csv",
    setup: ForecastSetup = DEFAULT_SETUP,
    *,
    out: Path | None = None,
    json_file: Path | None = None,
    progress: Progress = silent,
) -> ForecastBenchReport:
    """Forecast every series of a data set and compare the forecasts with the values that followed.

    Args:
        path: file or folder of the data set.
        data_format: see `forecast_sets.read_set`.
        setup: how every series is forecast.
        out: folder for `forecasts.parquet` of the default, and one file for each peer.
        json_file: where the report is written.
    Raises:
        InputError: the data set cannot be read, or there is nothing to measure: no test file, no origins and no `out`.
        InsufficientDataError: a series has fewer than two values, or is too short for one rolling origin.
    """
    found = read_set(path, data_format)
    _check_lengths(found, setup.horizon, setup.origins)
    if not setup.origins and out is None and all(one.future is None for one in found):
        raise InputError(
            f"{path} has no test file, so no values follow the forecasts and nothing can be measured; "
            "add --origins N to forecast from N moments before the end, "
            "or --out FOLDER to only write forecasts beyond the end"
        )
    results = forecast_set(found, setup, progress)
    report = _report(results, data_format, setup)
    if out is not None:
        _write(results, out)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json_text(report, sort_keys=True))
    return report


def _check_lengths(found: Sequence[BenchSeries], horizon: int, origins: int) -> None:
    """Refuse series that cannot be forecast; with rolling origins, also those without any origin."""
    short = [one.unique_id for one in found if np.isfinite(one.values).sum() < LEAST_VALUES]
    needed = f"a forecast needs {LEAST_VALUES} values"
    if not short and origins:
        least = LEAST_BEFORE_ORIGIN + horizon
        short = [one.unique_id for one in found if len(one.values) + one.future_steps < least]
        needed = f"rolling origins of {horizon} steps need {least} values"
    if short:
        raise InsufficientDataError(
            f"{needed}; leave out the series with fewer: {', '.join(short[:5])}"
            + (f" and {len(short) - 5} more" if len(short) > 5 else "")
        )


def _report(results: Sequence[ForecastResult], data_format: str, setup: ForecastSetup) -> ForecastBenchReport:
    models = sorted({one.model for one in results}, key=lambda name: (name != DEFAULT, name))
    won = _wins(results)
    winners: dict[str, int] = {}
    for one in results:
        if one.most_weight:
            winners[one.most_weight] = winners.get(one.most_weight, 0) + 1
    return ForecastBenchReport(
        data_format=data_format,
        series=len({one.unique_id for one in results}),
        origins=len({(one.unique_id, one.origin) for one in results}),
        horizon=setup.horizon,
        season=setup.season,
        models={
            name: _figures([one for one in results if one.model == name], won.get(name, 0)) for name in models
        },
        winners=dict(sorted(winners.items(), key=lambda item: (-item[1], item[0]))),
    )


def _wins(results: Sequence[ForecastResult]) -> dict[str, int]:
    mean: dict[str, dict[str, list[float]]] = {}
    for one in results:
        if np.isfinite(one.figures.get("mase", np.nan)):
            mean.setdefault(one.unique_id, {}).setdefault(one.model, []).append(one.figures["mase"])
    won: dict[str, int] = {}
    for by_model in mean.values():
        best = min(by_model, key=lambda name: (float(np.mean(by_model[name])), name))
        won[best] = won.get(best, 0) + 1
    return won


def _figures(results: Sequence[ForecastResult], won: int) -> ForecastFigures:
    def mean(name: str) -> float:
        values = [one.figures[name] for one in results if np.isfinite(one.figures.get(name, np.nan))]
        return float(np.mean(values)) if values else float("nan")

    levels = [f"{level:.0%}".rstrip("%") for level in LEVELS]
    has_intervals = any("coverage_80" in one.figures for one in results)
    return ForecastFigures(
        mase=mean("mase"),
        smape=mean("smape"),
        # M4 defines it as the ratio of the means, not as the mean of the ratios.
        owa=owa(mean("mase"), mean("smape"), mean("naive2_mase"), mean("naive2_smape")),
        seconds_a_series=float(np.mean([one.seconds for one in results])),
        won=won,
        msis=mean("msis"),
        coverage={level: mean(f"coverage_{level}") for level in levels} if has_intervals else {},
        width={level: mean(f"width_{level}") for level in levels} if has_intervals else {},
    )


def _write(results: Sequence[ForecastResult], out: Path) -> None:
    """Write one Parquet for each model; with rolling origins, `origin` is how many values were known."""
    rolling = len({(one.unique_id, one.origin) for one in results}) > len({one.unique_id for one in results})
    out.mkdir(parents=True, exist_ok=True)
    for model in sorted({one.model for one in results}):
        frames = []
        for one in results:
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
