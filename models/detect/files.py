"""A detector bundle as two files: metadata as JSON, and plain arrays as npz.

The state of every detector is stored in the same way, as the arrays of `to_arrays`. If the arrays of one detector have
the same layout (names, types and shapes) for many series, they are stacked. So the archive has few members.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.bundles import require_format
from core.domain import Series
from core.errors import ModelUnavailableError
from models.baseline.baselines import Baselines
from models.detect.budget import AlertBudget
from models.detect.calibration import LEVELS, Calibration
from models.detect.catalog import detector_classes, make_detector
from models.detect.files_format_3 import upgrade
from models.detect.files_format_4 import upgrade_4
from models.detect.learned_fleet import LearnedFleet
from models.detect.learned_series import LearnedSeries
from models.detect.protocols import Arrays, FittedDetector
from models.detect.series_model import SeriesModel, ServiceTable
from models.series.record import series_of

#: 5 stores in `bundle.json` all that is known of a series without its detectors; 3 and 4 are still read.
FORMAT = 5
#: The file of `read_fleet`.
META = "bundle.json"
#: What `bundle.json` says of a series besides its record.
_OF_MODEL = ("baselines", "row", "table", "column", "days", "randomness_z")

Parts = tuple[dict[int, SeriesModel], dict[int, str], dict[str, AlertBudget], tuple[str, ...]]


def to_files(
    models: Mapping[int, SeriesModel],
    skipped: Mapping[int, str],
    budgets: Mapping[str, AlertBudget],
    names: Sequence[str],
) -> dict[str, bytes]:
    """Write `bundle.json` and `arrays.npz`. The same bundle gives the same bytes."""
    rows = list(models.values())
    baselines = list({id(one.baselines): one.baselines for one in rows}.values())
    tables = list({id(one.table): one.table for one in rows}.values())
    baselines_at = {id(one): index for index, one in enumerate(baselines)}
    table_at = {id(one): index for index, one in enumerate(tables)}
    arrays: dict[str, NDArray[Any]] = {}
    for index, group in enumerate(baselines):
        arrays |= {f"baselines/{index}/{name}": array for name, array in group.to_arrays().items()}
    for index, table in enumerate(tables):
        for detector, fitted in table.detectors.items():
            arrays |= {f"table/{index}/{detector}/{name}": one for name, one in fitted.to_arrays().items()}
    for detector in names:
        states = {row: one.detectors.get(detector) for row, one in enumerate(rows)}
        arrays |= _stacked(detector, {row: one for row, one in states.items() if one is not None})
    if rows:
        for detector in names:
            calibrations = [one.calibrations.get(detector) for one in rows]
            arrays[f"calibration/{detector}"] = np.stack([_packed(one) for one in calibrations])
        arrays["combined"] = np.stack([_packed(one.combined) for one in rows])
    meta = {
        "format": FORMAT,
        "detectors": list(names),
        "budgets": {service: asdict(budget) for service, budget in budgets.items()},
        "skipped": {str(key): why for key, why in skipped.items()},
        "tables": [table.columns for table in tables],
        "series": [
            {
                **asdict(one.series),
                "labels": dict(one.series.labels),
                "baselines": baselines_at[id(one.baselines)],
                "row": one.row,
                "table": table_at[id(one.table)],
                "column": one.column,
                "days": one.learned.days,
                "randomness_z": one.randomness_z,
            }
            for one in rows
        ],
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return {META: json.dumps(meta, sort_keys=True).encode(), "arrays.npz": buffer.getvalue()}


def from_files(files: Mapping[str, bytes]) -> Parts:
    """The inverse of `to_files`.

    Returns:
        Models and skipped by series id, alert budgets by service, and the names of the detectors.
    Raises:
        ModelUnavailableError: the files have another format, or hold a detector that is not in the catalog.
    """
    meta = json.loads(files[META])
    with np.load(io.BytesIO(files["arrays.npz"]), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if meta.get("format") == 3:
        meta, arrays = upgrade(meta, arrays)
    if meta.get("format") == 4:
        meta = upgrade_4(meta, arrays)
    require_format("detector", meta, FORMAT)
    names = tuple(meta["detectors"])
    _require_known(names)
    baselines = [Baselines.from_arrays(group) for _, group in _in_order(_grouped(arrays, "baselines"))]
    of_tables = _grouped(arrays, "table")
    tables = [
        ServiceTable(columns, _detectors(of_tables.get(str(index), {}), names))
        for index, columns in enumerate(meta["tables"])
    ]
    detectors = _unstacked(arrays, names, len(meta["series"]))
    models: dict[int, SeriesModel] = {}
    for at, entry in enumerate(meta["series"]):
        group, row, table, column = (entry[name] for name in ("baselines", "row", "table", "column"))
        series = _series_of(entry)
        calibrations = {name: _unpacked(arrays[f"calibration/{name}"][at]) for name in names}
        combined = _unpacked(arrays["combined"][at])
        assert combined is not None  # noqa: S101 - every series that has a model has it
        models[series.series_id] = SeriesModel(
            series=series,
            baselines=baselines[group],
            row=row,
            detectors=detectors[at],
            table=tables[table],
            column=column,
            calibrations={name: one for name, one in calibrations.items() if one is not None},
            combined=combined,
            randomness_z=entry["randomness_z"],
        )
    skipped = {int(key): why for key, why in meta["skipped"].items()}
    return models, skipped, _budgets(meta), names


def read_fleet(files: Mapping[str, bytes]) -> LearnedFleet | None:
    """The series and the alert budgets, from the file `META` alone; null: an older format has them in other files."""
    meta = json.loads(files[META])
    if meta.get("format") != FORMAT:
        return None
    series = {}
    for entry in meta["series"]:
        one = _series_of(entry)
        series[one.series_id] = LearnedSeries(
            series=one, days=entry["days"], randomness_z=entry["randomness_z"]
        )
    return LearnedFleet(series, _budgets(meta), tuple(meta["detectors"]))


def _series_of(entry: Mapping[str, Any]) -> Series:
    return series_of({name: value for name, value in entry.items() if name not in _OF_MODEL})


def _budgets(meta: Mapping[str, Any]) -> dict[str, AlertBudget]:
    return {key: AlertBudget(**one) for key, one in meta["budgets"].items()}


def _require_known(names: Iterable[str]) -> None:
    unknown = [name for name in names if name not in detector_classes()]
    if unknown:
        raise ModelUnavailableError(
            f"the registered detector model uses detectors that are not installed: {', '.join(unknown)}; "
            "install them, or run `forewarn train detectors` and `forewarn promote detector`"
        )


def _grouped(arrays: Arrays, kind: str) -> dict[str, dict[str, NDArray[Any]]]:
    """The arrays with the path `kind/index/name`, by index and name."""
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for path, array in arrays.items():
        first, _, rest = path.partition("/")
        if first == kind:
            index, _, name = rest.partition("/")
            found.setdefault(index, {})[name] = array
    return found


def _detectors(arrays: Arrays, names: Sequence[str]) -> dict[str, FittedDetector]:
    """The detectors of one table, from the arrays `detector/name`."""
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for path, array in arrays.items():
        detector, _, name = path.partition("/")
        found.setdefault(detector, {})[name] = array
    return {name: make_detector(name).from_arrays(found[name]) for name in names if name in found}


def _stacked(detector: str, fitted: Mapping[int, FittedDetector]) -> dict[str, NDArray[Any]]:
    """Stack the states of one detector: one stack for each layout, and the rows of the series that it holds."""
    layouts: dict[tuple[Any, ...], dict[int, Arrays]] = {}
    for row, one in fitted.items():
        arrays = {name: np.asarray(array) for name, array in one.to_arrays().items()}
        layout = tuple((name, array.dtype.str, array.shape) for name, array in arrays.items())
        layouts.setdefault(layout, {})[row] = arrays
    stacks: dict[str, NDArray[Any]] = {}
    for index, members in enumerate(layouts.values()):
        stacks[f"rows/{detector}/{index}"] = np.array(list(members), dtype=np.int64)
        for name in next(iter(members.values())):
            stacks[f"detector/{detector}/{index}/{name}"] = np.stack([one[name] for one in members.values()])
    return stacks


def _unstacked(arrays: Arrays, names: Sequence[str], count: int) -> list[dict[str, FittedDetector]]:
    """The detectors of each of `count` series by name: the inverse of `_stacked` for all detectors."""
    found: list[dict[str, FittedDetector]] = [{} for _ in range(count)]
    stacks, rows = _grouped(arrays, "detector"), _grouped(arrays, "rows")
    for detector in names:
        for index, members in rows.get(detector, {}).items():
            prefix = f"{index}/"
            state = {
                path.removeprefix(prefix): array
                for path, array in stacks[detector].items()
                if path.startswith(prefix)
            }
            for at, row in enumerate(members):
                one = {name: array[at] for name, array in state.items()}
                found[int(row)][detector] = make_detector(detector).from_arrays(one)
    return found


def _packed(calibration: Calibration | None) -> NDArray[np.float64]:
    """Knots, their surprise and the slope in one row. The last knot is repeated to fill the row."""
    size = LEVELS.size
    row = np.full(2 * size + 1, np.nan)
    if calibration is not None:
        pad = size - calibration.knots.size
        row[:size] = np.pad(calibration.knots, (0, pad), mode="edge")
        row[size : 2 * size] = np.pad(calibration.surprise, (0, pad), mode="edge")
        row[-1] = calibration.slope
    return row


def _unpacked(row: NDArray[np.float64]) -> Calibration | None:
    size = LEVELS.size
    if np.isnan(row[-1]):
        return None
    knots, first = np.unique(row[:size], return_index=True)
    return Calibration(knots, row[size : 2 * size][first], float(row[-1]))


def _in_order(groups: Mapping[str, dict[str, NDArray[Any]]]) -> list[tuple[str, dict[str, NDArray[Any]]]]:
    """The groups by their index as a number."""
    return sorted(groups.items(), key=lambda item: int(item[0]))
