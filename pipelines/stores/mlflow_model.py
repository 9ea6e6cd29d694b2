"""The code of the model that MLflow logs. It loads a bundle from its files, so no pickle is read or written.

MLflow runs this file when a version is loaded (`mlflow models serve`, `mlflow.pyfunc.load_model`).
Forewarn's own service reads the files through the registry and does not need it.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from models.lifecycle.bundles import load_bundle


class BundleModel(PythonModel):
    """A bundle with MLflow's interface: it takes a pandas frame and returns a list of records."""

    def load_context(self, context: Any) -> None:
        folder = Path(context.artifacts["bundle"])
        kind = json.loads((folder / "kind.json").read_text())["kind"]
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "kind.json"}
        self.bundle = load_bundle(kind, files)

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        return self.bundle.predict_frame(pl.from_pandas(model_input)).to_dicts()


set_model(BundleModel())
