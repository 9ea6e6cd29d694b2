"""`forewarn bench detect`: measure the shipped default on labelled data, beside two simple baselines.

The settings are the same for all series and data sets. On several metrics the default learns from the history that
comes with them. On a single metric it learns online: it scores each value before it sees the next one. If there is a
history, the bundle that scores a fleet is measured too (docs/decisions/two-ways-to-detect.md explains the difference).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from core.arrays import FloatArray, IntArray
from core.domain import Series
from core.errors import InputError
from core.frames import EXCLUSIONS
from core.json_text import json_text
from models.detect.bundle import DetectorBundle
from models.detect.calibration import calibrate, score_of
from models.detect.detectors.pca import Pca
from models.detect.detectors.stream import EVIDENCE, SURPRISE, Stream, once
from pipelines.bench.detection_metrics import EventCounts, average_precision, count_events, vus_pr
from pipelines.bench.labelled_data import LabelledSeries, read_labelled
from pipelines.bench.nab_scoring import NabSeries, nab_scores
from pipelines.common.progress import Progress, silent

#: A value is an anomaly at this p-value or below.
ALPHA = 0.001
#: Alarms that are closer than this many seconds count as one.
JOIN_S = 3600
#: After an alarm, weaker evidence stays near the first number; the effect fades by the second number per step.
HELD_AT, FADE = 3.0, 0.01
#: The detector learns from this share of the history; the rest calibrates the p-values.
LEARN_SHARE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionFigures:
    """Measures of one detector on one data set: means over series, null if nothing is labelled.

    Attributes:
        nab: profile -> NAB score, only for the NAB format.
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
class DetectBenchReport:
    """The figures of the shipped default, of the baselines, and of the default for each series."""

    data_format: str
    series: int
    points: int
    shipped: DetectionFigures
    baselines: Mapping[str, DetectionFigures]
    by_series: Mapping[str, Mapping[str, float | None]]


@dataclass(frozen=True, slots=True, eq=False)
class DetectionScores:
    """Scores of one labelled series, one for each row; `p_value` is NaN for baselines, which have none."""

    score: FloatArray
    p_value: FloatArray
    seconds: float


def bench_detect(
    path: Path,
    data_format: str,
    scores: Path | None = None,
    json_file: Path | None = None,
    progress: Progress = silent,
) -> DetectBenchReport:
    """Run the default and the baselines on a data set and measure them.

    Args:
        scores: folder for one Parquet per series (`ts` or `row`, `score`, `p_value`, `is_anomaly`).
        json_file: where the report is written.
    Raises:
        InputError: the path does not hold data of that format.
    """
    data = list(read_labelled(path, data_format))
    results: dict[str, list[DetectionScores]] = {}
    for done, labelled in enumerate(data):
        progress("detect", done, len(data))
        for name, detect in detectors_for(labelled).items():
            results.setdefault(name, []).append(_timed(detect, labelled))
        if scores is not None:
            _write_scores(scores, labelled, results["shipped"][-1])
    progress("detect", len(data), len(data))
    figures = {}
    for done, (name, scored) in enumerate(results.items()):
        progress("measure", done, len(results))
        figures[name] = measure(data, scored, with_nab=data_format == "nab")
    progress("measure", len(results), len(results))
    report = DetectBenchReport(
        data_format=data_format,
        series=len(data),
        points=sum(len(labelled.values) for labelled in data),
        shipped=figures.pop("shipped"),
        baselines=figures,
        by_series={
            labelled.name: _of_series(labelled, scored)
            for labelled, scored in zip(data, results["shipped"], strict=True)
        },
    )
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json_text(report) + "\n")
    return report


def detectors_for(labelled: LabelledSeries) -> Mapping[str, Callable[[LabelledSeries], DetectionScores]]:
    """Name -> detector: the shipped default, the fleet bundle if there is a history, and two simple baselines."""
    bundle = {} if labelled.history is None else {"fleet bundle": detect_by_bundle}
    if labelled.values.ndim == 1:
        return {"shipped": detect_one, **bundle, "z-score so far": _running_zscore, "change": _change}
    return {
        "shipped": detect_several, **bundle, "mean squared z-score": _mean_square, "largest z-score": _largest,
    }  # fmt: skip


