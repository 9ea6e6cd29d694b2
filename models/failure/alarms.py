"""Turns probabilities into alarms: hysteresis, the threshold that fits the alert budget, and the lead of alarms."""

import numpy as np
import polars as pl

from core.arrays import FloatArray, IntArray
from core.durations import HOUR_S, WEEK_S

#: An alarm begins at the threshold, and ends when the probability falls below this share of the threshold.
RELEASE_SHARE = 0.6
#: Range and number of the thresholds that are tried. Lower ones give mostly false alarms, whatever the budget.
LOWEST, HIGHEST, STEPS = 0.3, 0.95, 27


def alarm_runs(probabilities: FloatArray, threshold: float) -> IntArray:
    """Number the alarms of one service.

    Args:
        probabilities: one per moment, in time order, in [0, 1].
        threshold: at which an alarm begins, in [0, 1].
    Returns:
        The number of the alarm at each moment, from 0; -1 = no alarm.

    Examples:
        >>> alarm_runs(np.array([0.1, 0.6, 0.4, 0.2, 0.7]), 0.5).tolist()
        [-1, 0, 0, -1, 1]
    """
    runs = np.full(len(probabilities), -1)
    current, count = -1, 0
    for index, probability in enumerate(probabilities.tolist()):
        if current < 0 and probability >= threshold:
            current, count = count, count + 1
        elif current >= 0 and probability < RELEASE_SHARE * threshold:
            current = -1
        runs[index] = current
    return runs


def budget_threshold(
    frame: pl.DataFrame, probabilities: FloatArray, happened: FloatArray, per_week: float
) -> float:
    """Find the lowest threshold whose false alarms stay within the budget.

    Args:
        frame: `service_id` and `ts` of each probability.
        probabilities: in [0, 1].
        happened: 1 where the failure came within the horizon, 0 where not, NaN where unknown. An alarm without a 1 is
            false.
        per_week: acceptable false alarms per week over all services.
    Returns:
        A threshold in [`LOWEST`, `HIGHEST`]; `HIGHEST` if none fits the budget.
    """
    table = frame.select("service_id", "ts").with_columns(p=pl.Series(probabilities), y=pl.Series(happened))
    services = [group.sort("ts") for _, group in table.group_by("service_id", maintain_order=True)]
    seconds = table.get_column("ts").dt.epoch("s").to_numpy()
    weeks = max(float(seconds.max() - seconds.min()) / WEEK_S, 1e-9)
    for threshold in np.linspace(LOWEST, HIGHEST, STEPS).tolist():
        false = 0
        for group in services:
            runs = alarm_runs(group["p"].to_numpy(), threshold)
            inside = runs >= 0
            if inside.any():
                hits = np.bincount(runs[inside], weights=np.nan_to_num(group["y"].to_numpy()[inside]))
                false += int((hits == 0).sum())
        if false / weeks <= per_week:
            return float(threshold)
    return HIGHEST


def alarm_leads(
    frame: pl.DataFrame, probabilities: FloatArray, threshold: float, longest_h: float = 24.0
) -> pl.DataFrame:
    """Measure how long before each failure its alarm began.

    Args:
        frame: `service_id`, `ts`, `failure_in_s`, `next_type` of each probability.
        probabilities: in [0, 1].
        threshold: at which an alarm begins.
        longest_h: longest lead that counts, in hours.
    Returns:
        One row per failure that follows any moment: service_id, next_type, lead_h (hours; null = there was no alarm at
        the last moment before the failure).
    """
    rows = []
    table = frame.select("service_id", "ts", "failure_in_s", "next_type").with_columns(
        p=pl.Series(probabilities)
    )
    for _, group in table.sort("ts").group_by("service_id", maintain_order=True):
        runs = alarm_runs(group["p"].to_numpy(), threshold)
        at = group["ts"].dt.epoch("s").to_numpy() + group["failure_in_s"].fill_null(np.nan).to_numpy()
        for failure in np.unique(at[~np.isnan(at)]):
            before = np.flatnonzero(
                (at == failure) & (group["failure_in_s"].to_numpy() <= longest_h * HOUR_S)
            )
            if not len(before):
                continue
            run = runs[before[-1]]
            lead = None
            if run >= 0:
                first = before[runs[before] == run][0]
                lead = float(group["failure_in_s"][int(first)]) / HOUR_S
            rows.append((group["service_id"][0], group["next_type"][int(before[-1])], lead))
    return pl.DataFrame(
        rows, schema={"service_id": pl.String, "next_type": pl.String, "lead_h": pl.Float64}, orient="row"
    )
