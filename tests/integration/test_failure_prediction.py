"""From samples to a failure risk through real stores: what training saw is what serving sees."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from fakes.platform import platform_of
from fakes.ports import NoRegistry
from polars.testing import assert_frame_equal
from pydantic import SecretStr
from servers.queues import RedisBroker, broker

from core.clock import FixedClock
from core.domain import ModelRef, Series, SignalKind
from core.errors import InputError, InsufficientDataError, LeakageError, ModelUnavailableError
from core.frames import SAMPLES
from core.settings import Settings
from core.training import Training
from features.catalog import FEATURE_NAMES, RESOURCE_BLIND
from models.failure import FitPlan, fit_failure, sampling
from models.words.failure import expected_failure
from pipelines.collect.ingest import ingest
from pipelines.common.tenant_platform import Platform
from pipelines.learn import features, train_failure
from pipelines.learn.features import build_features, materialize
from pipelines.learn.report import TrainReport
from pipelines.sources.simulated import SimulatedFleet
from pipelines.stores.feast_store import FeastFeatureStore
from pipelines.stores.session import Pool
from pipelines.stores.store import Store
from pipelines.watch.predict_failure import predict_failure
from pipelines.wiring import kept_platform

END = datetime(2026, 11, 20, 12, tzinfo=UTC)
TENANT = "failing"
SERVICES = 7


class OneModel(NoRegistry):
    """A registry that holds the last bundle it was given, and serves it once it is promoted."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.training: Training | None = None
        self.promoted = False
        self.version = 0

    def register(self, kind: str, files: Mapping[str, bytes], training: Training) -> ModelRef:
        self.files, self.training = dict(files), training
        self.version += 1
        return self._ref(kind)

    def promote(self, ref: ModelRef, alias: str = "champion") -> None:
        self.promoted = True

    def resolve(self, kind: str, alias: str = "champion") -> ModelRef | None:
        return self._ref(kind) if self.promoted else None

    def load(
        self, kind: str, alias: str = "champion", names: Collection[str] = ()
    ) -> tuple[ModelRef, dict[str, bytes]]:
        if not self.promoted:
            raise ModelUnavailableError(f"no {kind} is {alias} yet")
        return self._ref(kind), self.files

    def _ref(self, kind: str) -> ModelRef:
        return ModelRef(name=f"{TENANT}.{kind}", version=self.version, run_id="run")


@pytest.fixture(scope="module")
def store(pool: Pool) -> Store:
    return Store(pool, TENANT)


@pytest.fixture(scope="module")
def platform(dsn: str, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    settings = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("data"))
    whole = platform_of(
        store,
        FixedClock(END),
        settings=settings,
        registry=OneModel(),
        features=FeastFeatureStore(settings, dsn, store.features, TENANT),
    )
    ingest(whole, SimulatedFleet(services=SERVICES, days=20, seed=4, end=END, tenant=TENANT))
    build_features(whole)
    return whole


def test_the_newest_moment_has_the_same_features_offline_and_online(platform: Platform) -> None:
    assert materialize(platform) == SERVICES
    ids = sorted(f"{TENANT}/{one.service}" for one in platform.store.series.find(metric="cpu_utilization"))
    moments = pl.DataFrame({"service_id": ids, "ts": [END] * len(ids)}).with_columns(
        pl.col("ts").cast(pl.Datetime("us", "UTC"))
    )
    offline = platform.features.training_frame(moments, FEATURE_NAMES)
    online = platform.features.online(ids, FEATURE_NAMES)
    assert online.get_column("ts").to_list() == [END] * len(ids)
    assert offline.select(FEATURE_NAMES).equals(online.select(FEATURE_NAMES))