def detect_one(labelled: LabelledSeries) -> DetectionScores:
    """The default for one metric: `models.detect.detectors.stream`, fed value by value, the history first."""
    step_s = max(1, int(np.median(np.diff(labelled.times_s[:500])))) if labelled.times_s.size > 1 else 300
    fitted = Stream(step_s=step_s).fresh()
    if labelled.history is not None and labelled.history_times_s is not None:
        fitted = fitted.run(labelled.history_times_s, labelled.history)[1]
    out, _ = fitted.run(labelled.times_s, labelled.values)
    evidence, _ = once(out[:, EVIDENCE], 0.0, HELD_AT, FADE)
    return DetectionScores(score_of(np.maximum(evidence, 0.0)), 10.0 ** -out[:, SURPRISE], 0.0)


def detect_several(labelled: LabelledSeries) -> DetectionScores:
    """The default for several metrics: `models.detect.detectors.pca`, fitted and calibrated on parts of the history."""
    history = labelled.history if labelled.history is not None else labelled.values[: labelled.warm_up]
    cut = int(LEARN_SHARE * len(history))
    calibration = calibrate(Pca().fit(history[:cut]).score(history[cut:]))
    surprise = calibration.surprise_of(Pca().fit(history).score(labelled.values))
    return DetectionScores(score_of(surprise), 10.0 ** -np.minimum(surprise, 300.0), 0.0)


