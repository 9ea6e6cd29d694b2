"""Rows that the tests of the stores write."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from core.domain import Series
from core.frames import SAMPLES
from pipelines.stores.store import Store

T0 = datetime(2026, 1, 5, tzinfo=UTC)
STEP = timedelta(minutes=5)


def make_series(store: Store, metric: str = "latency_seconds", **rest: Any) -> Series:
    made = Series(tenant=store.tenant, service="checkout", metric=metric, **rest)
    store.series.register([made])
    return made


def samples_of(series: Series, values: list[float], start: datetime = T0) -> pl.DataFrame:
    rows = [(series.series_id, start + n * STEP, value) for n, value in enumerate(values)]
    return pl.DataFrame(rows, schema=SAMPLES, orient="row")
