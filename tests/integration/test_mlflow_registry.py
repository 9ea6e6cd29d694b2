"""The registry on MLflow's own SQLite store."""

import multiprocessing
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import pytest
from servers.small_disk import small_disk

from core.errors import ModelUnavailableError, StorageError
from core.settings import Settings
from core.training import Attempt, Training
from pipelines.common.storage_errors import storage_errors
from pipelines.processes.strays import process_mark
from pipelines.stores import mlflow_leftovers
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


def test_some_files_of_a_bundle_come_without_the_others(settings: Settings) -> None:
    registry = MlflowRegistry(settings, "acme_some")
    ref = registry.register("detector", FILES, TRAINING)
    some = registry.load("detector", "challenger", ("meta.json", "of a later release"))
    assert some == (ref, {"meta.json": b"{}"})


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


def runs_of(registry: MlflowRegistry, kind: str = "detector") -> list[tuple[str, str]]:
    """Name and status of each run."""
    runs = mlflow.search_runs([registry._experiment_id(kind)], output_format="list")
    return sorted((run.info.run_name, run.info.status) for run in runs)


def left_running(registry: MlflowRegistry, process: str) -> None:
    """A run of that process with a bundle and an attempt, which has no version."""
    tags = {mlflow_leftovers.TENANT_TAG: "t", mlflow_leftovers.PROCESS_TAG: process}
    run = registry._client.create_run(registry._experiment_id("detector"), tags=tags, run_name="left")
    with mlflow.start_run(run.info.run_id):
        registry._log_attempt(Attempt(name="tried", params={}, metrics={}), run.info.experiment_id)
        registry._log_bundle("detector", FILES)
    registry._client.update_run(run.info.run_id, status="RUNNING")


def test_what_a_killed_training_left_is_removed_and_a_living_one_is_not_disturbed(settings: Settings) -> None:
    registry = MlflowRegistry(settings, "acme5")
    gone = multiprocessing.get_context("spawn").Process()
    gone.start()
    pid = gone.pid
    gone.join()
    here = mlflow_leftovers.this_process().partition(" ")[0]
    left_running(registry, f"{here} {pid}:1")
    left_running(registry, f"{here} {process_mark(os.getppid())}")
    bundles = settings.mlruns_dir / "artifacts" / "acme5.detector" / "models"
    assert len(list(bundles.rglob("weights.npz"))) == 2
    registry.register("detector", FILES, TRAINING)
    assert runs_of(registry) == [("detector", "FINISHED"), ("left", "RUNNING"), ("tried", "FINISHED")]
    assert len(list(bundles.rglob("weights.npz"))) == 2, "that of the living one, and the new one"
    assert process_mark(pid or 0) == ""


def test_a_version_whose_training_was_killed_before_its_end_becomes_the_challenger(
    settings: Settings,
) -> None:
    registry = MlflowRegistry(settings, "acme6")
    ref = registry.register("detector", FILES, TRAINING)
    registry._client.delete_registered_model_alias(ref.name, "challenger")
    registry._client.update_run(ref.run_id, status="RUNNING")
    assert registry.register("detector", FILES, TRAINING) == ref
    assert registry.resolve("detector", "challenger") == ref
    assert runs_of(registry) == [("detector", "FINISHED")]
    newer = registry.register("detector", {**FILES, "meta.json": b"[]"}, TRAINING)
    registry.register("detector", FILES, TRAINING)
    assert registry.resolve("detector", "challenger") == newer, "an old training again is no news"


def test_on_a_full_disk_a_version_is_registered_whole_or_not_at_all(tmp_path: Path) -> None:
    with small_disk(tmp_path / "models", 4) as disk:
        settings = Settings(_env_file=None, mlruns_dir=disk.path)
        registry = MlflowRegistry(settings, "acme")
        assert registry.resolve("detector") is None
        disk.fill(leave=60_000)
        files = {**FILES, "large.npz": b"x" * 100_000}
        sentence = f"the disk of {disk.path} is full. Free space on it, or set FOREWARN_MLRUNS_DIR"
        with pytest.raises(StorageError, match=sentence), storage_errors(settings):
            registry.register("detector", files, TRAINING)
        disk.free()
        assert registry.resolve("detector", "challenger") is None
        ref = registry.register("detector", files, TRAINING)
        assert (ref.version, registry.load("detector", "challenger")) == (1, (ref, files))
        assert runs_of(registry) == [("detector", "FINISHED")]
        assert len(list(disk.path.rglob("large.npz"))) == 1


def test_the_tables_of_mlflow_appear_together(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db.new").write_text("what a killed process left")
    assert MlflowRegistry(Settings(_env_file=None, mlruns_dir=tmp_path), "acme").resolve("detector") is None
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "lock"}
