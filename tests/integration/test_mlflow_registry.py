"""The registry on MLflow's own SQLite store."""

from dataclasses import replace
from datetime import UTC, datetime

import mlflow
import pytest

from core.errors import ModelUnavailableError
from core.settings import Settings
from core.training import Attempt, Training
from pipelines.stores.mlflow_registry import MlflowRegistry

TRAINING = Training(
    window_start=datetime(2026, 1, 1, tzinfo=UTC),
    window_end=datetime(2026, 1, 31, tzinfo=UTC),
    seed=7,
    params={"trees": 100},
    metrics={"auc": 0.9},
)
FILES = {"weights.npz": b"\x00\x01", "meta.json": b"{}"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One tracking store for all, for making one takes seconds; each test has tenants of its own."""
    return Settings(mlruns_dir=tmp_path_factory.mktemp("mlflow"))


def test_a_registered_bundle_comes_back_byte_for_byte(settings: Settings) -> None:
    registry = MlflowRegistry(settings, "acme0")
    ref = registry.register("detector", FILES, TRAINING)
    assert registry.load("detector", "challenger") == (ref, FILES)


def test_a_new_version_is_challenger_until_it_is_promoted(settings: Settings) -> None:
    registry = MlflowRegistry(settings, "acme1")
    ref = registry.register("detector", FILES, TRAINING)
    with pytest.raises(ModelUnavailableError, match="no champion"):
        registry.load("detector")
    registry.promote(ref)
    assert registry.resolve("detector") == ref
    assert registry.metrics(ref) == {"auc": 0.9}


def test_registering_the_same_bundle_again_gives_the_same_version(settings: Settings) -> None:
    registry = MlflowRegistry(settings, "acme2")
    first = registry.register("detector", FILES, TRAINING)
    assert registry.register("detector", FILES, TRAINING) == first
    assert registry.register("detector", {**FILES, "meta.json": b"[]"}, TRAINING).version == first.version + 1


def test_a_tenant_sees_and_moves_only_its_own_models(settings: Settings) -> None:
    acme, other = MlflowRegistry(settings, "acme3"), MlflowRegistry(settings, "other3")
    ref = acme.register("detector", FILES, TRAINING)
    acme.promote(ref)
    assert other.resolve("detector") is None
    with pytest.raises(ModelUnavailableError, match="has no model"):
        other.promote(ref)


def test_what_was_tried_is_kept_as_runs_under_the_models_own(settings: Settings) -> None:
    attempts = tuple(
        Attempt(name=f"smote {depth}", params={"max_depth": depth}, metrics={"average_precision": depth / 10})
        for depth in (3, 5)
    )
    training = replace(TRAINING, attempts=attempts, documents={"plots/reliability.png": b"\x89PNG"})
    ref = MlflowRegistry(settings, "acme4").register("failure", FILES, training)
    run = mlflow.get_run(ref.run_id)
    children = mlflow.search_runs(
        [run.info.experiment_id], f"tags.mlflow.parentRunId = '{ref.run_id}'", output_format="list"
    )
    assert {child.data.params["max_depth"]: child.data.metrics for child in children} == {
        "3": {"average_precision": 0.3},
        "5": {"average_precision": 0.5},
    }
    assert [
        file.path for file in mlflow.artifacts.list_artifacts(run_id=ref.run_id, artifact_path="plots")
    ] == ["plots/reliability.png"]
