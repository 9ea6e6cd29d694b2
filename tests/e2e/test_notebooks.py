"""Each notebook runs from the first to the last cell, on its own embedded database."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_its_plots(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREWARN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FOREWARN_MLRUNS_DIR", str(tmp_path / "mlruns"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(path, as_version=4)
    try:
        NotebookClient(
            notebook, timeout=500, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
        ).execute()
    finally:
        from core.settings import Settings
        from pipelines.stores.ready import down

        down(Settings(data_dir=tmp_path / "data"))
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output for output in shown if "image/png" in output.get("data", {})]
    assert os.environ["FOREWARN_DATA_DIR"].startswith(str(tmp_path))


def test_notebooks_are_committed_without_outputs() -> None:
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        assert all(not cell.get("outputs") for cell in cells), path.name