def test_redis_has_the_same_features_online(platform: Platform, store: Store, tmp_path: Path) -> None:
    assert isinstance(platform.features, FeastFeatureStore)
    with broker("redis", tmp_path) as server:
        assert isinstance(server, RedisBroker)
        settings = Settings(
            _env_file=None, data_dir=tmp_path, redis_url=SecretStr(f"redis://{server.hosts}/0")
        )
        redis = FeastFeatureStore(settings, platform.features._dsn, store.features, TENANT)
        assert redis.materialize(END - timedelta(minutes=15), END) == SERVICES
        ids = sorted(f"{TENANT}/{one.service}" for one in store.series.find(metric="cpu_utilization"))
        names = FEATURE_NAMES[:20]
        assert redis.online(ids, names).equals(platform.features.online(ids, names))


def test_online_features_of_a_past_moment_are_not_later_ones(platform: Platform) -> None:
    at = END - timedelta(days=2)
    found = platform.features.online([f"{TENANT}/checkout", f"{TENANT}/nobody"], ["hour_of_day"], until=at)
    assert found["ts"].to_list() == [at, None]
    assert found["hour_of_day"].to_list() == [at.hour, None]


def test_features_of_a_past_moment_do_not_change_when_time_goes_on(platform: Platform, store: Store) -> None:
    at = END - timedelta(days=2)
    before = store.features.read(at, at + timedelta(seconds=1)).sort("service_id")
    build_features(platform, start=at, end=at)
    after = store.features.read(at, at + timedelta(seconds=1)).sort("service_id")
    for name in FEATURE_NAMES:
        was, is_now = before[name].to_list(), after[name].to_list()
        assert [x is None for x in was] == [x is None for x in is_now], name
        assert is_now == [x if x is None else pytest.approx(x, abs=1e-6) for x in was], name


def test_features_are_the_same_however_many_processes_make_them(
    platform: Platform, store: Store, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, end = END - timedelta(hours=3), END + timedelta(seconds=1)
    assert platform.settings.workers > 1
    monkeypatch.setattr(features, "SERVICES_PER_SHORT_JOB", 2)
    monkeypatch.setattr(features, "WORTH_PROCESSES", 1)
    with_dsn = platform.settings.model_copy(update={"database_url": SecretStr(dsn)})
    made = []
    for one in (platform, replace(platform, settings=with_dsn, elsewhere=kept_platform)):
        build_features(one, start=start)
        made.append(store.features.read(start, end))
    assert made[0].height == SERVICES * 7
    assert made[0].equals(made[1])


def test_feast_gives_the_features_of_each_moment_and_none_of_a_later_one(platform: Platform) -> None:
    at = END - timedelta(days=3)
    moments = pl.DataFrame(
        {
            "service_id": [f"{TENANT}/checkout"] * 3,
            "ts": [at, at + timedelta(minutes=10), at - timedelta(days=90)],
        }
    ).with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))
    frame = platform.features.training_frame(moments, ["hour_of_day"])
    assert frame["hour_of_day"].to_list() == [at.hour, at.hour, None]


def test_the_planner_uses_no_nested_loops_in_the_queries_of_feast(platform: Platform) -> None:
    from feast.infra.utils.postgres.connection_utils import _get_conn

    assert isinstance(platform.features, FeastFeatureStore)
    with _get_conn(platform.features._store().config.offline_store) as connection:
        shown = [connection.execute(f"SHOW {name}").fetchone() for name in ("enable_nestloop", "search_path")]
    assert shown == [("off",), ("public,public",)]


def test_services_of_another_tenant_are_refused(platform: Platform) -> None:
    with pytest.raises(InputError, match=TENANT):
        platform.features.online(["other/checkout"], FEATURE_NAMES)


@pytest.fixture(scope="module")
def trained(platform: Platform) -> TrainReport:
    return train_failure.train_failure(platform)


def test_a_model_is_trained_on_what_feast_knew_and_finds_the_failing_disk(
    platform: Platform, trained: TrainReport
) -> None:
    assert trained.trained == SERVICES
    assert trained.metrics["average_precision_3h"] > 0.2
    platform.registry.promote(trained.model)
    first = predict_failure(platform)
    assert set(first.risks) == {one.service for one in platform.store.series.find()}
    checkout = first.risks["checkout"].probability_by_horizon_s
    assert checkout[21_600] > 3 * first.risks["inventory"].probability_by_horizon_s[21_600]
    again = predict_failure(platform)
    assert (again.new, again.updated, again.withdrawn) == (0, 0, 0)
    assert len(platform.store.signals.find(kind=SignalKind.FAILURE_RISK)) == first.new


