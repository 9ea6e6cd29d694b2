"""Registry and feature store of one tenant refuse everything of another tenant, whatever names the caller makes up.

`test_tenants.py` does the same for the stores in the database.
"""

import inspect
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import polars as pl
import pytest

from core.domain import ModelRef
from core.errors import InputError, ModelUnavailableError
from core.settings import Settings
from core.training import Training
from features.catalog import FEATURE_NAMES
from pipelines.stores.feast_store import FeastFeatureStore
from pipelines.stores.mlflow_registry import MlflowRegistry

T0 = datetime(2026, 1, 5, tzinfo=UTC)
TRAINING = Training(window_start=T0, window_end=T0, seed=7, params={}, metrics={"auc": 0.9})
FILES = {"weights.npz": b"\x00\x01"}
#: Names of tenants that begin with, or contain, one another.
PAIRS = [("acme", "other"), ("acme", "acme.eu"), ("acme.eu", "acme"), ("acme", "acme2"), ("a", "a.b.c")]
FEATURES = list(FEATURE_NAMES)[:1]


def methods_of(cls: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(cls, inspect.isfunction) if not name.startswith("_")}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(_env_file=None, mlruns_dir=tmp_path_factory.mktemp("mlflow"))


@pytest.fixture(scope="module")
def refs(settings: Settings) -> dict[str, ModelRef]:
    """A promoted detector of each tenant."""
    made = {}
    for tenant in sorted({name for pair in PAIRS for name in pair}):
        registry = MlflowRegistry(settings, tenant)
        made[tenant] = registry.register("detector", FILES, TRAINING)
        registry.promote(made[tenant])
    return made


def foreign_calls(
    registry: MlflowRegistry, mine: ModelRef, theirs: ModelRef, kind: str
) -> dict[str, list[Callable[[], object]]]:
    """Every method, called with what belongs to another tenant: a reference, or a kind that spells its model's name."""
    forged = [theirs, replace(theirs, version=99), replace(mine, version=99)]
    return {
        "metrics": [lambda ref=ref: registry.metrics(ref) for ref in forged],  # type: ignore[misc]
        "promote": [lambda ref=ref: registry.promote(ref) for ref in forged],  # type: ignore[misc]
        "resolve": [lambda: registry.resolve(kind)],
        "load": [lambda: registry.load(kind)],
        "register": [lambda: registry.register(kind, FILES, TRAINING)],
    }


@pytest.mark.parametrize(("tenant", "other"), PAIRS)
def test_every_method_of_the_registry_refuses_another_tenant(
    settings: Settings, refs: dict[str, ModelRef], tenant: str, other: str
) -> None:
    registry = MlflowRegistry(settings, tenant)
    spelled = (
        refs[other].name.removeprefix(f"{tenant}.") if refs[other].name.startswith(tenant + ".") else "../x.y"
    )
    calls = foreign_calls(registry, refs[tenant], refs[other], spelled)
    assert set(calls) == methods_of(MlflowRegistry)
    for attempts in calls.values():
        for attempt in attempts:
            with pytest.raises((ModelUnavailableError, InputError)):
                attempt()
    assert MlflowRegistry(settings, other).resolve("detector") == refs[other]


def test_the_run_of_another_tenant_under_an_own_name_reveals_nothing(
    settings: Settings, refs: dict[str, ModelRef]
) -> None:
    secret = MlflowRegistry(settings, "secret").register(
        "detector", FILES, replace(TRAINING, metrics={"auc": 0.123})
    )
    forged = replace(refs["acme"], run_id=secret.run_id)
    assert MlflowRegistry(settings, "acme").metrics(forged) == {"auc": 0.9}


def test_every_method_of_the_feature_store_that_takes_ids_refuses_another_tenant(settings: Settings) -> None:
    for tenant, other in PAIRS:
        store = FeastFeatureStore(settings, "postgresql://unused", cast(Any, None), tenant)
        foreign = [f"{other}/checkout"]
        entities = pl.DataFrame({"service_id": foreign, "ts": [T0]})
        calls: dict[str, Callable[[], object]] = {
            "training_frame": lambda: store.training_frame(entities, FEATURES),  # noqa: B023
            "online": lambda: store.online(foreign, FEATURES),  # noqa: B023
        }
        takes_no_ids = {"materialize"}
        assert set(calls) | takes_no_ids == methods_of(FeastFeatureStore)
        for call in calls.values():
            with pytest.raises(InputError, match="service_id must begin with"):
                call()
