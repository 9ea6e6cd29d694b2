"""Reads the files of an older release, which stored each of its five detectors in a different way."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.detect.detectors.stream import FittedStream, Stream

#: The detectors of every bundle of format 3, in the order of their columns.
NAMES = ("zscore", "mad", "ewma", "isolation_forest", "stream")
#: Those whose whole state was one array.
ONE_ARRAY = ("zscore", "mad", "ewma")
#: How many scalars the state of a stream had.
SCALARS = 18


def upgrade(
    meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The contents of `bundle.json` and `arrays.npz` in format 4."""
    entries = [dict(one) for one in meta["series"]]
    found: dict[str, NDArray[Any]] = {}
    widths: dict[int, int] = {}
    for path, array in arrays.items():
        kind, _, rest = path.partition("/")
        if kind == "single":
            found[f"detector/{rest}/0/state"] = array
        elif kind == "forest":
            index, name = rest.split("/")
            found[f"table/{index}/isolation_forest/{name}"] = array
            if name == "center":
                widths[int(index)] = array.size
        elif path == "calibration/ensemble":
            found["combined"] = array
        elif kind != "stream":
            found[path] = array
    if entries:
        found |= {f"rows/{name}/0": np.arange(len(entries)) for name in ONE_ARRAY}
    for layout, step_s in enumerate(sorted({one["step_s"] for one in entries})):
        rows = [row for row, one in enumerate(entries) if one["step_s"] == step_s]
        states = [_stream(packed, step_s).to_arrays() for packed in arrays[f"stream/{step_s}"]]
        found[f"rows/stream/{layout}"] = np.array(rows)
        for name in states[0]:
            found[f"detector/stream/{layout}/{name}"] = np.stack([one[name] for one in states])
    without_forest = len(widths)
    for entry in entries:
        entry["baselines"] = entry.pop("table")
        forest = entry.pop("forest")
        entry["table"] = without_forest if forest is None else forest
    tables = [*(widths[index] for index in sorted(widths)), 0]
    new = {**meta, "format": 4, "detectors": list(NAMES), "tables": tables, "series": entries}
    return new, found


def _stream(packed: NDArray[np.float64], step_s: int) -> FittedStream:
    """The state of a stream from one row: its arrays one after the other, then the next second and the step."""
    empty = Stream(step_s=step_s).fresh().memory
    parts, at = [], 0
    for like in (empty.state[:SCALARS], empty.daily, empty.weekly, empty.hourly, empty.counts):
        parts.append(packed[at : at + like.size].reshape(like.shape))
        at += like.size
    state, daily, weekly, hourly, counts = parts
    clock = np.array([int(packed[at]), int(packed[at + 1])])
    arrays = {
        "state": state,
        "daily": daily,
        "weekly": weekly,
        "hourly": hourly,
        "counts": counts,
        "clock": clock,
    }
    return Stream().from_arrays(arrays)