@pytest.fixture(scope="module")
def read_again(platform: Platform) -> pl.DataFrame:
    """The training set, not as `trained` read it."""
    return train_failure.training_set(platform, train_failure.moments_to_learn_from(platform, END))


@pytest.mark.usefixtures("trained")
def test_the_same_training_set_gives_the_same_files(platform: Platform, read_again: pl.DataFrame) -> None:
    registry = platform.registry
    assert isinstance(registry, OneModel)
    settings = platform.settings
    # Only the fit: evaluation and plots take as long again and add nothing to the files.
    plan = FitPlan(seed=settings.seed, budget_per_week=settings.alert_budget_per_week, shared=RESOURCE_BLIND)
    again, _ = fit_failure(read_again, FEATURE_NAMES, plan)
    assert again.to_files() == registry.files


def test_of_a_large_fleet_some_services_and_moments_are_learned_from(
    platform: Platform, read_again: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "LEAST_SERVICES", 2)
    monkeypatch.setattr(sampling, "ENOUGH_FAILURES", 1)
    monkeypatch.setattr(sampling, "MOST_MOMENTS", 1_000)
    chosen = train_failure.moments_to_learn_from(platform, END)
    assert 2 <= len(chosen.services) < chosen.of_services
    assert chosen.share == len(chosen.services) / chosen.of_services
    frame = train_failure.training_set(platform, chosen)
    assert 500 < frame.height <= 1_000
    wanted = frame.select("service_id", "ts")
    assert_frame_equal(frame, wanted.join(read_again, on=["service_id", "ts"], maintain_order="left"))


def test_a_leak_planted_in_the_store_stops_the_training(
    platform: Platform, read_again: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    leak = read_again.with_columns(cpu_level_15m=pl.col("failure_in_s").fill_null(9e9))
    monkeypatch.setattr(train_failure, "training_set", lambda *_: leak)
    with pytest.raises(LeakageError, match="cpu_level_15m"):
        train_failure.train_failure(platform)


def test_a_signal_says_what_when_and_how_sure(platform: Platform) -> None:
    for service, risk in predict_failure(platform).risks.items():
        text = expected_failure(service, risk, 21_600, END)
        assert text.startswith(f"{service}: ")
        assert "within 6 h" in text


def test_the_definitions_lie_in_the_data_folder(platform: Platform) -> None:
    assert Path(platform.settings.data_dir / "feast" / "registry.db").is_file()


@pytest.mark.parametrize("minutes", [0, 5])
def test_a_history_that_is_too_short_for_a_step_is_named(
    dsn: str, pool: Pool, tmp_path: Path, minutes: int
) -> None:
    tenant = f"young_{minutes}"
    settings = Settings(_env_file=None, data_dir=tmp_path)
    young = Series(tenant=tenant, service="web", metric="cpu_utilization")
    store = Store(pool, tenant)
    store.series.register([young])
    now = END + timedelta(minutes=10)
    times = pl.datetime_range(now - timedelta(minutes=minutes), now, "5m", time_unit="us", eager=True)
    store.samples.write(
        pl.DataFrame({"series_id": young.series_id, "ts": times, "value": 0.5}, schema_overrides=SAMPLES)
    )
    platform = platform_of(
        store,
        FixedClock(now),
        settings=settings,
        registry=OneModel(),
        features=FeastFeatureStore(settings, dsn, store.features, tenant),
    )
    for step in (materialize, train_failure.train_failure):
        with pytest.raises(InsufficientDataError, match="there are no features yet"):
            step(platform)
    build_features(platform)
    assert materialize(platform) == 1
    with pytest.raises(InsufficientDataError, match="too short to learn failures from"):
        train_failure.train_failure(platform)
