"""`forewarn bench detect`: the shipped default on labelled data, beside the two simplest baselines.

One setting for all series and all sets. Several metrics are learned from the history that comes with them; a single
metric is learned as it comes, each value scored before the next is seen. Where there is a history, the bundle that
scores a fleet is measured beside it (docs/decisions/two-ways-to-detect.md says why they are two).
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from core.domain import Series
from core.errors import InputError
from core.frames import EXCLUSIONS
from models.detect.bundle import DetectorBundle
from models.detect.calibration import calibrate, score_of
from models.detect.detectors.pca import Pca
from models.detect.detectors.stream import EVIDENCE, SURPRISE, Stream, once
from models.series.grid import FloatArray, IntArray
from pipelines.bench.detection_metrics import EventCounts, average_precision, count_events, vus_pr
from pipelines.bench.labelled_data import Case, read_cases
from pipelines.bench.nab_scoring import NabSeries, nab_scores
from pipelines.common.progress import Progress, silent

#: A value is called an anomaly at this p-value or below.
ALPHA = 0.001
#: Alarms closer than this are one.
JOIN_S = 3600
#: After an alarm, weaker evidence is held down near the first number; what was said fades by the second a step.
HELD_AT, FADE = 3.0, 0.01
#: The part of the history that p-values are calibrated on is not the part that is learned from.
LEARN_SHARE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Measures of one detector on one set; means over series, null where nothing is labelled.

    Attributes:
        nab: score of each profile, for NAB's format only.
    """

    average_precision: float | None
    vus_pr: float | None
    event_precision: float | None
    event_recall: float | None
    event_f1: float | None
    false_alarms_per_day: float | None
    median_delay_s: float | None
    points_per_s: float
    nab: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchDetectReport:
    """The shipped default, what it is held against, and the default by series."""

    data_format: str
    series: int
    points: int
    shipped: Figures
    baselines: Mapping[str, Figures]
    by_series: Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """Scores of one case, one a row; p_value is NaN for baselines, which have none."""

    score: FloatArray
    p_value: FloatArray
    seconds: float


def bench_detect(
    path: Path,
    data_format: str,
    scores: Path | None = None,
    json_file: Path | None = None,
    progress: Progress = silent,
) -> BenchDetectReport:
    """Run the default on a data set and measure it.

    Args:
        scores: folder for one Parquet a series (`ts` or `row`, `score`, `p_value`, `is_anomaly`).
        json_file: where the report is written.
    Raises:
        InputError: the path does not hold data of that format.
    """
    cases = list(read_cases(path, data_format))
    results: dict[str, list[Scored]] = {}
    for done, case in enumerate(cases):
        progress("detect", done, len(cases))
        for name, detect in detectors_for(case).items():
            results.setdefault(name, []).append(_timed(detect, case))
        if scores is not None:
            _write_scores(scores, case, results["shipped"][-1])
    progress("detect", len(cases), len(cases))
    figures = {}
    for done, (name, scored) in enumerate(results.items()):
        progress("measure", done, len(results))
        figures[name] = measure(cases, scored, with_nab=data_format == "nab")
    progress("measure", len(results), len(results))
    report = BenchDetectReport(
        data_format=data_format,
        series=len(cases),
        points=sum(len(case.values) for case in cases),
        shipped=figures.pop("shipped"),
        baselines=figures,
        by_series={
            case.name: _of_series(case, scored)
            for case, scored in zip(cases, results["shipped"], strict=True)
        },
    )
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(asdict(report), indent=2) + "\n")
    return report


def detectors_for(case: Case) -> Mapping[str, Callable[[Case], Scored]]:
    """The shipped default, the fleet's bundle where there is a history, and the two simplest baselines."""
    bundle = {} if case.history is None else {"fleet bundle": detect_by_bundle}
    if case.values.ndim == 1:
        return {"shipped": detect_one, **bundle, "z-score so far": _running_zscore, "change": _change}
    return {
        "shipped": detect_several, **bundle, "mean squared z-score": _mean_square, "largest z-score": _largest,
    }  # fmt: skip


