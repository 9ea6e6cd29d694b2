"""Reads the recipes of golden signals: those of the package, and those that users add."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import yaml

from core.errors import InputError
from models.metrics.parse_recipes import parse_exporter
from models.metrics.recipe import Exporter


def read_exporters(folder: Path | None = None) -> Sequence[Exporter]:
    """All recipes. A file of the folder replaces the one of the same name in the package.

    Args:
        folder: with YAML files of the user; null: there are none.
    Raises:
        InputError: the folder does not exist, or a file is no recipe file; the text names file and field.
    """
    packaged = _packaged()
    if folder is None:
        return list(packaged.values())
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    own = {
        path.name: _exporter(path.name, path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.yaml"))
    }
    return list({**packaged, **own}.values())


@lru_cache(maxsize=1)
def _packaged() -> dict[str, Exporter]:
    return dict(_read_package())


def _read_package() -> Iterator[tuple[str, Exporter]]:
    for file in sorted(files("models.metrics").joinpath("recipes").iterdir(), key=lambda one: one.name):
        if file.name.endswith(".yaml"):
            yield file.name, _exporter(file.name, file.read_text(encoding="utf-8"))


def _exporter(name: str, text: str) -> Exporter:
    try:
        return parse_exporter(yaml.safe_load(text), name)
    except yaml.YAMLError as error:
        raise InputError(f"{name}: {' '.join(str(error).split())}") from error
