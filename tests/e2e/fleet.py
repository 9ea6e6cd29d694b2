"""Two tenants with a little history and models, and a service over them: what the end-to-end tests ask."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import polars as pl
from pydantic import SecretStr
from servers.service import environment_of

from core.domain import ModelRef, Role, Series, Severity, Signal, SignalKind
from core.frames import SAMPLES
from core.settings import Settings
from core.training import Training
from features.catalog import FEATURE_NAMES
from flows.service_process import start_service
from models.detect.bundle import DetectorBundle, DetectorOptions
from models.failure.bundle import FailureBundle
from models.failure.parts import FailureParts
from models.forecast.bundle import ForecasterBundle
from models.forecast.choice.selection import Plan, select
from models.forecast.entry import Entry
from models.forecast.files import ForecastParts
from models.forecast.history import histories
from pipelines.common.tenant_platform import Platform
from pipelines.processes.server_process import ServerProcess, free_port
from pipelines.stores.embedded import EmbeddedPostgres
from pipelines.stores.store import Store
from pipelines.wiring import Tenancy, open_tenancy

STEP = timedelta(minutes=5)
DAYS = 10
FEATURES = ("cpu_level_15m", "memory_level_15m")
#: Of the failure model without incidents to learn from: probability by horizon in seconds.
BASE_RATES = {3_600: 0.1, 10_800: 0.2}


@dataclass(frozen=True)
class Fleet:
    """Where the service answers, and what it holds."""

    url: str
    settings: Settings
    tenancy: Tenancy
    keys: dict[str, str]
    series: dict[str, list[Series]]
    now: datetime
    service: ServerProcess

    def client(self, tenant: str = "acme") -> httpx.Client:
        return httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.keys[tenant]}"},
            timeout=30.0,
            trust_env=False,
        )

    def register_detector(self, tenant: str, seed: int) -> ModelRef:
        """Another version, not promoted yet."""
        return _register_detector(self.tenancy.platform(tenant), self.series[tenant], self.now, seed)


def series_of(tenant: str, service: str) -> list[Series]:
    latency = Series(
        tenant=tenant, service=service, metric="latency_p99_seconds", role=Role.LATENCY, slo_threshold=0.5
    )
    disk = Series(
        tenant=tenant,
        service=service,
        metric="disk_used_bytes",
        labels={"mount": "/data"},
        unit="bytes",
        role=Role.CAPACITY,
        limit=1e9,
    )
    return [latency, disk]


#: Signs the webhooks of PagerDuty.
PAGERDUTY_SECRET = "of the pager"


@contextmanager
def served_fleet() -> Iterator[Fleet]:
    """Everything started, and stopped again."""
    folder = Path(tempfile.mkdtemp(prefix="forewarn-serving-"))
    # The embedded server runs as a user of its own where the tests run as root.
    folder.chmod(0o755)
    settings = Settings(
        _env_file=None,
        tenant="acme",
        data_dir=folder / "data",
        mlruns_dir=folder / "mlruns",
        serve_port=free_port(),
        max_body_bytes=200_000,
        rate_limit_per_s=20_000.0,
        model_refresh_s=0.5,
        workers=1,
        pagerduty_webhook_secret=SecretStr(PAGERDUTY_SECRET),
    )
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    try:
        with open_tenancy(settings) as tenancy:
            series = {"acme": series_of("acme", "checkout"), "globex": series_of("globex", "shipping")}
            keys = {tenant: tenancy.keys.create(tenant) for tenant in [*series, "empty"]}
            for tenant in series:
                _fill(tenancy.platform(tenant), Store(tenancy.pool, tenant), series[tenant], now)
            with start_service(settings, env=environment_of(settings)) as service:
                yield Fleet(service.url, settings, tenancy, keys, series, now, service)
    finally:
        EmbeddedPostgres(settings.data_dir).stop()
        shutil.rmtree(folder, ignore_errors=True)


def _fill(platform: Platform, store: Store, series: list[Series], now: datetime) -> None:
    platform.store.series.register(series)
    platform.store.samples.write(_history(series, now))
    platform.store.signals.upsert([_signal(platform.tenant, series[0], now, number) for number in range(7)])
    platform.registry.promote(_register_detector(platform, series, now, seed=1))
    platform.registry.promote(_register_forecaster(platform, series[1], now))
    if platform.tenant == "acme":
        platform.registry.promote(_register_failure(platform, now))
        frame = pl.DataFrame(
            {"service_id": ["acme/checkout"], "ts": [now], **{name: [0.5] for name in FEATURES}},
            schema_overrides={"ts": pl.Datetime("us", "UTC")},
        )
        store.features.ensure_columns(FEATURE_NAMES)
        platform.store.features.write(frame)
        platform.features.materialize(now - timedelta(hours=1), now + timedelta(minutes=1))


def _history(series: list[Series], now: datetime) -> pl.DataFrame:
    """A daily course with noise, and a disk that fills slowly; the same for the same time."""
    rng = np.random.default_rng(7)
    steps = DAYS * 288
    times = [now - STEP * (steps - step) for step in range(steps)]
    day = np.sin(2 * np.pi * np.arange(steps) / 288)
    courses = [0.2 + 0.05 * day + rng.normal(0, 0.005, steps), 5e8 + 1e4 * np.arange(steps)]
    return pl.concat(
        pl.DataFrame({"series_id": [one.series_id] * steps, "ts": times, "value": course}, schema=SAMPLES)
        for one, course in zip(series, courses, strict=True)
    )


def _register_detector(platform: Platform, series: list[Series], now: datetime, seed: int) -> ModelRef:
    samples = _history(series, now)
    exclusions = pl.DataFrame(
        schema={"service": pl.String, "start": pl.Datetime("us", "UTC"), "end": pl.Datetime("us", "UTC")}
    )
    bundle = DetectorBundle.fit(samples, series, exclusions, options=DetectorOptions(seed=seed))
    return platform.registry.register("detector", bundle.to_files(), _training(now, seed))


def _register_forecaster(platform: Platform, series: Series, now: datetime) -> ModelRef:
    samples = _history([series, series], now).head(DAYS * 288)
    found = histories(samples, {series.series_id: series}, step_s=3600, end=now, steps=DAYS * 24)
    history = found[series.series_id]
    choice = select(history, Plan(origins=4))
    bundle = ForecasterBundle(
        ForecastParts(entries={series.series_id: Entry(series=series, history=history, choice=choice)})
    )
    return platform.registry.register("forecaster", bundle.to_files(), _training(now, 1))


def _register_failure(platform: Platform, now: datetime) -> ModelRef:
    bundle = FailureBundle(
        FailureParts(
            names=FEATURES,
            horizons_s=tuple(BASE_RATES),
            boosters=(),
            calibrators=(),
            base=tuple(BASE_RATES.values()),
            types=None,
            type_names=(),
            alert_horizon_s=10_800,
            alert_threshold=0.5,
        )
    )
    return platform.registry.register("failure", bundle.to_files(), _training(now, 1))


def _training(now: datetime, seed: int) -> Training:
    return Training(window_start=now - timedelta(days=DAYS), window_end=now, seed=seed)


def _signal(tenant: str, series: Series, now: datetime, number: int) -> Signal:
    return Signal(
        signal_id=secrets.token_hex(16),
        tenant=tenant,
        kind=SignalKind.ANOMALY if number % 2 else SignalKind.BREACH,
        service=series.service,
        metric=series.metric,
        series_id=series.series_id,
        started_at=now - timedelta(minutes=number // 2),
        summary=f"{series.service} of {tenant} is slow",
        severity=Severity.WARNING,
    )