def detect_one(case: Case) -> Scored:
    """The default for one metric: `models.detect.detectors.stream`, fed value by value from the history on."""
    step_s = max(1, int(np.median(np.diff(case.times_s[:500])))) if case.times_s.size > 1 else 300
    fitted = Stream(step_s=step_s).fresh()
    if case.history is not None and case.history_times_s is not None:
        fitted = fitted.run(case.history_times_s, case.history)[1]
    out, _ = fitted.run(case.times_s, case.values)
    evidence, _ = once(out[:, EVIDENCE], 0.0, HELD_AT, FADE)
    return Scored(score_of(np.maximum(evidence, 0.0)), 10.0 ** -out[:, SURPRISE], 0.0)


def detect_several(case: Case) -> Scored:
    """The default for several metrics: `models.detect.detectors.pca`, learned from the history, calibrated apart."""
    history = case.history if case.history is not None else case.values[: case.warm_up]
    cut = int(LEARN_SHARE * len(history))
    calibration = calibrate(Pca().fit(history[:cut]).score(history[cut:]))
    surprise = calibration.surprise_of(Pca().fit(history).score(case.values))
    return Scored(score_of(surprise), 10.0 ** -np.minimum(surprise, 300.0), 0.0)


def detect_by_bundle(case: Case) -> Scored:
    """What scores a fleet, learned once from the history; of several metrics the mean surprise."""
    if case.history is None or case.history_times_s is None:
        raise InputError(f"{case.name} has no history to learn from")
    step_s = max(1, int(np.median(np.diff(case.times_s[:500]))))
    columns = 1 if case.values.ndim == 1 else case.values.shape[1]
    series = [
        Series(tenant="bench", service="bench", metric=f"metric {at}", step_s=step_s) for at in range(columns)
    ]
    bundle = DetectorBundle.fit(
        _samples(series, case.history_times_s, case.history), series, pl.DataFrame(schema=dict(EXCLUSIONS))
    )
    steps = (case.times_s - case.times_s[0] // step_s * step_s) // step_s
    found = np.full((int(steps[-1]) + 1, columns), np.nan)
    known = [one for one in series if one.series_id in bundle.models]
    scored = bundle.score(_samples(series, case.times_s, case.values).filter(
        pl.col("series_id").is_in([one.series_id for one in known])
    ))  # fmt: skip
    for at, one in enumerate(series):
        mine = scored.filter(pl.col("series_id") == one.series_id)
        first = case.times_s[0] // step_s * step_s
        found[(mine["ts"].dt.epoch("s").to_numpy() - first) // step_s, at] = mine["surprise"].to_numpy()
    counts = np.isfinite(found).sum(axis=1)
    mean = np.where(counts > 0, np.nansum(found, axis=1) / np.maximum(counts, 1), np.nan)[steps]
    return Scored(score_of(mean), 10.0 ** -np.minimum(mean, 300.0), 0.0)


def _samples(series: list[Series], times_s: IntArray, values: FloatArray) -> pl.DataFrame:
    columns = values[:, None] if values.ndim == 1 else values
    ts = pl.Series(times_s * 1_000_000).cast(pl.Datetime("us", "UTC"))
    return pl.concat(
        pl.DataFrame({"series_id": pl.repeat(one.series_id, ts.len(), dtype=pl.Int64, eager=True), "ts": ts,
                      "value": columns[:, at]}) for at, one in enumerate(series)
    )  # fmt: skip


def _timed(detect: Callable[[Case], Scored], case: Case) -> Scored:
    began = time.perf_counter()
    scored = detect(case)
    return Scored(scored.score, scored.p_value, time.perf_counter() - began)


def _plain(score: FloatArray) -> Scored:
    return Scored(score, np.full(score.shape, np.nan), 0.0)


def _running_zscore(case: Case) -> Scored:
    """|value - mean| / deviation of all values before it."""
    history = case.history if case.history is not None else np.empty(0)
    values = np.nan_to_num(np.concatenate([history, case.values]))
    seen = np.arange(values.size)
    mean = np.concatenate([[0.0], np.cumsum(values)[:-1]]) / np.maximum(seen, 1)
    square = np.concatenate([[0.0], np.cumsum(values**2)[:-1]]) / np.maximum(seen, 1)
    sigma = np.sqrt(np.maximum(square - mean**2, 0.0))
    score = np.where(seen > 1, np.abs(values - mean) / np.maximum(sigma, 1e-9), 0.0)
    return _plain(score[history.size :])


def _change(case: Case) -> Scored:
    """|value - the one before|."""
    return _plain(np.abs(np.diff(np.nan_to_num(case.values), prepend=np.nan_to_num(case.values[:1]))))


def _zscores(case: Case) -> FloatArray:
    history = case.history if case.history is not None else case.values[: case.warm_up]
    result: FloatArray = np.abs(case.values - history.mean(axis=0)) / (history.std(axis=0) + 1e-3)
    return result


def _mean_square(case: Case) -> Scored:
    return _plain((_zscores(case) ** 2).mean(axis=1))


def _largest(case: Case) -> Scored:
    return _plain(_zscores(case).max(axis=1))


def measure(cases: list[Case], results: list[Scored], *, with_nab: bool) -> Figures:
    """The figures of one detector over all cases; events need p-values."""
    labelled = [
        (case, scored) for case, scored in zip(cases, results, strict=True)
        if case.label is not None and case.label[case.warm_up :].any()
    ]  # fmt: skip
    points, seconds = sum(len(case.values) for case in cases), sum(scored.seconds for scored in results)
    events = EventCounts(events=0, found=0, alarms=0, true_alarms=0, days=0.0)
    for case, scored in zip(cases, results, strict=True):
        if case.label is not None and not np.isnan(scored.p_value).all():
            events = events + _events(case, scored)
    nab = None
    if with_nab:
        nab = nab_scores(
            [NabSeries(one.score, case.windows) for case, one in zip(cases, results, strict=True)]
        )
    return Figures(
        average_precision=_mean(
            [average_precision(one.score[case.warm_up :], _truth(case)) for case, one in labelled]
        ),
        vus_pr=_mean([vus_pr(one.score[case.warm_up :], _truth(case)) for case, one in labelled]),
        event_precision=_known(events.precision),
        event_recall=_known(events.recall),
        event_f1=_known(events.f1) if events.alarms else None,
        false_alarms_per_day=_known(events.false_alarms_per_day),
        median_delay_s=_known(events.median_delay_s),
        points_per_s=points / max(seconds, 1e-9),
        nab=nab,
    )


def _truth(case: Case) -> np.ndarray:
    label = case.label if case.label is not None else np.zeros(len(case.values), dtype=np.bool_)
    return label[case.warm_up :]


def _events(case: Case, scored: Scored) -> EventCounts:
    flagged = scored.p_value[case.warm_up :] <= ALPHA
    return count_events(flagged, _truth(case), case.times_s[case.warm_up :], JOIN_S)


def _of_series(case: Case, scored: Scored) -> dict[str, float | None]:
    if case.label is None:
        return {"average_precision": None, "flagged": float((scored.p_value <= ALPHA).sum())}
    events = _events(case, scored)
    return {
        "average_precision": _known(average_precision(scored.score[case.warm_up :], _truth(case))),
        "event_recall": _known(events.recall),
        "false_alarms_per_day": _known(events.false_alarms_per_day),
    }


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None


def _write_scores(folder: Path, case: Case, scored: Scored) -> None:
    target = folder / f"{case.name}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    if case.has_times:
        index = pl.Series("ts", case.times_s * 1_000_000).cast(pl.Datetime("us", "UTC"))
    else:
        index = pl.Series("row", np.arange(len(case.values), dtype=np.int64))
    pl.DataFrame(
        {
            index.name: index,
            "score": scored.score,
            "p_value": scored.p_value,
            "is_anomaly": scored.p_value <= ALPHA,
        }
    ).with_columns(pl.col("score", "p_value").fill_nan(None)).write_parquet(target)
