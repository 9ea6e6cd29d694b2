"""A detector bundle as named files: JSON for what has names, one npz of plain arrays for the rest."""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.bundles import require_format
from core.domain import Role, Series, SeriesKind
from models.baseline.baselines import Baselines
from models.detect.budget import AlertBudget
from models.detect.calibration import LEVELS, Calibration
from models.detect.detectors.isolation_forest import FittedIsolationForest, IsolationForest
from models.detect.detectors.stream import Stream
from models.detect.series_model import COMBINED, NAMES, SINGLE, SeriesModel

FORMAT = 3
CALIBRATED = (*NAMES, COMBINED)


def to_files(
    models: Mapping[int, SeriesModel], skipped: Mapping[int, str], budgets: Mapping[str, AlertBudget]
) -> dict[str, bytes]:
    """`bundle.json` and `arrays.npz`; the same bundle gives the same bytes."""
    arrays: dict[str, NDArray[Any]] = {}
    tables = list({id(one.baselines): one.baselines for one in models.values()}.values())
    forests = list({id(one.forest): one.forest for one in models.values() if one.forest is not None}.values())
    table_of = {id(one): index for index, one in enumerate(tables)}
    forest_of = {id(one): index for index, one in enumerate(forests)}
    for index, table in enumerate(tables):
        arrays |= {f"baselines/{index}/{name}": array for name, array in table.to_arrays().items()}
    for index, forest in enumerate(forests):
        arrays |= {f"forest/{index}/{name}": array for name, array in forest.to_arrays().items()}
    rows = list(models.values())
    if rows:
        for at, detector in enumerate(SINGLE):
            arrays[f"single/{detector.name}"] = np.stack(
                [one.detectors[at].to_arrays()["state"] for one in rows]
            )
        for name in CALIBRATED:
            arrays[f"calibration/{name}"] = np.stack([_pack(one.calibrations.get(name)) for one in rows])
        for step_s in sorted({one.stream.step_s for one in rows}):
            packed = [one.stream.packed() for one in rows if one.stream.step_s == step_s]
            arrays[f"stream/{step_s}"] = np.stack(packed)
        arrays["randomness_z"] = np.array([one.randomness_z for one in rows])
    meta = {
        "format": FORMAT,
        "budgets": {service: asdict(budget) for service, budget in budgets.items()},
        "skipped": {str(key): why for key, why in skipped.items()},
        "series": [
            {
                **asdict(one.series),
                "labels": dict(one.series.labels),
                "table": table_of[id(one.baselines)],
                "row": one.row,
                "forest": forest_of[id(one.forest)] if one.forest is not None else None,
                "column": one.column,
            }
            for one in rows
        ],
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return {"bundle.json": json.dumps(meta, sort_keys=True).encode(), "arrays.npz": buffer.getvalue()}


def from_files(
    files: Mapping[str, bytes],
) -> tuple[dict[int, SeriesModel], dict[int, str], dict[str, AlertBudget]]:
    """The inverse of `to_files`.

    Raises:
        ModelUnavailableError: the files are of another format.
    """
    meta = json.loads(files["bundle.json"])
    require_format("detector", meta, FORMAT)
    with np.load(io.BytesIO(files["arrays.npz"]), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    tables = [Baselines.from_arrays(group) for group in _groups(arrays, "baselines")]
    forests: list[FittedIsolationForest] = [
        IsolationForest().from_arrays(group) for group in _groups(arrays, "forest")
    ]
    models: dict[int, SeriesModel] = {}
    streams = {
        int(name.split("/")[1]): iter(array) for name, array in arrays.items() if name.startswith("stream/")
    }
    for at, entry in enumerate(meta["series"]):
        table, row, forest, column = (entry.pop(name) for name in ("table", "row", "forest", "column"))
        series = Series(**{**entry, "kind": SeriesKind(entry["kind"]), "role": Role(entry["role"])})
        calibrations = {name: _unpack(arrays[f"calibration/{name}"][at]) for name in CALIBRATED}
        models[series.series_id] = SeriesModel(
            series,
            tables[table],
            row,
            tuple(one.from_arrays({"state": arrays[f"single/{one.name}"][at]}) for one in SINGLE),
            {name: one for name, one in calibrations.items() if one is not None},
            float(arrays["randomness_z"][at]),
            forests[forest] if forest is not None else None,
            column,
            Stream(step_s=series.step_s).unpacked(next(streams[series.step_s])),
        )
    skipped = {int(key): why for key, why in meta["skipped"].items()}
    return models, skipped, {service: AlertBudget(**one) for service, one in meta["budgets"].items()}


def _groups(arrays: Mapping[str, NDArray[Any]], kind: str) -> list[dict[str, NDArray[Any]]]:
    found: dict[int, dict[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        parts = name.split("/")
        if parts[0] == kind:
            found.setdefault(int(parts[1]), {})[parts[2]] = array
    return [found[index] for index in sorted(found)]


def _pack(calibration: Calibration | None) -> NDArray[np.float64]:
    """Knots, their surprise and the slope in one row; the last knot repeated, which changes nothing."""
    size = LEVELS.size
    row = np.full(2 * size + 1, np.nan)
    if calibration is not None:
        pad = size - calibration.knots.size
        row[:size] = np.pad(calibration.knots, (0, pad), mode="edge")
        row[size : 2 * size] = np.pad(calibration.surprise, (0, pad), mode="edge")
        row[-1] = calibration.slope
    return row


def _unpack(row: NDArray[np.float64]) -> Calibration | None:
    size = LEVELS.size
    if np.isnan(row[-1]):
        return None
    knots, first = np.unique(row[:size], return_index=True)
    return Calibration(knots, row[size : 2 * size][first], float(row[-1]))
