"""Removes what a training left in MLflow when it was killed or failed: runs without a model version, and their files.

A run belongs to a process of one machine, which its tag names. So a training never removes what another one is doing.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.processes.strays import process_mark

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TENANT_TAG = "forewarn.tenant"
PROCESS_TAG = "forewarn.process"
#: On another machine it cannot be seen whether a process lives. No training lasts so long.
_ABANDONED_AFTER = timedelta(days=1)
_FINISHED = "FINISHED"
#: The runs that this process is writing now.
_writing: set[str] = set()


def this_process() -> str:
    """Host and process, as the tag of a run names them."""
    return f"{socket.gethostname()} {process_mark(os.getpid())}"


@contextmanager
def writing(run_id: str) -> Iterator[None]:
    """During this block the run is no leftover."""
    _writing.add(run_id)
    try:
        yield
    finally:
        _writing.discard(run_id)


def remove_leftovers(client: "MlflowClient", experiment_id: str, model: str) -> None:
    """Remove the runs of this experiment that ended without a version of `model`, with their files."""
    versions = {one.run_id for one in client.search_model_versions(f"name = '{model}'")}
    left = [run for run in _unfinished(client, experiment_id) if run.info.run_id not in versions]
    for run in left:
        _remove(client, experiment_id, run)


def finish(client: "MlflowClient", run_id: str) -> None:
    """Mark a run as finished whose training was killed after it had created the version."""
    if client.get_run(run_id).info.status != _FINISHED:
        client.set_terminated(run_id, _FINISHED)


def _unfinished(client: "MlflowClient", experiment_id: str) -> Iterator["Run"]:
    """Runs of Forewarn that failed, or whose process is gone."""
    found = client.search_runs([experiment_id], f"attributes.status != '{_FINISHED}'")
    for run in found:
        tags = run.data.tags
        if TENANT_TAG in tags and (run.info.status != "RUNNING" or _is_gone(tags.get(PROCESS_TAG, ""), run)):
            yield run


def _is_gone(process: str, run: "Run") -> bool:
    if process == this_process():
        # On a full disk, not even the state of the run could be stored.
        return run.info.run_id not in _writing
    host, _, mark = process.partition(" ")
    if host == socket.gethostname() and mark:
        return process_mark(int(mark.partition(":")[0])) != mark
    return datetime.now(UTC) - datetime.fromtimestamp(run.info.start_time / 1000, UTC) > _ABANDONED_AFTER


def _remove(client: "MlflowClient", experiment_id: str, run: "Run") -> None:
    """Delete a run with its attempts, models and files."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    def delete_files(location: str) -> None:
        get_artifact_repository(location).delete_artifacts()  # type: ignore[no-untyped-call]

    # Each record goes after its files: a removal that is killed is then continued by the next training.
    run_id = run.info.run_id
    for model in client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'"):
        delete_files(model.artifact_location)
        client.delete_logged_model(model.model_id)
    for child in client.search_runs([experiment_id], f"tags.mlflow.parentRunId = '{run_id}'"):
        client.delete_run(child.info.run_id)
    delete_files(str(run.info.artifact_uri))
    client.delete_run(run_id)
