"""Features of any float64 are in their range, and read well in words."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from any_float import AWKWARD, courses, many_examples
from hypothesis import given
from hypothesis import strategies as st

from core.domain import Role, Series, SeriesKind
from core.frames import SAMPLES
from features.catalog import BY_NAME, checked_values, service_features
from features.feature import Feature
from features.grid import LARGEST_SHARE, fleet_grid
from models.words.failure import feature_reason

START = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = 400
END = START + timedelta(minutes=5 * (STEPS - 1))
#: One series for each way in which a share is made: with and without a limit, high and low bad.
KINDS: tuple[dict[str, Any], ...] = (
    {"metric": "cpu_utilization", "role": Role.SATURATION, "kind": SeriesKind.RATIO},
    {"metric": "memory_used_bytes", "role": Role.SATURATION},
    {"metric": "disk_used_bytes", "role": Role.CAPACITY, "limit": 1.0},
    {"metric": "disk_free_bytes", "role": Role.CAPACITY, "limit": 0.0},
    {"metric": "disk_free_bytes", "role": Role.CAPACITY},
    {"metric": "latency_seconds", "role": Role.LATENCY, "slo_threshold": 0.5},
    {"metric": "http_requests_rate", "role": Role.TRAFFIC},
    {"metric": "availability_ratio", "role": Role.ERRORS, "slo_threshold": 0.99},
)


@given(kind=st.sampled_from(KINDS), limit=st.sampled_from(AWKWARD), values=courses(STEPS, STEPS))
@many_examples(20)
def test_features_of_any_floats_are_in_their_range(kind: dict[str, Any], limit: float, values: Any) -> None:
    given_limit = {"limit": limit} if kind.get("limit") else {}
    series = Series(tenant="t", service="s", **kind | given_limit)
    known = np.isfinite(values)
    times = [START + timedelta(minutes=5 * int(step)) for step in np.flatnonzero(known)]
    rows = {"series_id": [series.series_id] * len(times), "ts": times, "value": values[known]}
    grid = fleet_grid(pl.DataFrame(rows, schema=dict(SAMPLES)), [series], [], start=START, end=END)
    ((_, wide),) = grid.wide()
    features = service_features(wide, phases=(0,))
    assert not np.isinf(checked_values(features)).any()


def test_any_value_of_a_feature_reads_well() -> None:
    for feature in BY_NAME.values():
        _check_texts(feature)


def _check_texts(feature: Feature) -> None:
    near = (-1e-9, 1e-9, -0.0004, 0.0004, -0.4, 0.4, 11.9999, 12.01, 23.9999, LARGEST_SHARE, -LARGEST_SHARE)
    for value in (*near, *AWKWARD, math.nan):
        if abs(value) > LARGEST_SHARE or not (math.isnan(value) or feature.low <= value <= feature.high):
            continue
        text = feature_reason(feature.name, value, 0.5)
        assert not re.search(r"\b(nan|inf)\b|-0(\.0*)?(?![\d.])|:60", text), text
        percents = [float(found) for found in re.findall(r"(-?[\d.]+) %", text)]
        assert all(abs(percent) <= 1_000 for percent in percents), text
