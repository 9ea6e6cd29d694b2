"""Proposed thresholds on a real store: the nightly proposes them, people list and accept them, an SLO always wins."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from fakes.platform import platform_of
from typer.testing import CliRunner, Result

from core.batch import Batch
from core.clock import FixedClock
from core.domain import Role, Series
from core.frames import SAMPLES
from core.ports import Store
from flows.cli import app
from models.series.thresholds import breach_threshold_of
from pipelines.collect.ingest import ingest_batch
from pipelines.common.tenant_platform import Platform
from pipelines.learn.baseline import build_baselines
from pipelines.stores.store import Store as RealStore

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def latency(store: Store, service: str) -> Series:
    return Series(
        tenant=store.tenant, service=service, metric="latency_p99_seconds", unit="seconds", role=Role.LATENCY
    )


@pytest.fixture
def platform(store: RealStore, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A platform with two latencies of two days, 100 ms and 200 ms."""
    platform = platform_of(store, FixedClock(NOW))
    rng = np.random.default_rng(1)
    rows = [
        (latency(store, name).series_id, NOW - timedelta(minutes=5 * step), usual + rng.normal(0, 0.005))
        for name, usual in (("cart", 0.1), ("pay", 0.2))
        for step in range(1, 2 * 288)
    ]
    series = [latency(store, "cart"), latency(store, "pay")]
    ingest_batch(
        platform, "push", Batch(series=series, samples=pl.DataFrame(rows, schema=SAMPLES, orient="row"))
    )

    @contextmanager
    def open_platform(*_arguments: Any, **_options: Any) -> Iterator[Platform]:
        yield platform

    monkeypatch.setattr("pipelines.wiring.open_platform", open_platform)
    return platform


def run(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["series", *arguments])
    assert result.exit_code == code, result.output
    return result


def test_the_nightly_proposes_thresholds_that_people_accept(platform: Platform) -> None:
    assert build_baselines(platform, at=NOW).proposed == 2
    store = platform.store
    cart = store.series.get(latency(store, "cart").series_id)
    assert cart.proposed_threshold is not None
    assert 0.15 < cart.proposed_threshold < 0.3
    assert cart.slo_threshold is None
    # a source that knows nothing of it takes nothing away
    store.series.register([replace(latency(store, "cart"), step_s=60), latency(store, "pay")])
    assert store.series.get(cart.series_id).proposed_threshold == cart.proposed_threshold
    build_baselines(platform, at=NOW)
    assert store.series.get(cart.series_id).proposed_threshold == cart.proposed_threshold

    listed = json.loads(run("list", "--proposed", "--json").output)
    assert [one["series"] for one in listed] == ["cart/latency_p99_seconds", "pay/latency_p99_seconds"]
    assert "proposed" in run("list").output
    refused = CliRunner().invoke(app, ["series", "accept", "cart/other"])
    assert "no series named cart/other has a proposed threshold" in str(refused.exception)
    assert f"slo_threshold {cart.proposed_threshold:g}" in run("accept", "cart/latency_p99_seconds").output
    accepted = store.series.get(cart.series_id)
    assert accepted.slo_threshold == cart.proposed_threshold
    assert len(json.loads(run("list", "--proposed", "--json").output)) == 1


def test_an_slo_that_people_declare_wins_at_once(platform: Platform) -> None:
    build_baselines(platform, at=NOW)
    store = platform.store
    store.series.register([replace(latency(store, "pay"), slo_threshold=0.5)])
    pay = store.series.get(latency(store, "pay").series_id)
    assert breach_threshold_of(pay) == 0.5
    assert build_baselines(platform, at=NOW).proposed == 1
