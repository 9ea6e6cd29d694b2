"""How well calibrated the p-values are on days that were not learned from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from core.arrays import BoolArray, FloatArray
from models.detect.budget import MOST_ALPHA
from models.detect.bundle import DetectorBundle, DetectorOptions, budget_of, tests_per_week
from models.detect.learned_fleet import with_anomalies

#: P-values below this must be as frequent.
CHECKED_P = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutPart:
    """What the held-out days of some services show, without spans that nothing is learned from.

    Attributes:
        shares: share of p < `CHECKED_P` of each series, shape (series,).
        rare, known: how many p-values are below it, and how many there are.
        rows: how many values there are.
        possible: the rows that may be anomalies, also those inside such spans, with `budget` and `is_quiet`.
        tests_per_week: key of an alert budget -> how many values it decides about.
    """

    shares: FloatArray
    rare: int
    known: int
    rows: int
    possible: pl.DataFrame
    tests_per_week: Counter[str]


def held_out_part(
    bundle: DetectorBundle, samples: pl.DataFrame, exclusions: pl.DataFrame, options: DetectorOptions
) -> HeldOutPart:
    """Score days that a bundle has not learned from.

    Args:
        bundle: of some whole services, fitted with `options` on the time before.
        samples: `core.frames.SAMPLES` of these services; exclusions: `core.frames.EXCLUSIONS`.
    """
    scored = bundle.undecided(samples)
    ids = scored["series_id"].unique()
    service_of = {key: bundle.models[key].series.service for key in ids}
    budgets = {key: budget_of(bundle.models[key], options.alarms_by_service) for key in ids}
    key = pl.col("series_id")
    marked = scored.with_columns(
        budget=key.replace_strict(budgets, default=None, return_dtype=pl.String),
        is_quiet=pl.Series(_is_quiet(scored, service_of, exclusions)),
    )
    quiet = marked.filter("is_quiet")
    rare = pl.col("p_value") < CHECKED_P
    return HeldOutPart(
        shares=quiet.group_by("series_id").agg(share=rare.mean())["share"].to_numpy(),
        rare=int(quiet.select(rare.sum()).item()),
        known=quiet["p_value"].count(),
        rows=quiet.height,
        possible=marked.filter(pl.col("p_value") / pl.col("weight") <= MOST_ALPHA).select(
            "series_id", "ts", "p_value", "weight", "is_anomaly", "budget", "is_quiet"
        ),
        tests_per_week=tests_per_week(bundle.models, options),
    )


def _is_quiet(scored: pl.DataFrame, service_of: Mapping[int, str], exclusions: pl.DataFrame) -> BoolArray:
    """Whether each row is outside all exclusions of its service.

    Arrays, because a large fleet has thousands of exclusions, and one expression of them all took 20 GB.
    """
    names = scored["series_id"].replace_strict(service_of, return_dtype=pl.String).to_numpy()
    rows_of = {name: np.flatnonzero(names == name) for name in set(service_of.values())}
    rows_of["*"] = np.arange(scored.height)
    times = scored["ts"].dt.epoch("us").to_numpy()
    quiet = np.ones(scored.height, dtype=np.bool_)
    spans = exclusions.with_columns(pl.col("start", "end").dt.epoch("us"))
    for name, begin, finish in spans.iter_rows():
        if (rows := rows_of.get(name)) is not None:
            quiet[rows[(times[rows] >= begin) & (times[rows] <= finish)]] = False
    return quiet


def held_out_metrics(parts: Sequence[HeldOutPart], options: DetectorOptions) -> dict[str, float]:
    """The figures of the fleet.

    Returns:
        `calibration_error`: |share of p < 0.01 minus 0.01|, the mean over series; `p01_share`: that share over all;
        `anomaly_share`: share of values called anomalies. Empty where nothing was held out.
    """
    rows, known = sum(one.rows for one in parts), sum(one.known for one in parts)
    if not known:
        return {}
    budgets = options.budgets(sum((one.tests_per_week for one in parts), Counter()))
    possible = pl.concat(one.possible for one in parts)
    anomalies = sum(
        with_anomalies(budgets[str(name)], part).filter("is_anomaly", "is_quiet").height
        for (name,), part in possible.partition_by("budget", as_dict=True).items()
    )
    return {
        "calibration_error": float(
            np.mean(np.abs(np.concatenate([one.shares for one in parts]) - CHECKED_P))
        ),
        "p01_share": sum(one.rare for one in parts) / known,
        "anomaly_share": anomalies / rows,
    }
