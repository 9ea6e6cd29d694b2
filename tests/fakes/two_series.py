"""Two series of one service, for tests of detector bundles."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from core.domain import Role, Series

START = datetime(2026, 1, 5, tzinfo=UTC)
SERIES = [
    Series(tenant="t", service="checkout", metric="latency_ms", role=Role.LATENCY, step_s=3600),
    Series(tenant="t", service="checkout", metric="requests_per_s", role=Role.TRAFFIC, step_s=3600),
]


def course(first_day: int, days: int, seed: int) -> pl.DataFrame:
    """Hourly values around 100 with a daily season and noise of 4."""
    hours = np.arange(24 * first_day, 24 * (first_day + days))
    frames = []
    for number, one in enumerate(SERIES):
        noise = np.random.default_rng(seed + number).normal(0, 4, hours.size)
        frames.append(
            pl.DataFrame(
                {
                    "series_id": [one.series_id] * hours.size,
                    "ts": [START + timedelta(hours=int(hour)) for hour in hours],
                    "value": 100 + 20 * np.sin(2 * np.pi * hours / 24) + noise,
                }
            ).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
        )
    return pl.concat(frames).sort("series_id", "ts")
