"""The model registry on MLflow; each model name belongs to one tenant.

A model is a bundle of named files (JSON, NumPy arrays without objects, XGBoost's own format). It is logged
as an MLflow model from code, so that MLflow's own tools can serve it and no pickle is written or read.
A version is identified by its content. If the same bundle for the same window is registered again, as by a training run
that was killed and started again, the result is the existing version.
"""

import hashlib
import json
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.domain import ModelRef
from core.errors import InputError, ModelUnavailableError, UnavailableError
from core.settings import Settings
from core.training import Attempt, Training
from pipelines.stores.code_version import code_version
from pipelines.stores.mlflow_folder import tracking_uri
from pipelines.stores.mlflow_leftovers import (
    PROCESS_TAG,
    TENANT_TAG,
    finish,
    remove_leftovers,
    this_process,
    writing,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

KIND_FILE = "kind.json"
_KIND = re.compile(r"[a-z][a-z0-9_]*")
_DIGEST_TAG = "forewarn.digest"
_BUNDLE_FOLDER = "bundle"
#: The packages that MLflow needs to serve a version. Declared here, because inferring them takes seconds.
_REQUIREMENTS = ("numpy", "polars", "xgboost-cpu")


class MlflowRegistry:
    """One tenant's models in MLflow (`core.model_registry.ModelRegistry`).

    The first use imports MLflow, which takes seconds.
    """

    def __init__(self, settings: Settings, tenant: str) -> None:
        self._settings = settings
        self._tenant = tenant

    def register(self, kind: str, files: Mapping[str, bytes], training: Training) -> ModelRef:
        """Log a bundle as the next version of the tenant's `kind`, alias `challenger`.

        Runs of trainings that were killed or failed are removed with their files.

        Raises:
            UnavailableError: the tracking server does not answer; nothing is registered.
        """
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        name = self._name(kind)
        digest = _digest(files, training)
        with _translated_errors():
            experiment_id = self._experiment_id(kind)
            known = self._with_digest(name, digest)
            if known is not None:
                finish(self._client, known.run_id)
            remove_leftovers(self._client, experiment_id, name)
            try:
                ref = known or self._log_version(kind, files, training, digest)
            except (OSError, MlflowException, SQLAlchemyError):
                # At once, because others may need the space. If it fails too, the next training does it.
                with suppress(OSError, MlflowException, SQLAlchemyError):
                    remove_leftovers(self._client, experiment_id, name)
                raise
            challenger = self.resolve(kind, "challenger")
            # A training that was killed after it had created the version has no challenger yet.
            if challenger is None or challenger.version < ref.version:
                self.promote(ref, "challenger")
            return ref

    def _log_version(
        self, kind: str, files: Mapping[str, bytes], training: Training, digest: str
    ) -> ModelRef:
        """Log a run with the bundle, and create the version last: a version that exists is complete."""
        import mlflow

        name, experiment_id = self._name(kind), self._experiment_id(kind)
        self._client.set_experiment_tag(experiment_id, "forewarn.kind", kind)
        tags = {TENANT_TAG: self._tenant, PROCESS_TAG: this_process()}
        with (
            mlflow.start_run(experiment_id=experiment_id, run_name=kind, tags=tags) as run,
            writing(run.info.run_id),
        ):
            mlflow.log_params(
                {
                    **training.params,
                    "seed": training.seed,
                    "window_start": training.window_start.isoformat(),
                    "window_end": training.window_end.isoformat(),
                }
            )
            mlflow.log_metrics(dict(training.metrics))
            mlflow.set_tags({**training.tags, "forewarn.code": code_version()})
            for attempt in training.attempts:
                self._log_attempt(attempt, run.info.experiment_id)
            _log_documents(training.documents)
            logged = self._log_bundle(kind, files)
            number = self._create_version(name, logged.model_uri, run.info.run_id, digest)
        return ModelRef(name=name, version=number, run_id=run.info.run_id)

    def resolve(self, kind: str, alias: str = "champion") -> ModelRef | None:
        """The version behind an alias, or null; cheap enough to call every second."""
        from mlflow.exceptions import MlflowException

        name = self._name(kind)
        with _translated_errors():
            try:
                found = self._client.get_model_version_by_alias(name, alias)
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise
        return ModelRef(name=name, version=int(found.version), run_id=found.run_id or "")

    def load(
        self, kind: str, alias: str = "champion", names: Collection[str] = ()
    ) -> tuple[ModelRef, Mapping[str, bytes]]:
        """As `ModelRegistry.load`.

        Raises:
            ModelUnavailableError: no version has that alias yet.
            UnavailableError: the tracking server does not answer.
        """
        import mlflow

        ref = self.resolve(kind, alias)
        if ref is None:
            raise ModelUnavailableError(
                f"no {alias} of kind {kind!r} is registered for tenant {self._tenant!r}; "
                "train and promote one first"
            )
        with _translated_errors(), tempfile.TemporaryDirectory() as scratch:
            # creating the client also sets MLflow's tracking server
            source = self._client.get_model_version_download_uri(ref.name, str(ref.version))
            bundle = f"{source.rstrip('/')}/artifacts/{_BUNDLE_FOLDER}"
            wanted = [f"{bundle}/{name}" for name in self._stored(bundle, names)] if names else [bundle]
            for one in wanted:
                mlflow.artifacts.download_artifacts(artifact_uri=one, dst_path=scratch)
            found = [path for path in Path(scratch).rglob("*") if path.is_file() and path.name != KIND_FILE]
            return ref, {path.name: path.read_bytes() for path in found}

    def _stored(self, bundle: str, names: Collection[str]) -> list[str]:
        """Those of the files that a bundle has."""
        import mlflow

        stored = {one.path.rsplit("/", 1)[-1] for one in mlflow.artifacts.list_artifacts(artifact_uri=bundle)}
        return [name for name in names if name in stored]

    def metrics(self, ref: ModelRef) -> Mapping[str, float]:
        """The metrics of that version from its training.

        Raises:
            ModelUnavailableError: the version belongs to another tenant, or does not exist.
        """
        with _translated_errors():
            return dict(self._client.get_run(self._own_run_id(ref)).data.metrics)

    def promote(self, ref: ModelRef, alias: str = "champion") -> None:
        """Point an alias at a version of this tenant.

        Raises:
            ModelUnavailableError: the version belongs to another tenant, or does not exist.
        """
        with _translated_errors():
            self._own_run_id(ref)
            self._client.set_registered_model_alias(ref.name, alias, str(ref.version))

    def _name(self, kind: str) -> str:
        """The name of this tenant's model in MLflow.

        Raises:
            InputError: the kind contains a dot. The model `b.detector` of tenant `a` would be that of tenant `a.b`.
        """
        if not _KIND.fullmatch(kind):
            raise InputError(f"a model kind has lower case letters, digits and underscores, got {kind!r}")
        return f"{self._tenant}.{kind}"

    def _own_run_id(self, ref: ModelRef) -> str:
        """The run of a version of this tenant. All methods that take a `ModelRef` call this first.

        Raises:
            ModelUnavailableError: the version belongs to another tenant, or does not exist.
        """
        from mlflow.exceptions import MlflowException

        # The run comes from the registry: a reference may combine the name of one tenant with the run of another.
        if ref.name.rpartition(".")[0] == self._tenant:
            try:
                return str(self._client.get_model_version(ref.name, str(ref.version)).run_id or "")
            except MlflowException as error:
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
        raise ModelUnavailableError(
            f"tenant {self._tenant!r} has no model {ref.name!r} version {ref.version}"
        )

    @cached_property
    def _client(self) -> "MlflowClient":
        import mlflow

        # MLflow logs migrations, versions, missing signatures, and errors with tracebacks. Our reports have what
        # matters, and our errors are one sentence.
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.CRITICAL)
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        uri = self._settings.mlflow_tracking_uri
        target = uri.get_secret_value() if uri else tracking_uri(self._settings.mlruns_dir.resolve())
        mlflow.set_tracking_uri(target)
        mlflow.set_registry_uri(target)
        return mlflow.MlflowClient(tracking_uri=target, registry_uri=target)

    def _experiment_id(self, kind: str) -> str:
        name = self._name(kind)
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = None
        if self._settings.mlflow_tracking_uri is None:
            location = (self._settings.mlruns_dir.resolve() / "artifacts" / name).as_uri()
        return str(self._client.create_experiment(name, artifact_location=location))

    def _with_digest(self, name: str, digest: str) -> ModelRef | None:
        found = self._client.search_model_versions(f"name = '{name}' and tag.`{_DIGEST_TAG}` = '{digest}'")
        return next((ModelRef(name=name, version=int(v.version), run_id=v.run_id or "") for v in found), None)

    def _log_bundle(self, kind: str, files: Mapping[str, bytes]) -> Any:
        import mlflow

        with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
            # MLflow warns about a missing signature and type hints; the bundle validates its own input
            warnings.simplefilter("ignore")
            folder = Path(scratch) / _BUNDLE_FOLDER
            folder.mkdir()
            (folder / KIND_FILE).write_text(json.dumps({"kind": kind}))
            for file_name, content in files.items():
                (folder / file_name).write_bytes(content)
            return mlflow.pyfunc.log_model(
                name=kind,
                python_model=str(Path(__file__).with_name("mlflow_model.py")),
                artifacts={_BUNDLE_FOLDER: str(folder)},
                pip_requirements=[f"{name}=={version(name)}" for name in _REQUIREMENTS],
            )

    @staticmethod
    def _log_attempt(attempt: Attempt, experiment_id: str) -> None:
        """Log one attempt as a child of the open run."""
        import mlflow

        with mlflow.start_run(experiment_id=experiment_id, run_name=attempt.name, nested=True):
            mlflow.log_params(dict(attempt.params))
            mlflow.log_metrics(dict(attempt.metrics))

    def _create_version(self, name: str, source: str, run_id: str, digest: str) -> int:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = self._client.create_model_version(name, source, run_id, tags={_DIGEST_TAG: digest})
        return int(made.version)


def _log_documents(documents: Mapping[str, bytes]) -> None:
    """Log files beside the model in the open run."""
    import mlflow

    if not documents:
        return
    with tempfile.TemporaryDirectory() as scratch:
        for name, content in documents.items():
            path = Path(scratch, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        mlflow.log_artifacts(scratch)


def _digest(files: Mapping[str, bytes], training: Training) -> str:
    """A digest of the bundle's content, its training window and its seed."""
    digest = hashlib.sha256(f"{training.window_start}{training.window_end}{training.seed}".encode())
    for name in sorted(files):
        digest.update(name.encode() + b"\x00" + hashlib.sha256(files[name]).digest())
    return digest.hexdigest()


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Translate the many errors of a tracking server that is down into UnavailableError."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        reason = str(error.orig) if isinstance(error, DBAPIError) else type(error).__name__
        raise UnavailableError(f"the MLflow database does not answer: {reason}") from error
    except MlflowException as error:
        raise UnavailableError(f"MLflow refused: {error.message.splitlines()[0]}") from error
