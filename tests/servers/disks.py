"""A fleet of disks, some of which fill, with trained forecasters: its cycles forecast and warn."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import psycopg
from pydantic import SecretStr
from servers.kills import tables

from core.clock import FixedClock
from core.domain import ModelRef, Role, Series
from core.frames import SAMPLES
from core.settings import Settings
from pipelines.common.progress import Progress, silent
from pipelines.common.tenant_platform import Platform
from pipelines.learn import train_forecasters as training
from pipelines.learn.baseline import build_baselines
from pipelines.learn.train_detectors import train_detectors
from pipelines.processes import worker_platform
from pipelines.watch import forecast_chunk, score_fleet
from pipelines.watch.detect import detect
from pipelines.watch.forecast import ForecastReport, forecast
from pipelines.wiring import open_platform

TENANT = "acme"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
DISKS, DAYS = 12, 14


def disk(number: int) -> Series:
    return Series(
        tenant=TENANT,
        service=f"db-{number}",
        metric="disk_used_bytes",
        unit="bytes",
        role=Role.CAPACITY,
        limit=100 * 2.0**30,
    )


def settings_of(dsn: str, home: Path, **changes: Any) -> Settings:
    return Settings(_env_file=None, tenant=TENANT, database_url=SecretStr(dsn), data_dir=home / "data",
                    mlruns_dir=home / "mlruns", **changes)  # fmt: skip


@contextmanager
def platform_at(settings: Settings, now: datetime = NOW) -> Iterator[Platform]:
    with open_platform(settings, clock=FixedClock(now)) as platform:
        yield platform


def write_disks(platform: Platform) -> None:
    """Two weeks of samples up to `NOW`; every third disk has filled for eight hours."""
    count = DAYS * 288
    back_h = np.arange(count, 0, -1) / 12
    ts = [NOW - timedelta(minutes=5 * back) for back in range(count, 0, -1)]
    for number in range(DISKS):
        noise = np.random.default_rng(number).normal(0, 0.2, count)
        filling = 5.0 * np.clip(8 - back_h, 0, None) if number % 3 == 0 else 0.0
        used = (40 + number + filling + noise) * 2**30
        one = disk(number)
        platform.store.series.register([one])
        platform.store.samples.write(
            pl.DataFrame(
                {"series_id": [one.series_id] * count, "ts": ts, "value": used}, schema=dict(SAMPLES)
            )
        )


def train(settings: Settings, progress: Progress = silent) -> ModelRef:
    """Train the forecasters, with workers if the settings have several of them."""
    small = patch.multiple(training, CHUNK=2, WORTH_PROCESSES=0)
    with small, platform_at(settings) as platform:
        return training.train_forecasters(platform, progress=progress).model


def train_detector(settings: Settings) -> None:
    """Learn what is normal before the disks fill, and promote the detector."""
    with platform_at(settings, NOW - timedelta(hours=12)) as platform:
        build_baselines(platform)
        platform.registry.promote(train_detectors(platform).model)


def cycle(settings: Settings, progress: Progress = silent) -> ForecastReport:
    """Score and forecast all disks, with kept workers if the settings have several of them."""
    with (
        patch.object(forecast_chunk, "CHUNK", 2),
        patch.object(score_fleet, "SERIES_AT_ONCE", 2),
        patch.object(worker_platform, "WORTH_WORKERS", 2),
        platform_at(settings) as platform,
    ):
        detect(platform, start=NOW - timedelta(hours=4), progress=progress)
        return forecast(platform, progress=progress)


def found(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """What cycles have stored."""
    return {name: rows for name, rows in tables(dsn).items() if name in ("forecasts", "signals")}


def forget(dsn: str) -> None:
    """Delete what cycles have stored."""
    with psycopg.connect(dsn) as connection:
        connection.execute("TRUNCATE forecasts, signals CASCADE")


def in_each_step(action: Callable[[], None]) -> Progress:
    """A listener to the progress that does something when the first part of a step is done."""
    steps: set[str] = set()

    def progress(step: str, done: int, total: int) -> None:
        if step not in steps and 0 < done < total:
            steps.add(step)
            action()

    return progress