def detect_by_bundle(labelled: LabelledSeries) -> DetectionScores:
    """The bundle that scores a fleet, fitted once on the history; several metrics give their mean surprise."""
    if labelled.history is None or labelled.history_times_s is None:
        raise InputError(f"{labelled.name} has no history to learn from")
    step_s = max(1, int(np.median(np.diff(labelled.times_s[:500]))))
    columns = 1 if labelled.values.ndim == 1 else labelled.values.shape[1]
    series = [
        Series(tenant="bench", service="bench", metric=f"metric {at}", step_s=step_s) for at in range(columns)
    ]
    bundle = DetectorBundle.fit(
        _samples(series, labelled.history_times_s, labelled.history),
        series,
        pl.DataFrame(schema=dict(EXCLUSIONS)),
    )
    steps = (labelled.times_s - labelled.times_s[0] // step_s * step_s) // step_s
    found = np.full((int(steps[-1]) + 1, columns), np.nan)
    known = [one for one in series if one.series_id in bundle.models]
    scored = bundle.score(_samples(series, labelled.times_s, labelled.values).filter(
        pl.col("series_id").is_in([one.series_id for one in known])
    ))  # fmt: skip
    for at, one in enumerate(series):
        mine = scored.filter(pl.col("series_id") == one.series_id)
        first = labelled.times_s[0] // step_s * step_s
        found[(mine["ts"].dt.epoch("s").to_numpy() - first) // step_s, at] = mine["surprise"].to_numpy()
    counts = np.isfinite(found).sum(axis=1)
    mean = np.where(counts > 0, np.nansum(found, axis=1) / np.maximum(counts, 1), np.nan)[steps]
    return DetectionScores(score_of(mean), 10.0 ** -np.minimum(mean, 300.0), 0.0)


def _samples(series: list[Series], times_s: IntArray, values: FloatArray) -> pl.DataFrame:
    columns = values[:, None] if values.ndim == 1 else values
    ts = pl.Series(times_s * 1_000_000).cast(pl.Datetime("us", "UTC"))
    return pl.concat(
        pl.DataFrame({"series_id": pl.repeat(one.series_id, ts.len(), dtype=pl.Int64, eager=True), "ts": ts,
                      "value": columns[:, at]}) for at, one in enumerate(series)
    )  # fmt: skip


def _timed(detect: Callable[[LabelledSeries], DetectionScores], labelled: LabelledSeries) -> DetectionScores:
    began = time.perf_counter()
    scored = detect(labelled)
    return DetectionScores(scored.score, scored.p_value, time.perf_counter() - began)


def _plain(score: FloatArray) -> DetectionScores:
    return DetectionScores(score, np.full(score.shape, np.nan), 0.0)


def _running_zscore(labelled: LabelledSeries) -> DetectionScores:
    """|value - mean| / deviation of all values before it."""
    history = labelled.history if labelled.history is not None else np.empty(0)
    values = np.nan_to_num(np.concatenate([history, labelled.values]))
    seen = np.arange(values.size)
    mean = np.concatenate([[0.0], np.cumsum(values)[:-1]]) / np.maximum(seen, 1)
    square = np.concatenate([[0.0], np.cumsum(values**2)[:-1]]) / np.maximum(seen, 1)
    sigma = np.sqrt(np.maximum(square - mean**2, 0.0))
    score = np.where(seen > 1, np.abs(values - mean) / np.maximum(sigma, 1e-9), 0.0)
    return _plain(score[history.size :])


def _change(labelled: LabelledSeries) -> DetectionScores:
    """|value - previous value|."""
    return _plain(np.abs(np.diff(np.nan_to_num(labelled.values), prepend=np.nan_to_num(labelled.values[:1]))))


def _zscores(labelled: LabelledSeries) -> FloatArray:
    history = labelled.history if labelled.history is not None else labelled.values[: labelled.warm_up]
    result: FloatArray = np.abs(labelled.values - history.mean(axis=0)) / (history.std(axis=0) + 1e-3)
    return result


def _mean_square(labelled: LabelledSeries) -> DetectionScores:
    return _plain((_zscores(labelled) ** 2).mean(axis=1))


def _largest(labelled: LabelledSeries) -> DetectionScores:
    return _plain(_zscores(labelled).max(axis=1))


def measure(
    data: list[LabelledSeries], results: list[DetectionScores], *, with_nab: bool
) -> DetectionFigures:
    """The figures of one detector over all series; event figures need p-values."""
    with_labels = [
        (labelled, scored) for labelled, scored in zip(data, results, strict=True)
        if labelled.label is not None and labelled.label[labelled.warm_up :].any()
    ]  # fmt: skip
    points, seconds = (
        sum(len(labelled.values) for labelled in data),
        sum(scored.seconds for scored in results),
    )
    events = EventCounts(events=0, found=0, alarms=0, true_alarms=0, days=0.0)
    for labelled, scored in zip(data, results, strict=True):
        if labelled.label is not None and not np.isnan(scored.p_value).all():
            events = events + _events(labelled, scored)
    nab = None
    if with_nab:
        nab = nab_scores(
            [NabSeries(one.score, labelled.windows) for labelled, one in zip(data, results, strict=True)]
        )
    return DetectionFigures(
        average_precision=_mean(
            [
                average_precision(one.score[labelled.warm_up :], _truth(labelled))
                for labelled, one in with_labels
            ]
        ),
        vus_pr=_mean(
            [vus_pr(one.score[labelled.warm_up :], _truth(labelled)) for labelled, one in with_labels]
        ),
        event_precision=_known(events.precision),
        event_recall=_known(events.recall),
        event_f1=_known(events.f1) if events.alarms else None,
        false_alarms_per_day=_known(events.false_alarms_per_day),
        median_delay_s=_known(events.median_delay_s),
        points_per_s=points / max(seconds, 1e-9),
        nab=nab,
    )


def _truth(labelled: LabelledSeries) -> np.ndarray:
    label = labelled.label if labelled.label is not None else np.zeros(len(labelled.values), dtype=np.bool_)
    return label[labelled.warm_up :]


def _events(labelled: LabelledSeries, scored: DetectionScores) -> EventCounts:
    flagged = scored.p_value[labelled.warm_up :] <= ALPHA
    return count_events(flagged, _truth(labelled), labelled.times_s[labelled.warm_up :], JOIN_S)


def _of_series(labelled: LabelledSeries, scored: DetectionScores) -> dict[str, float | None]:
    if labelled.label is None:
        return {"average_precision": None, "flagged": float((scored.p_value <= ALPHA).sum())}
    events = _events(labelled, scored)
    return {
        "average_precision": _known(average_precision(scored.score[labelled.warm_up :], _truth(labelled))),
        "event_recall": _known(events.recall),
        "false_alarms_per_day": _known(events.false_alarms_per_day),
    }


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None


def _write_scores(folder: Path, labelled: LabelledSeries, scored: DetectionScores) -> None:
    target = folder / f"{labelled.name}.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    if labelled.has_times:
        index = pl.Series("ts", labelled.times_s * 1_000_000).cast(pl.Datetime("us", "UTC"))
    else:
        index = pl.Series("row", np.arange(len(labelled.values), dtype=np.int64))
    pl.DataFrame(
        {
            index.name: index,
            "score": scored.score,
            "p_value": scored.p_value,
            "is_anomaly": scored.p_value <= ALPHA,
        }
    ).with_columns(pl.col("score", "p_value").fill_nan(None)).write_parquet(target)
