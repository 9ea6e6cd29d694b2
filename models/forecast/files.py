"""A bundle of forecasters as named files: JSON for what people read, NPZ for arrays, UBJSON for trees. No pickle.

The series are in parts, so that a fleet of any size is written and read with the memory of one part. The fitted state
of every member is stored in the same way: the arrays of `to_arrays`.
"""

import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.bundles import require_format
from core.errors import ModelUnavailableError
from models.forecast.catalog import is_known
from models.forecast.choice.selection import Choice
from models.forecast.entry import Entry
from models.forecast.files_format_5 import states_of
from models.forecast.fleet.global_trees import GlobalTrees
from models.forecast.history import bounds_of
from models.forecast.intervals.conformal import ErrorModel, Memory
from models.forecast.intervals.widths import Widths
from models.forecast.protocols import History
from models.series.record import series_of

#: 6 stores the state of every member in the same way; 5 is still read.
FORMAT = 6
META, TREES = "bundle.json", "trees.ubj"
#: Series in a part: some megabytes.
PART = 500
#: In the names of arrays: `state/<member>/<array>/<dtype>`.
STATE = "state"

AnyArray = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastParts:
    """Everything that the forecasters of a fleet consist of.

    Attributes:
        entries: series_id -> what the forecasts of that series need.
        seed: of the simulated paths.
        horizon_steps: length of a forecast, unless another one is requested.
        trees: the fleet model; null if no series uses it.
    """

    entries: Mapping[int, Entry]
    seed: int = 1
    horizon_steps: int = 24
    trees: GlobalTrees | None = None


def to_files(parts: ForecastParts) -> dict[str, bytes]:
    """The named files of a bundle, from which `from_files` builds equal parts."""
    ids = sorted(parts.entries)
    groups = [ids[first : first + PART] for first in range(0, len(ids), PART)]
    files = head_files(parts, ids)
    for number, group in enumerate(groups):
        files |= part_files(number, [parts.entries[key] for key in group])
    return files


