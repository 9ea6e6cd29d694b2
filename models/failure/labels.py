"""Labels past moments with the time to the next failure, and marks moments that must not be learned from.

A moment inside an incident, or shortly after one while the service still recovers, is not used. After the end of the
data, failures are unknown, which is not the same as "no failure".
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from core.arrays import FloatArray
from core.domain import Incident
from core.durations import HOUR_S
from core.frames import TIME
from core.service_names import service_id

#: Horizons of the probabilities, in seconds: 1, 3, 6, 12 and 24 h.
FAILURE_HORIZONS_S: tuple[int, ...] = (HOUR_S, 3 * HOUR_S, 6 * HOUR_S, 12 * HOUR_S, 24 * HOUR_S)
#: After an incident, caches are cold and backlogs drain, so this time is not learned from.
RECOVERY_S = HOUR_S

INCIDENTS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "service_id": pl.String,
    "type": pl.String,
    "severity": pl.String,
    "start": TIME,
    "end": TIME,
}

#: Columns of the next failure that `label` adds; null = none known.
OUTCOME = ("failure_in_s", "next_type", "next_severity")

#: An incident without an end still lasts at the end of the data.
_FOREVER = timedelta(days=3650)


def incident_frame(incidents: Sequence[Incident]) -> pl.DataFrame:
    """Incidents as a frame, columns `INCIDENTS`, sorted by service and start; `end` is null while an incident lasts."""
    return pl.DataFrame(
        [(service_id(i.tenant, i.service), i.type, i.severity.value, i.start, i.end) for i in incidents],
        schema=INCIDENTS,
        orient="row",
    ).sort("service_id", "start")


def label(
    moments: pl.DataFrame,
    incidents: pl.DataFrame,
    *,
    known_until: datetime,
    recovery_s: int = RECOVERY_S,
) -> pl.DataFrame:
    """Add the next failure to each moment.

    Args:
        moments: with `service_id` and `ts`.
        incidents: from `incident_frame`; incidents that start after `known_until` are ignored.
        known_until: end of the data.
        recovery_s: seconds after an incident that are not usable.
    Returns:
        `moments` in the same order, with the columns `usable` (false inside an incident and for `recovery_s` after it),
        `failure_in_s` (seconds to the start of the next failure; null = none known), `next_type`, `next_severity`, and
        `known_s` (seconds until the end of the data).
    """
    known = incidents.filter(pl.col("start") <= known_until)
    ends = known.select(
        "service_id",
        began=pl.col("start"),
        over=pl.col("end").fill_null(known_until + _FOREVER) + pl.duration(seconds=recovery_s),
    ).sort("service_id", "began")
    # An earlier incident may last longer than a later one, so the latest end so far counts.
    ends = ends.with_columns(pl.col("over").cum_max().over("service_id"))
    following = known.select("service_id", fails_at="start", next_type="type", next_severity="severity").sort(
        "service_id", "fails_at"
    )
    rows = moments.with_row_index("_row").sort("service_id", "ts")
    joined = rows.join_asof(
        ends, left_on="ts", right_on="began", by="service_id", strategy="backward", check_sortedness=False
    ).join_asof(
        following,
        left_on="ts",
        right_on="fails_at",
        by="service_id",
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    return (
        joined.with_columns(
            usable=(pl.col("over").is_null() | (pl.col("ts") >= pl.col("over"))),
            failure_in_s=(pl.col("fails_at") - pl.col("ts")).dt.total_seconds().cast(pl.Float64),
            known_s=(pl.lit(known_until).cast(TIME) - pl.col("ts")).dt.total_seconds().cast(pl.Float64),
        )
        .sort("_row")
        .drop("_row", "began", "over", "fails_at")
    )


def as_known_at(labelled: pl.DataFrame, cut: datetime) -> pl.DataFrame:
    """The moments up to `cut`, with the labels that were known at `cut`."""
    ahead = (pl.lit(cut).cast(TIME) - pl.col("ts")).dt.total_seconds().cast(pl.Float64)
    past = labelled.filter(pl.col("ts") <= cut).with_columns(known_s=pl.min_horizontal("known_s", ahead))
    came = pl.col("failure_in_s") <= pl.col("known_s")
    return past.with_columns(pl.when(came).then(name).alias(name) for name in OUTCOME)


def fails_within(failure_in_s: FloatArray, known_s: FloatArray, horizon_s: float) -> FloatArray:
    """Whether a failure comes within the horizon.

    Args:
        failure_in_s: seconds to the next failure; inf = none known.
        known_s: seconds until the end of the data.
        horizon_s: in seconds.
    Returns:
        1 = it comes, 0 = it does not, NaN = unknown because the data ends before.
    """
    fails = failure_in_s <= horizon_s
    return np.where(fails, 1.0, np.where(known_s >= horizon_s, 0.0, np.nan))
