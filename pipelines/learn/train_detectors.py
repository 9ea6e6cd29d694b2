"""Train the detectors of the whole fleet and register them as one version."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from core.settings import Settings
from core.training import Training
from models.detect.budget import OTHERS
from models.detect.bundle import DetectorBundle, DetectorOptions
from models.detect.catalog import select_detectors
from pipelines.common.one_at_a_time import one_at_a_time
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.learn.learning_window import LearningWindow, read_window
from pipelines.learn.report import TrainReport

KIND = "detector"
#: The calibration is checked on the last days, by a bundle that has not seen them.
HELD_OUT = timedelta(days=3)
CHECKED_P = 0.01


@one_at_a_time("train/detector")
def train_detectors(
    platform: Platform, *, at: datetime | None = None, progress: Progress = silent
) -> TrainReport:
    """Learn from the 30 days before `at` and register the bundle as challenger.

    Raises:
        ConfigurationError: `FOREWARN_DETECTORS` names a detector that is not in the catalog.
        InsufficientDataError: there are no samples.
    """
    options = detector_options(platform.settings)
    window = read_window(platform, at=at)
    progress("detectors", 0, 2)
    metrics = held_out_metrics(window, options)
    progress("detectors", 1, 2)
    bundle = DetectorBundle.fit(
        window.samples,
        window.series,
        window.exclusions,
        window.events,
        options,
    )
    progress("detectors", 2, 2)
    names = {one.series_id: one.name for one in window.series}
    ref = platform.registry.register(
        KIND,
        bundle.to_files(),
        Training(
            window_start=window.start,
            window_end=window.end,
            seed=platform.settings.seed,
            params={
                "series": len(bundle.models),
                "detectors": ",".join(bundle.names),
                "alpha": bundle.budgets[OTHERS].base_alpha,
                **{f"alpha.{name}": one.base_alpha for name, one in bundle.budgets.items() if name != OTHERS},
            },
            metrics=metrics,
        ),
    )
    skipped = {names.get(key, str(key)): why for key, why in bundle.skipped.items()}
    unknown = set(platform.settings.alert_budget_by_service) - {one.service for one in window.series}
    skipped |= dict.fromkeys(sorted(unknown), "it has an alert budget but no series")
    return TrainReport(model=ref, trained=len(bundle.models), skipped=skipped, metrics=metrics)


def detector_options(settings: Settings) -> DetectorOptions:
    """How the settings want the detectors to be fitted.

    Raises:
        ConfigurationError: `FOREWARN_DETECTORS` names a detector that is not in the catalog.
    """
    return DetectorOptions(
        detectors=select_detectors(settings.detectors),
        alarms_per_week=settings.alert_budget_per_week,
        alarms_by_service=settings.alert_budget_by_service,
        seed=settings.seed,
        time_zone=settings.time_zone,
    )


def held_out_metrics(window: LearningWindow, options: DetectorOptions) -> dict[str, float]:
    """How well calibrated the p-values are on days that were not learned from.

    Returns:
        `calibration_error`: |share of p < 0.01 minus 0.01|, the mean over series; `p01_share`: that share over all;
        `anomaly_share`: share of values called anomalies. Empty where the history is too short to keep days back.
    """
    border = window.end - HELD_OUT
    before = window.samples.filter(pl.col("ts") < border)
    if before.is_empty() or window.end - window.start < 2 * HELD_OUT:
        return {}
    bundle = DetectorBundle.fit(
        before,
        window.series,
        window.exclusions,
        window.events,
        options,
    )
    scored = bundle.score(window.samples.filter(pl.col("ts") >= border))
    services = pl.DataFrame(
        [(one.series_id, one.service) for one in window.series],
        schema={"series_id": pl.Int64, "service": pl.String},
        orient="row",
    )
    quiet = scored.join(services, on="series_id", how="left")
    for service, begin, finish in window.exclusions.iter_rows():
        inside = (pl.col("ts") >= begin) & (pl.col("ts") <= finish)
        quiet = quiet.filter(~(inside & ((pl.col("service") == service) | (service == "*"))))
    if quiet.is_empty():
        return {}
    rare = (pl.col("p_value") < CHECKED_P).mean()
    shares = quiet.group_by("series_id").agg(rare.alias("share"))["share"].to_numpy()
    return {
        "calibration_error": float(np.mean(np.abs(shares - CHECKED_P))),
        "p01_share": float(quiet.select(rare).item()),
        "anomaly_share": float(quiet["is_anomaly"].mean() or 0.0),  # type: ignore[arg-type]
    }