def head_files(common: ForecastParts, series_ids: Sequence[int]) -> dict[str, bytes]:
    """The files that all series share; the series are in further parts, in this order."""
    meta = {
        "format": FORMAT,
        "seed": common.seed,
        "horizon_steps": common.horizon_steps,
        "parts": -(-len(series_ids) // PART),
        "series_ids": list(series_ids),
    }
    trees = {} if common.trees is None else {TREES: common.trees.to_bytes()}
    return {META: json.dumps(meta, sort_keys=True).encode(), **trees}


def part_files(number: int, entries: Sequence[Entry]) -> dict[str, bytes]:
    """The files of one part, from which `read_part` reads equal entries; at least one entry."""
    arrays = [_arrays(entry) for entry in entries]
    records = [_record(entry, found) for entry, found in zip(entries, arrays, strict=True)]
    # The arrays of one name are joined to one file of the archive. One file for each series would be thousands.
    names = sorted({name for found in arrays for name in found})
    joined = {
        name: np.concatenate([found[name].ravel() for found in arrays if name in found]) for name in names
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **joined)
    records_name, arrays_name = _names(number)
    return {records_name: json.dumps(records, sort_keys=True).encode(), arrays_name: buffer.getvalue()}


def from_files(files: Mapping[str, bytes]) -> ForecastParts:
    """The parts that `to_files` wrote.

    Raises:
        ModelUnavailableError: the files have another format, or use a forecaster that is not in the catalog.
    """
    meta = json.loads(files[META])
    if meta.get("format") != 5:
        require_format("forecaster", meta, FORMAT)
    entries: dict[int, Entry] = {}
    for number in range(meta["parts"]):
        entries |= {one.series.series_id: one for one in read_part(number, files)}
    _require_known(entries.values())
    return ForecastParts(
        entries=entries,
        seed=meta["seed"],
        horizon_steps=meta["horizon_steps"],
        trees=GlobalTrees.from_bytes(files[TREES]) if TREES in files else None,
    )


def read_part(number: int, files: Mapping[str, bytes]) -> list[Entry]:
    """The entries of one part."""
    records_name, arrays_name = _names(number)
    with np.load(io.BytesIO(files[arrays_name]), allow_pickle=False) as stored:
        rest = dict(stored)
    entries: list[Entry] = []
    for record in json.loads(files[records_name]):
        arrays: dict[str, AnyArray] = {}
        for name, shape in record["shapes"].items():
            size = math.prod(shape)
            # A copy, so that one entry does not keep the arrays of all others in memory.
            arrays[name], rest[name] = rest[name][:size].reshape(shape).copy(), rest[name][size:]
        entries.append(_entry(record, arrays))
    return entries


def _names(number: int) -> tuple[str, str]:
    return f"part-{number:05}.json", f"part-{number:05}.npz"


def _require_known(entries: Iterable[Entry]) -> None:
    unknown = sorted({name for one in entries for name in one.choice.weights if not is_known(name)})
    if unknown:
        raise ModelUnavailableError(
            f"the registered forecaster model uses forecasters that are not installed: {', '.join(unknown)}; "
            "install them, or run `forewarn train forecasters` and `forewarn promote forecaster`"
        )


def _arrays(entry: Entry) -> dict[str, AnyArray]:
    memories = entry.choice.errors.memories
    # The dtype is in the name, because arrays of the same name are joined over the series.
    states = {
        f"{STATE}/{member}/{name}/{array.dtype.str}": array
        for member, state in entry.states.items()
        for name, array in state.items()
    }
    return {
        **states,
        "values": entry.history.values,
        "scale": np.stack([one.widths.scale for one in memories]),
        "profile": np.stack([one.widths.profile for one in memories]),
        "quantiles": np.stack([one.quantiles for one in memories]),
    }


def _states(arrays: Mapping[str, AnyArray]) -> dict[str, dict[str, AnyArray]]:
    """Member -> its state."""
    found: dict[str, dict[str, AnyArray]] = {}
    for path, array in arrays.items():
        kind, _, rest = path.partition("/")
        if kind == STATE:
            member, _, name = rest.rpartition("/")[0].partition("/")
            found.setdefault(member, {})[name] = array
    return found


def _record(entry: Entry, arrays: Mapping[str, AnyArray]) -> dict[str, Any]:
    series, history, choice = entry.series, entry.history, entry.choice
    return {
        "series": {
            "tenant": series.tenant,
            "service": series.service,
            "metric": series.metric,
            "labels": dict(series.labels),
            "unit": series.unit,
            "kind": series.kind.value,
            "role": series.role.value,
            "limit": series.limit,
            "slo_threshold": series.slo_threshold,
            "step_s": series.step_s,
            "direction": series.direction,
        },
        "start": history.start.isoformat(),
        "exponent": history.exponent,
        "step_s": history.step_s,
        "seasons": list(history.seasons),
        "deploys": [at.isoformat() for at in history.deploys],
        "holidays": [day.isoformat() for day in history.holidays],
        "weights": dict(choice.weights),
        "before": dict(choice.before),
        "mae": dict(choice.mae),
        "combined_mae": choice.combined_mae,
        "coverage": {str(level): share for level, share in choice.coverage.items()},
        "rho": choice.errors.rho,
        "memories": [
            {
                "grows": one.widths.grows,
                "size": _or_none(one.widths.size),
                "follows": one.widths.follows,
                "calm": _or_none(one.widths.calm),
            }
            for one in choice.errors.memories
        ],
        "width": {str(level): width for level, width in choice.width.items()},
        "reason": choice.reason,
        "shapes": {name: one.shape for name, one in arrays.items()},
    }


def _entry(record: Mapping[str, Any], arrays: Mapping[str, AnyArray]) -> Entry:
    series = series_of(record["series"])
    # The release before stored no exponent.
    exponent = record.get("exponent", 0)
    return Entry(
        series=series,
        history=History(
            values=arrays["values"],
            start=datetime.fromisoformat(record["start"]),
            step_s=record["step_s"],
            seasons=tuple(record["seasons"]),
            bounds=bounds_of(series).scaled(-exponent),
            deploys=tuple(datetime.fromisoformat(at) for at in record["deploys"]),
            holidays=tuple(date.fromisoformat(day) for day in record["holidays"]),
            exponent=exponent,
        ),
        choice=Choice(
            weights=record["weights"],
            errors=ErrorModel(
                memories=tuple(
                    Memory(
                        widths=Widths(
                            scale=arrays["scale"][row],
                            profile=arrays["profile"][row],
                            grows=one["grows"],
                            size=_or_nan(one["size"]),
                            follows=one["follows"],
                            calm=_or_nan(one["calm"]),
                        ),
                        quantiles=arrays["quantiles"][row],
                    )
                    for row, one in enumerate(record["memories"])
                ),
                rho=record["rho"],
            ),
            before=record["before"],
            mae=record["mae"],
            combined_mae=record["combined_mae"],
            coverage={float(level): share for level, share in record["coverage"].items()},
            width={float(level): width for level, width in record["width"].items()},
            reason=record["reason"],
        ),
        states=_states(arrays) | states_of(record),
    )


def _or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
